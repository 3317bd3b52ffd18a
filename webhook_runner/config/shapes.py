"""What is wrong with a URL, a network, a host or a header: a sentence, or nothing."""

import ipaddress
import re
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

from webhook_runner.dispatch.guard import parse_rule
from webhook_runner.errors import InvalidTaskError
from webhook_runner.task.header import check_headers

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"^(?:\*\.)?{_LABEL}(?:\.{_LABEL})*\.?$")
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_LAST_PORT = 65535


def queue_file_problem(path: str) -> str:
    """Return what is wrong with what follows ``embedded:``."""
    if path == ":memory:":
        return ""
    if path.startswith("//"):
        return f"one slash is enough; {_FILE_FORM}"
    if not path.startswith("/"):
        return f"the path must be absolute; {_FILE_FORM}"
    if not path.isprintable() or "?" in path or "#" in path:
        return f'no "?", "#" or control characters in the path; {_FILE_FORM}'
    if path.endswith("/"):
        return f"the path of a file does not end in a slash; {_FILE_FORM}"
    return ""


_FILE_FORM = 'write "embedded:/var/lib/webhook-runner/queue.db"'


def broker_url_problem(url: str) -> str:
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


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_host(text: str) -> bool:
    if ":" in text:
        return _is_address(text)
    try:
        name = text.encode("idna").decode() if not text.isascii() else text
    except UnicodeError:
        return False
    return len(name) <= 253 and bool(_HOST.match(name))  # noqa: PLR2004 - the longest name DNS has


def listen_problem(text: str) -> str:
    port = int(text.rpartition(":")[2]) if text else 0
    return "" if port <= _LAST_PORT else f"port {port} is above {_LAST_PORT}"


def header_problem(name: str, value: str) -> str:
    """Return what is wrong with a header, by the rule that the headers of tasks obey too."""
    try:
        check_headers({name: value})
    except InvalidTaskError as error:
        return str(error).removeprefix(f"{error.field}: ")
    return ""


def rule_problem(entry: str) -> str:
    """Return what is wrong with an entry of allow, deny, no_proxy or allow_hosts."""
    try:
        parse_rule(entry)
    except ValueError as error:
        return str(error)
    return ""
