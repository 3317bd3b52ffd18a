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
_UNFIT_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_UNFIT_IN_URL = re.compile(r"[\x00-\x20\x7f\\]")
_METHODS_OF_PROXIES = frozenset({"CONNECT", "TRACE"})


def check_request(request: Request) -> None:
    """Check all that a task, a template or an extension may have got wrong.

    Raises:
        RefusedError: rule ``url``, ``method``, ``header`` or ``request``, with the reason.

    """
    check_url(request.url)
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


def check_url(url: object) -> None:
    """Check that a URL is absolute, http or https, has a host, and neither user nor password.

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


def check_headers(headers: Mapping[str, str]) -> None:
    """Check names and values, and that none of them frames the message.

    Raises:
        RefusedError: rule ``header``.

    """
    if not isinstance(headers, Mapping):
        raise RefusedError("header", f"headers are {type(headers).__name__}, not a mapping")
    for name, value in headers.items():
        if not _is_token(name):
            raise RefusedError("header", f"{name!r} is no header name")
        if name.lower() in _OURS or name.lower().startswith("proxy-"):
            raise RefusedError("header", f"{name} frames the message: it cannot be set")
        if not _is_value(value):
            raise RefusedError("header", f"the value of {name} is not text, or holds controls")


# These take objects because extensions are not type-checked: a value may be anything.


def _is_token(value: object) -> bool:
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None


def _is_value(value: object) -> bool:
    return isinstance(value, str) and not _UNFIT_IN_VALUE.search(value)


def _is_duration(value: object) -> bool:
    return isinstance(value, int | float) and 0 < value < math.inf
