"""How a connection is opened: who we are, what is agreed on, and which virtual host."""

import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import parse_qsl, unquote, urlsplit

from pamqp.base import Frame
from pamqp.commands import Connection
from pamqp.common import FieldTable

from webhook_runner import __version__
from webhook_runner.broker.amqp.line import Address
from webhook_runner.broker.amqp.wire import FrameError

_PORTS = {"amqp": 5672, "amqps": 5671}
_LARGEST_FRAME = 131_072
_SMALLEST_FRAME = 4096
"""What every peer takes, by AMQP 0-9-1."""
_MOST_CHANNELS = 65_535
_ACCESS_REFUSED = 403
_ABILITIES = (
    "authentication_failure_close",
    "basic.nack",
    "connection.blocked",
    "consumer_cancel_notify",
    "publisher_confirms",
)


class RefusedError(Exception):
    """The broker does not let us in, and says why."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who connects to which virtual host. ``heartbeat`` is in seconds."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    virtual_host: str
    external: bool
    heartbeat: int
    name: str

    @classmethod
    def of(cls, where: Address) -> "Account":
        parts = urlsplit(where.url)
        query = dict(parse_qsl(parts.query))
        return cls(
            parts.hostname or "localhost",
            parts.port or _PORTS.get(parts.scheme, _PORTS["amqp"]),
            unquote(parts.username or ""),
            unquote(parts.password or ""),
            unquote(parts.path[1:]) or "/",
            query["auth"] == "external",
            int(query["heartbeat"]),
            query["name"],
        )


@dataclass(frozen=True, slots=True)
class Agreement:
    """What both sides keep to. ``largest_frame`` is in bytes, with what frames it."""

    largest_frame: int
    most_channels: int
    properties: FieldTable

    @property
    def version(self) -> str:
        return str(self.properties.get("version", "?"))

    def has(self, ability: str) -> bool:
        """Whether the broker can do that."""
        abilities = self.properties.get("capabilities")
        return isinstance(abilities, dict) and bool(abilities.get(ability))


class Handshake:
    """Answers the broker's part of the dialogue until there is an ``agreement``."""

    def __init__(self, account: Account, send: Callable[[Frame], None]) -> None:
        self._account = account
        self._send = send
        self._properties: FieldTable | None = None
        self._tuned: Agreement | None = None
        self.agreement: Agreement | None = None

    @property
    def is_judged(self) -> bool:
        """Whether the broker has our credentials and has not said what it thinks of them."""
        return self._properties is not None and self._tuned is None

    def take(self, frame: Frame) -> None:
        """Go on.

        Raises:
            RefusedError: the broker closes the connection.
            FrameError: it says what does not come then.

        """
        match frame:
            case Connection.Start() if self._properties is None:
                self._introduce(frame)
            case Connection.Tune() if self.is_judged:
                self._tune(frame)
            case Connection.OpenOk() if self._tuned is not None:
                self.agreement = self._tuned
            case Connection.Close():
                self._send(Connection.CloseOk())
                raise RefusedError(refusal(frame.reply_code, frame.reply_text))
            case _:
                raise FrameError(f"the broker said {frame.name} while the connection was opened")

    def _introduce(self, start: Connection.Start) -> None:
        self._properties = start.server_properties or {}
        account = self._account
        mechanism = "EXTERNAL" if account.external else "PLAIN"
        if mechanism not in (start.mechanisms or "").split():
            raise RefusedError(f"the broker takes {start.mechanisms}, and not {mechanism}")
        secret = "" if account.external else f"\0{account.user}\0{account.password}"
        about = {
            "product": "webhook-runner",
            "version": __version__,
            "platform": f"Python {platform.python_version()}",
            "capabilities": dict.fromkeys(_ABILITIES, True),
            "connection_name": account.name,
        }
        properties = cast("FieldTable", about)
        self._send(Connection.StartOk(properties, mechanism, secret, "en_US"))

    def _tune(self, tune: Connection.Tune) -> None:
        largest = min(tune.frame_max or _LARGEST_FRAME, _LARGEST_FRAME)
        if largest < _SMALLEST_FRAME:
            raise FrameError(f"the broker takes frames of {largest} bytes at most")
        channels = tune.channel_max or _MOST_CHANNELS
        self._tuned = Agreement(largest, channels, self._properties or {})
        self._send(Connection.TuneOk(channels, largest, self._account.heartbeat))
        self._send(Connection.Open(self._account.virtual_host))


def refusal(code: int | None, text: str | None) -> str:
    """Say in one line what the broker minds."""
    words = " ".join(str(part) for part in (code, text) if part)
    return f"the broker refused user or password: {words}" if code == _ACCESS_REFUSED else words
