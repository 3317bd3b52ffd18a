"""What is wrong with a URL, a network, a host or a header: a sentence, or nothing."""

import ipaddress
import re
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"^(?:\*\.)?{_LABEL}(?:\.{_LABEL})*\.?$")
_TOKEN = re.compile(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
_FIELD_VALUE = re.compile(
    r"^[\x21-\x7e\x80-\xff](?:[\x20-\x7e\x80-\xff\t]*[\x21-\x7e\x80-\xff])?$|^$"
)
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ENTRY = re.compile(
    r"^(?P<place>\[[^\]]*\](?:/\d+)?|[^:]*|[^:]*(?::[^:]*){2,})(?::(?P<port>\d+))?$"
)
_OURS = re.compile(
    r"^(?:webhook-runner-.*|wr-.*|host|content-length|transfer-encoding|connection"
    r"|keep-alive|proxy-authenticate|proxy-authorization|proxy-connection|te"
    r"|trailer|upgrade)$",
    re.IGNORECASE,
)
_LAST_PORT = 65535


def broker_url_problem(url: str) -> str:
    if url.startswith("embedded:"):
        return "the embedded broker is not available in this version; write an amqp:// URL"
    parts = _split(url)
    if parts is None:
        return _BROKER_FORM
    if parts.scheme not in {"amqp", "amqps"}:
        return f"the scheme {parts.scheme!r} is no broker's; {_BROKER_FORM}"
    if not parts.hostname or not _is_host(parts.hostname) or parts.hostname.startswith("*"):
        return f"no host; {_BROKER_FORM}"
    if parts.query or parts.fragment:
        return 'nothing may follow "?" or "#"; such settings stand in [broker]'
    if "/" in parts.path[1:]:
        return 'a virtual host with a slash is written with %2F, as in "amqp://host/%2Fname"'
    return _percent_problem(url)


_BROKER_FORM = (
    'write "amqp://user:password@host:5672/vhost" or amqps, with : / ? # @ in the user'
    " or password percent-encoded"
)


def _percent_problem(url: str) -> str:
    if _PERCENT.search(url):
        return 'a "%" that encodes nothing; write %25 for the sign itself'
    try:
        unquote_to_bytes(url).decode()
    except UnicodeDecodeError:
        return "its percent-encoding is not UTF-8"
    return ""


def base_url_problem(url: str) -> str:
    parts = _split(url)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        return 'write an absolute URL such as "http://localhost:8000", or ""'
    if not _is_host(parts.hostname) or parts.hostname.startswith("*"):
        return f"{parts.hostname!r} is no host name or address"
    if parts.query or parts.fragment:
        return 'nothing may follow "?" or "#": paths are joined to it'
    if parts.username is not None:
        return "no user or password here; send them with headers = {Authorization = ...}"
    return ""


def proxy_problem(url: str) -> str:
    parts = _split(url)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        return 'write a URL such as "http://proxy.example:3128", or ""'
    return "" if not parts.query and parts.path in {"", "/"} else "a proxy has no path"


def _split(url: str) -> SplitResult | None:
    """Take a URL apart, or answer None where it has no such parts or characters."""
    if not url.isprintable() or " " in url or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    return None if port == 0 or parts.netloc.endswith(":") else parts


def _is_host(text: str) -> bool:
    if ":" in text:
        return _network_problem(text) == ""
    try:
        name = text.encode("idna").decode() if not text.isascii() else text
    except UnicodeError:
        return False
    return len(name) <= 253 and bool(_HOST.match(name))  # noqa: PLR2004 - the longest name DNS has


def host_problem(text: str) -> str:
    return (
        "" if _is_host(text) else "no host name; write one such as api.example.com or *.example.com"
    )


def egress_problem(entry: str) -> str:
    """Return what is wrong with an allow or deny entry: network or host, and port after a colon."""
    match = _ENTRY.match(entry)
    place = match["place"] if match else ""
    port = match["port"] if match else None
    if not place and port is None:
        return _ENTRY_FORM
    if port is not None and not 1 <= int(port[:9]) <= _LAST_PORT:
        return f"{port} is no port from 1 to {_LAST_PORT}"
    bare = place.replace("[", "").replace("]", "")
    if ":" in bare or "/" in bare or re.fullmatch(r"[\d.]+", bare):
        return _network_problem(bare)
    return "" if not bare or _is_host(bare) else _ENTRY_FORM


_ENTRY_FORM = (
    'write a network "10.0.0.0/8", an address "::1", a host "api.example.com" or "*.example.com",'
    ' each with an optional ":port", or a port alone ":443"'
)


def _network_problem(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        pass
    else:
        return ""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return f"{text!r} is no address or network; {_ENTRY_FORM}"
    return f'{text} is an address inside a network; write "{network}" for the network'


def listen_problem(text: str) -> str:
    port = int(text.rpartition(":")[2]) if text else 0
    return "" if port <= _LAST_PORT else f"port {port} is above {_LAST_PORT}"


def header_problem(name: str, value: str) -> str:
    if not _TOKEN.match(name):
        return "no header name: letters, digits and dashes"
    if _OURS.match(name):
        return "this header is set by webhook_runner itself and cannot be configured"
    if not _FIELD_VALUE.match(value):
        return "the value has a line break, control character, space at an end or non-Latin letter"
    return ""
