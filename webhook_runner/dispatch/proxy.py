"""Which requests go through the configured proxy. The environment has no say."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from webhook_runner.dispatch.guard import Rule, canonical_host, parse_rule
from webhook_runner.errors import ConfigError

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Proxy:
    """A forward proxy; ``auth`` is never part of ``url``."""

    url: str
    host: str
    port: int
    encrypted: bool
    auth: tuple[str, str] | None


class ProxyChoice:
    """Tells hosts that go through the proxy from hosts that do not.

    Through a proxy it is the proxy that resolves names: we then judge names, ports and literal
    addresses only, and where it may go is its operator's to say.
    """

    def __init__(self, proxy: str, no_proxy: Iterable[str]) -> None:
        """Read both settings.

        Raises:
            ConfigError: one of them cannot be used.

        """
        self.proxy = _parse(proxy) if proxy else None
        entries = [entry.strip() for entry in no_proxy]
        self._none = "*" in entries
        try:
            self._direct = tuple(parse_rule(e.removeprefix(".")) for e in entries if e != "*")
        except ValueError as error:
            raise ConfigError(f"egress.no_proxy: {error}") from error

    @property
    def trusted(self) -> frozenset[tuple[str, int]]:
        """The proxy's own host and port: the operator named it, so the guard need not."""
        return frozenset({(self.proxy.host, self.proxy.port)} if self.proxy else ())

    def is_direct(self, host: str) -> bool:
        """Whether a host is called directly; an entry means a host and all below it."""
        return self.proxy is None or self._none or any(_means(r, host) for r in self._direct)


def _means(rule: Rule, host: str) -> bool:
    if rule.network is None:
        return host == rule.host or host.endswith(f".{rule.host}")
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.version == rule.network.version and address in rule.network


def _parse(text: str) -> Proxy:
    wrong = ConfigError('egress.proxy: write "http://host:port" or "https://user:password@host"')
    try:
        parts = urlsplit(text)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        raise wrong from None
    if parts.scheme not in _DEFAULT_PORTS or not port or not parts.hostname:
        raise wrong
    host = canonical_host(parts.hostname)
    auth = None
    if parts.username is not None:
        auth = (unquote(parts.username), unquote(parts.password or ""))
    netloc = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return Proxy(f"{parts.scheme}://{netloc}", host, port, parts.scheme == "https", auth)
