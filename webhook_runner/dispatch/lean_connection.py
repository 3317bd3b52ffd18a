"""One connection of the lean client: llhttp reads, one exchange at a time, nothing twice."""

import asyncio
import select
from typing import cast

import httptools

from webhook_runner.dispatch.exchange import Exchange
from webhook_runner.dispatch.failure import AttemptError, describe, trouble_of
from webhook_runner.task.outcome import Trouble

_READ_BYTES = 16_384
# For the heads of one answer, and for what frames its body (chunk extensions, trailers).
_MOST_FRAMING = 102_400
_MOST_INTERIM = 1_000
_INTERIM = frozenset({100, *range(102, 200)})  # we ask for no other protocol, so never 101
_FINAL = range(200, 1000)
_CODING = b"transfer-encoding"
_FRAMING_FIELDS = frozenset({b"content-length", _CODING})
_FRAMING_LENGTHS = frozenset(map(len, _FRAMING_FIELDS))


class LeanConnection(asyncio.BufferedProtocol):
    """Writes a request and reads the answer into an ``Exchange``.

    ``usable`` after an exchange: nothing speaks against another one. Whatever is odd makes a
    connection unusable, so that one answer is never taken for another.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.usable = False
        self.idle_since = 0.0
        self._transport: asyncio.Transport | None = None
        self._poller = select.poll()
        # Small bites, so that a flood of interim responses cannot hold the loop for long.
        self._buffer = memoryview(bytearray(_READ_BYTES))
        self._parser: httptools.HttpResponseParser | None = None
        self._exchange: Exchange | None = None
        self._done: asyncio.Future[None] | None = None
        self._without_body = False
        self._fields: list[tuple[bytes, bytes]] = []
        self._framing = 0
        self._interim = 0

    async def exchange(self, head: bytes, request_body: bytes, exchange: Exchange) -> None:
        """Write a request at once and wait until its answer has ended, or enough of it is read.

        Raises:
            AttemptError: the answer is none, or broke off.

        """
        transport = self._transport
        if transport is None:
            raise AttemptError(Trouble.RESET, "closed before the request")
        if self._parser is None:
            self._parser = _parser_for(self)
        self._exchange, self._framing, self._interim = exchange, 0, 0
        self._without_body = head.startswith(b"HEAD ")
        self._done = done = self._loop.create_future()
        self.usable = exchange.sent = True
        transport.write(head + request_body)
        try:
            await done
        finally:
            if self._done is not None:
                self._end(usable=False)
            # Answered before all of it was read: the rest must not run into the next request.
            if self.usable and transport.get_write_buffer_size():
                self.usable = False

    def is_fresh(self) -> bool:
        """Whether a request can still be written: nothing was said since, nor hung up.

        The loop may not have looked for a while, so the socket itself is asked.
        """
        transport = self._transport
        if transport is None or not self.usable or transport.is_closing():
            return False
        return not self._poller.poll(0)

    def abort(self) -> None:
        """Close at once."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._poller.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the protocol's signature
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        exchange, parser = self._exchange, self._parser
        if exchange is None or parser is None:
            self.abort()
            return
        self._framing += nbytes
        try:
            parser.feed_data(self._buffer[:nbytes])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.usable = False
            self._fail(AttemptError(Trouble.PROTOCOL, f"no HTTP: {error}"))
        if self._exchange is not None and self._framing - exchange.read > _MOST_FRAMING:
            self._fail(AttemptError(Trouble.PROTOCOL, f"over {_MOST_FRAMING} bytes of framing"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport, self.usable = None, False
        exchange = self._exchange
        if exchange is None:
            return
        if exchange.status is not None and exc is None and _ends_with_connection(self._fields):
            exchange.complete = True
            self._end(usable=False)
        elif exc is None:
            words = (
                "closed without an answer" if exchange.status is None else "closed before its end"
            )
            self._fail(AttemptError(Trouble.RESET, words))
        else:
            self._fail(AttemptError(trouble_of(exc, sent=True), describe(exc)))

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._fields = []
        if self._exchange is None:
            self.usable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        exchange = self._exchange
        if exchange is None or exchange.status is not None:
            return
        if 0 in value:
            self._fail(AttemptError(Trouble.PROTOCOL, "no HTTP: NUL in a header"))
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        exchange, parser = self._exchange, self._parser
        if exchange is None or parser is None:
            return
        status = parser.get_status_code()
        if status in _FINAL:
            exchange.begin(status, self._fields)
            self._framing = 0
            if self._without_body:
                self._parser = None
                exchange.complete = True
                self._end(usable=parser.should_keep_alive())
        elif status not in _INTERIM:
            self._fail(AttemptError(Trouble.PROTOCOL, f"no HTTP: status {status}"))

    def on_body(self, body: bytes) -> None:
        if self._exchange is None:
            self.usable = False
        elif not self._exchange.take(body):
            self._end(usable=False)

    def on_message_complete(self) -> None:
        exchange, parser = self._exchange, self._parser
        if exchange is None or parser is None:
            return
        if exchange.status is None:
            self._pass_interim()
            return
        exchange.complete = True
        self._end(usable=parser.should_keep_alive() and not _is_ambiguous(self._fields))

    def _pass_interim(self) -> None:
        """Go on to the answer that is still to come, unless there is no end of these."""
        self._framing = 0
        self._interim += 1
        if self._interim > _MOST_INTERIM:
            self._fail(AttemptError(Trouble.PROTOCOL, f"over {_MOST_INTERIM} interim answers"))

    def _fail(self, error: AttemptError) -> None:
        self._end(usable=False, error=error)

    def _end(self, *, usable: bool, error: AttemptError | None = None) -> None:
        done, self._done, self._exchange = self._done, None, None
        if done is not None and not done.done():
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)
        if not usable:
            self.abort()


def _parser_for(connection: LeanConnection) -> httptools.HttpResponseParser:
    """Make a parser that is as lenient as h11: the status of a sloppy answer counts all the same.

    Folded headers (RFC 9112 5.2), a bare LF (2.2), a length beside chunks (6.3).
    """
    parser = httptools.HttpResponseParser(connection)
    parser.set_dangerous_leniencies(
        lenient_headers=True,
        lenient_chunked_length=True,
        lenient_data_after_close=True,
        lenient_optional_cr_before_lf=True,
        lenient_spaces_after_chunk_size=True,
    )
    return parser


def _is_ambiguous(fields: list[tuple[bytes, bytes]]) -> bool:
    return len(_framing_of(fields)) > 1


def _ends_with_connection(fields: list[tuple[bytes, bytes]]) -> bool:
    framing = _framing_of(fields)
    coding = framing.get(_CODING, b"")
    return not framing or (bool(coding) and not coding.lower().endswith(b"chunked"))


def _framing_of(fields: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    return {
        name.lower(): value.strip()
        for name, value in fields
        if len(name) in _FRAMING_LENGTHS and name.lower() in _FRAMING_FIELDS
    }
