"""The HTTP request a task asks for, as a value: what extensions see and the dispatcher sends."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Request:
    """One request. ``url`` is absolute, ``timeout`` the total deadline in seconds.

    Header names are written as they go out; they are compared without regard to case.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    timeout: float = 60.0
    connect_timeout: float = 10.0
