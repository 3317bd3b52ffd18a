"""What an attempt met with: a closed set. What happens next is decided in policy/retry.py."""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct
from msgspec import field as struct_field


class Trouble(StrEnum):
    """Why no status line came. The words are public: ``last_error`` carries them."""

    TIMEOUT = "timeout"
    CONNECT_TIMEOUT = "connect_timeout"
    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    RESET = "reset"
    PROTOCOL = "protocol"
    RESOURCE = "resource"
    INTERNAL = "internal"


class Responded(Struct, frozen=True):
    """A status line came.

    ``headers`` has lower-case names and only what policy and roll-back need; ``body`` is the
    first 4 KiB; ``note`` says what broke after the status line, if anything did.
    """

    status: int
    headers: Mapping[str, str] = struct_field(default_factory=dict)
    body: bytes = b""
    truncated: bool = False
    seconds: float = 0.0
    note: str = ""


class TimedOut(Struct, frozen=True):
    """The total deadline passed. The request may have been executed."""

    seconds: float
    sent: bool = True


class Unreachable(Struct, frozen=True):
    """No status line, for a reason that may mend itself. ``sent``: bytes may have arrived."""

    trouble: Trouble
    detail: str = ""
    sent: bool = False
    seconds: float = 0.0


class Refused(Struct, frozen=True):
    """Not sent, and never will be: egress rule, certificate, extension, invalid request."""

    rule: str
    detail: str = ""


class Interrupted(Struct, frozen=True):
    """We stopped it ourselves, by shutting down. Charged to nobody."""

    sent: bool = True


Outcome = Responded | TimedOut | Unreachable | Refused | Interrupted
