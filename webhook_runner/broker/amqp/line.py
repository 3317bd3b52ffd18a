"""One AMQP connection: where it leads, how it is secured, and the face of those who hold it."""

import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from webhook_runner.broker.amqp.channel import Channel
from webhook_runner.errors import BrokerUnavailableError
from webhook_runner.settings import BrokerSettings

CONNECT_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where the broker is, ready to connect to. ``text`` holds no password."""

    url: str
    text: str
    tls: ssl.SSLContext | None


def address(server: str, settings: BrokerSettings, name: str) -> Address:
    """Complete the configured url. Raises BrokerUnavailableError when a file is unreadable."""
    parts = urlsplit(server)
    try:
        password = parts.password or ""
        if settings.password_file:
            password = quote(Path(settings.password_file).read_text().strip(), safe="")
        tls = _tls(settings) if parts.scheme == "amqps" else None
    except (OSError, ssl.SSLError) as error:
        raise BrokerUnavailableError(f"cannot read the broker's credentials: {error}") from error
    host = parts.netloc.rpartition("@")[2]
    user = f"{parts.username or 'guest'}:{password or 'guest'}@"
    query = dict(parse_qsl(parts.query)) | {
        "heartbeat": str(settings.heartbeat),
        "auth": settings.auth,
        "name": name,
    }
    url = urlunsplit((parts.scheme, user + host, parts.path, urlencode(query), ""))
    return Address(url, f"{parts.scheme}://{host}{parts.path}", tls)


def _tls(settings: BrokerSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca_file or None)
    if settings.cert_file:
        context.load_cert_chain(settings.cert_file, settings.key_file or None)
    return context


class Line(ABC):
    """An open connection."""

    @property
    @abstractmethod
    def version(self) -> str:
        """The broker's."""

    @abstractmethod
    def on_close(self, tell: Callable[[str], None]) -> None:
        """Call ``tell`` with the reason when the connection ends."""

    @abstractmethod
    async def channel(self, *, confirms: bool = False) -> Channel:
        """Open a channel. Raises LostError when the connection is gone."""

    @abstractmethod
    async def close(self) -> None: ...


class Connect(Protocol):
    """Opens a line. What comes by one of ``trusted`` exchanges was packed by us."""

    async def __call__(
        self,
        where: Address,
        trusted: frozenset[str],
        on_blocked: Callable[[str], None],
        on_unblocked: Callable[[], None],
    ) -> Line:
        """Connect. Raises BrokerUnavailableError, saying in one line what the broker minds."""
