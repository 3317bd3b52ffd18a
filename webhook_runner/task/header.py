"""Which HTTP headers a sender or operator may set on a request."""

import re
from collections.abc import Mapping

from webhook_runner.errors import InvalidTaskError

MAX_HEADERS = 64
MAX_HEADER_BYTES = 16_384

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?")
# Framing and hop-by-hop headers belong to the connection: RFC 9110 §7.6.1, RFC 9112 §6.
_CONNECTION = frozenset(
    {
        "host",
        "content-length",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "keep-alive",
        "connection",
    }
)
_RESERVED_PREFIXES = ("webhook-", "wr-", "proxy-", ":")


def check_headers(headers: Mapping[str, str], field: str = "headers") -> None:
    """Check names and values of headers to be sent.

    Refused are framing and hop-by-hop headers and those that are ours to write: ``webhook-*``,
    ``wr-*`` and ``Idempotency-Key``. ``traceparent`` is allowed; the message's own wins over it.

    Raises:
        InvalidTaskError: the first fault that was found.

    """
    if len(headers) > MAX_HEADERS:
        raise InvalidTaskError(
            "too_many_headers", f"has {len(headers)} headers; at most {MAX_HEADERS}", field
        )
    seen: set[str] = set()
    for name, value in headers.items():
        _check_one(name, value, f"{field}.{name:.60}" if name.isprintable() else field)
        seen.add(name.lower())
    if len(seen) < len(headers):
        raise InvalidTaskError("duplicate_key", "has one header twice (case is ignored)", field)
    if sum(len(name) + len(value) for name, value in headers.items()) > MAX_HEADER_BYTES:
        raise InvalidTaskError(
            "too_many_headers", f"is longer than {MAX_HEADER_BYTES} bytes in all", field
        )


def _check_one(name: str, value: str, field: str) -> None:
    lower = name.lower()
    if lower in _CONNECTION or lower.startswith(_RESERVED_PREFIXES):
        raise InvalidTaskError(
            "forbidden_header", "is set by webhook_runner or its connection; leave it out", field
        )
    if lower == "idempotency-key":
        raise InvalidTaskError(
            "forbidden_header", "is always the id of the task; give the task that id", field
        )
    if not _TOKEN.fullmatch(name):
        raise InvalidTaskError(
            "bad_header", f"{name!r:.60} is no header name; use letters, digits and hyphens", field
        )
    if not _VALUE.fullmatch(value):
        raise InvalidTaskError(
            "bad_header",
            "has a value with a control or non-ASCII character, or with space at its ends",
            field,
        )
