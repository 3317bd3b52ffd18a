"""What is wrong with a URL, a network, a host or a header: a sentence, or nothing."""

import ipaddress
import re
from urllib.parse import SplitResult, parse_qs, unquote_to_bytes, urlsplit

from webhook_runner.dispatch.guard import parse_rule
from webhook_runner.errors import InvalidTaskError
from webhook_runner.settings import MEMORY, NO_STORE, POSTGRESQL, SQLITE, host_and_port
from webhook_runner.task.header import check_headers

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"^(?:\*\.)?{_LABEL}(?:\.{_LABEL})*\.?$")
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_USERINFO = re.compile(r"//[^\s/]*@")
_LAST_PORT = 65535


def queue_file_problem(path: str) -> str:
    """Return what is wrong with what follows ``embedded:``."""
    return _file_problem(path, 'write "embedded:/var/lib/webhook-runner/queue.db"')


def _file_problem(path: str, form: str) -> str:
    if path == MEMORY:
        return ""
    if path.startswith("//"):
        return f"one slash is enough; {form}"
    if not path.startswith("/"):
        return f"the path must be absolute; {form}"
    if not path.isprintable() or "?" in path or "#" in path:
        return f'no "?", "#" or control characters in the path; {form}'
    if path.endswith("/"):
        return f"the path of a file does not end in a slash; {form}"
    return ""


def store_url_problem(url: str) -> str:
    """Return what is wrong with ``store.url``."""
    if url in {"", NO_STORE}:
        return ""
    if url.startswith(SQLITE):
        return _file_problem(url.removeprefix(SQLITE), f"write {_STATE_FORM}")
    if url.startswith(POSTGRESQL):
        return _database_problem(url)
    return f'write {_STATE_FORM}, {_DATABASE_FORM}, "none" or ""'


_STATE_FORM = '"sqlite:/var/lib/webhook-runner/state.db"'
_DATABASE_FORM = '"postgresql://user:password@host:5432/database"'


def _database_problem(url: str) -> str:
    """Judge it by libpq's rules: several hosts, or a socket's directory, or none but in the query.

    https://www.postgresql.org/docs/current/libpq-connect.html
    """
    encoded = "with : / ? # @ in the user or password percent-encoded"
    if not url.isprintable() or " " in url or "#" in url or url.count("@") > 1:
        return f"write {_DATABASE_FORM}, {encoded}"
    address, _, query = url.partition("://")[2].partition("?")
    named = parse_qs(query)
    if secret := next((name for name in named if name.endswith("password")), ""):
        return f"no {secret} after the question mark; write it before the host, or password_file"
    hosts = [host for host in address.partition("/")[0].rpartition("@")[2].split(",") if host]
    if bad := next((host for host in hosts if not _is_database_host(host)), ""):
        return f"{bad!r} is no host; write {_DATABASE_FORM}, {encoded}"
    if not hosts and not named.keys() & {"host", "hostaddr", "service"}:
        socket = '"postgresql:///database?host=/var/run/postgresql"'
        return f"no host; write {_DATABASE_FORM}, or {socket} for a socket"
    return _percent_problem(url)


def _is_database_host(text: str) -> bool:
    host, port = host_and_port(text)
    if port and not (port.isdecimal() and 0 < int(port) <= _LAST_PORT):
        return False
    return host.upper().startswith("%2F") or (_is_host(host) and not host.startswith("*"))


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
        return _USERINFO.sub("//***@", str(error))
    return ""
