"""Whether a request can go out as it is: method, URL and headers, checked before every send."""

import math
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from webhook_runner.errors import RefusedError
from webhook_runner.task.request import Request

# Those that frame the message or belong to one connection (RFC 9110 7.6.1, RFC 9112 6): only
# the client itself may write them, or a request could be smuggled behind another.
_OURS = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNFIT_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_UNFIT_IN_URL = re.compile(r"[\x00-\x20\x7f\\]")
# The same few names come with every request.
_faultless: set[str] = set()
_LONGEST_REMEMBERED = 64
_MOST_REMEMBERED = 512
_METHODS_OF_PROXIES = frozenset({"CONNECT", "TRACE"})


def check_request(request: Request) -> None:
    """Check all that a task, a template or an extension may have got wrong.

    Raises:
        RefusedError: rule ``url``, ``method``, ``header`` or ``request``, with the reason.

    """
    check_url(request.url)
    check_message(request)


def check_message(request: Request) -> None:
    """Check all but the URL.

    Raises:
        RefusedError: rule ``method``, ``header`` or ``request``, with the reason.

    """
    if not _is_token(request.method):
        raise RefusedError("method", f"{request.method!r} is no HTTP method")
    if request.method.upper() in _METHODS_OF_PROXIES:
        raise RefusedError("method", f"{request.method} is never sent")
    check_headers(request.headers)
    if not isinstance(request.body, bytes):
        raise RefusedError("request", f"the body is {type(request.body).__name__}, not bytes")
    for seconds in (request.timeout, request.connect_timeout):
        if not _is_duration(seconds):
            raise RefusedError("request", f"a timeout of {seconds!r} is no number of seconds > 0")


def check_url(url: object) -> str:
    """Return a URL that is absolute, http or https, has a host, and neither user nor password.

    Raises:
        RefusedError: rule ``url``.

    """
    if not isinstance(url, str) or _UNFIT_IN_URL.search(url):
        raise RefusedError("url", "the url is not text, or holds spaces, controls or backslashes")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise RefusedError("url", f"the url is malformed: {error}") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise RefusedError("url", "the url must be absolute: http or https, host, maybe a port")
    if "@" in parts.netloc:
        raise RefusedError("url", "a user or password in the url is not sent: use a header")
    if "%" in parts.netloc:
        raise RefusedError("url", "a host has no percent escapes, and no zone")
    return url


def check_headers(headers: Mapping[str, str]) -> None:
    """Check names and values, and that none of them frames the message.

    Raises:
        RefusedError: rule ``header``.

    """
    if not isinstance(headers, Mapping):
        raise RefusedError("header", f"headers are {type(headers).__name__}, not a mapping")
    for name, value in headers.items():
        if name not in _faultless and (fault := _name_fault(name)):
            raise RefusedError("header", fault)
        if not (type(value) is str and value.isprintable()) and not _is_value(value):
            raise RefusedError("header", f"the value of {name} is not text, or holds controls")


# These take objects because extensions are not type-checked: a value may be anything.


def _name_fault(name: object) -> str:
    """Say what speaks against the name of a header; nothing: an empty string."""
    if not isinstance(name, str) or not _is_token(name):
        return f"{name!r} is no header name"
    if name.lower() in _OURS or name.lower().startswith("proxy-"):
        return f"{name} frames the message: it cannot be set"
    if len(name) <= _LONGEST_REMEMBERED and len(_faultless) < _MOST_REMEMBERED:
        _faultless.add(name)
    return ""


def _is_token(value: object) -> bool:
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None


def _is_value(value: object) -> bool:
    return isinstance(value, str) and (value.isprintable() or _UNFIT_IN_VALUE.search(value) is None)


def _is_duration(value: object) -> bool:
    return isinstance(value, int | float) and 0 < value < math.inf
