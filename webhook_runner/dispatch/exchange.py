"""One request and what came back so far, kept while it happens so that a deadline loses nothing."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

from webhook_runner.task.outcome import Responded

MOST_READ = 65_536
MOST_KEPT = 4_096
# A body in crumbs takes more time than all that it carries is worth.
MOST_CHUNKS = 256
_LONGEST_VALUE = 2_048
_KEPT_HEADERS = {
    name.encode(): name
    for name in (
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "location",
        "ratelimit-reset",
        "retry-after",
        "server",
        "webhook-runner-retry",
        "www-authenticate",
        "x-ratelimit-reset",
        "x-request-id",
    )
}


@dataclass(slots=True)
class Exchange:
    """What is known of one attempt. ``sent``: bytes of the request may have left."""

    sent: bool = False
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    kept: bytearray = field(default_factory=bytearray)
    read: int = 0
    chunks: int = 0
    complete: bool = False

    async def trace(self, event: str, info: dict[str, object]) -> None:
        """Take note of what the client is about to do (its ``trace`` extension)."""
        if event.endswith("send_request_headers.started"):
            # Asking a proxy for a tunnel says nothing to the endpoint.
            self.sent = self.sent or getattr(info.get("request"), "method", b"") != b"CONNECT"

    def begin(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Keep the status and the few headers that matter; of a repeated one, the first."""
        self.status = status
        for raw_name, raw_value in headers:
            name = _KEPT_HEADERS.get(raw_name.lower())
            if name is not None and name not in self.headers:
                self.headers[name] = raw_value.strip(b" \t")[:_LONGEST_VALUE].decode("latin-1")

    def take(self, chunk: bytes) -> bool:
        """Keep what there is still room for of 4 KiB; False when enough was read.

        That is 64 KiB, or 256 chunks.
        """
        self.read += len(chunk)
        self.chunks += 1
        if (room := MOST_KEPT - len(self.kept)) > 0:
            self.kept += chunk[:room]
        return self.read < MOST_READ and self.chunks < MOST_CHUNKS

    async def take_body(self, chunks: AsyncIterator[bytes]) -> None:
        """Read the body as it came over the wire, until it ends or enough of it was read."""
        async for chunk in chunks:
            if not self.take(chunk):
                return
        self.complete = True

    def responded(self, seconds: float, note: str) -> Responded:
        """Return the outcome of an exchange whose status is known; ``note``: what broke then."""
        return Responded(
            status=self.status or 0,
            headers=self.headers,
            body=bytes(self.kept),
            truncated=not self.complete or self.read > MOST_KEPT,
            seconds=seconds,
            note=note,
        )
