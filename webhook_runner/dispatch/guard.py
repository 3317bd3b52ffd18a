"""Which hosts, addresses and ports a request may go to: the egress guard."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Literal

import idna

from webhook_runner.dispatch.ranges import (
    Address,
    Network,
    inner_addresses,
    is_metadata,
    kind_of,
)
from webhook_runner.errors import RefusedError

Profile = Literal["internal", "public"]

_NEVER_NEEDED = frozenset({"broadcast", "unspecified", "link_local", "multicast", "reserved"})
# By address they are refused anyway; through a proxy the name is all that is seen here.
_METADATA_HOSTS = frozenset(
    {
        "instance-data",  # AWS
        "instance-data.ec2.internal",
        "metadata",  # Google
        "metadata.goog",
        "metadata.google.internal",
        "metadata.tencentyun.com",
    }
)
_LARGEST_PORT = 65535
_BRACKETED = re.compile(r"^\[([^\]]+)\](?::(\d+))?$")
_WITH_PORT = re.compile(r"^([^:]*):(\d+)$")
_NAME = re.compile(r"^(?=.{1,253}$)(?!.*\.$)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_-]{1,63})*$")
_NUMBERS_ONLY = re.compile(r"^(0x[0-9a-f]*|\d+)(\.(0x[0-9a-f]*|\d+))*$")
_FORMS = (
    'write a network "10.0.0.0/8", an address "10.1.2.3" or "[fd00::1]", a host "example.org" '
    'or "*.example.org", or a port ":25", each but the last with a port behind it if need be'
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of an allow or deny list. What is empty or None matches anything."""

    text: str
    network: Network | None = None
    host: str = ""
    subdomains: bool = False
    port: int | None = None

    @property
    def names_target(self) -> bool:
        return self.network is not None or bool(self.host)

    def matches_host(self, host: str, port: int) -> bool:
        """Whether the name alone decides; a rule with a network never does."""
        if self.network is not None or self.port not in {None, port}:
            return False
        return not self.host or self._is_host(host)

    def matches(self, host: str, addresses: Iterable[Address], port: int) -> bool:
        if self.network is None:
            return self.matches_host(host, port)
        network = self.network
        return self.port in {None, port} and any(
            address.version == network.version and address in network for address in addresses
        )

    def names_exactly(self, host: str, addresses: Iterable[Address], port: int) -> bool:
        """Whether this rule means this one target, not a range that happens to hold it."""
        if self.network is not None and self.network.num_addresses > 1:
            return False
        return self.names_target and not self.subdomains and self.matches(host, addresses, port)

    def _is_host(self, host: str) -> bool:
        return host.endswith(f".{self.host}") if self.subdomains else host == self.host


def parse_rule(text: str) -> Rule:
    """Return the rule meant by an entry of ``allow`` or ``deny``.

    Raises:
        ValueError: it is none of the forms; the message says what would be right.

    """
    target, port = _split_port(text.strip())
    if not target:
        if port is None:
            raise ValueError(f"{text!r} is empty: {_FORMS}")
        return Rule(text, port=port)
    network = _network(text, target)
    if network is not None:
        return Rule(text, network=network, port=port)
    subdomains = target.startswith("*.")
    host = canonical_host(target.removeprefix("*."))
    if not _NAME.match(host) or _NUMBERS_ONLY.match(host):
        raise ValueError(f"{text!r} is no address and no host name: {_FORMS}")
    return Rule(text, host=host, subdomains=subdomains, port=port)


def _split_port(text: str) -> tuple[str, int | None]:
    match = _BRACKETED.match(text) or _WITH_PORT.match(text)
    if match is None or match[2] is None:
        return (match[1] if match else text), None
    port = int(match[2])
    if not 1 <= port <= _LARGEST_PORT:
        raise ValueError(f"{text!r}: a port is a number from 1 to 65535")
    return match[1], port


def _network(text: str, target: str) -> Network | None:
    try:
        return ip_network(target)
    except ValueError as error:
        if "host bits set" in str(error):
            right = ip_network(target, strict=False)
            raise ValueError(f'{text!r} is not the start of a network: write "{right}"') from None
        if "/" in target:
            raise ValueError(f"{text!r} is no network: {_FORMS}") from None
        return None


def canonical_host(host: str) -> str:
    """Return a host name as it is compared: lower case, ASCII, no brackets, no final dot."""
    plain = host.strip("[]").lower().removesuffix(".")
    if plain.isascii():
        return plain
    try:
        return idna.encode(plain, uts46=True).decode("ascii")
    except idna.IDNAError:
        return plain


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


class Guard:
    """Refuses targets by deny list, allow list and profile, in this order.

    An entry of ``allow`` that names a host or a network overrides the profile; metadata
    addresses must be named one by one. Entries of ``allow`` that are only ports leave the
    profile alone: they are then the only ports that may be called, but for targets that
    another entry names.
    """

    def __init__(
        self, profile: Profile, allow: Iterable[str] = (), deny: Iterable[str] = ()
    ) -> None:
        """Read the lists.

        Raises:
            ValueError: an entry is none of the forms.

        """
        self._profile = profile
        rules = tuple(map(parse_rule, allow))
        self._allow = tuple(rule for rule in rules if rule.names_target)
        self._ports = frozenset(rule.port for rule in rules if not rule.names_target)
        self._deny = tuple(map(parse_rule, deny))

    def check_host(self, host: str, port: int) -> None:
        """Judge a name before it is resolved; an address in its place is judged as such.

        Raises:
            RefusedError: it may not be called, with the rule that says so.

        """
        host = canonical_host(host)
        if _is_address(host):
            self.check(host, host, port)
        else:
            self._check_denied(host, (), port)
            self._check_metadata(host, (), port)

    def check_unresolved(self, host: str, port: int) -> None:
        """Judge a target that somebody else resolves, a proxy: all that can be known of it here.

        Raises:
            RefusedError: it may not be called, with the rule that says so.

        """
        host = canonical_host(host)
        self.check_host(host, port)
        if f".{host}".endswith(".localhost"):
            self.check(host, "127.0.0.1", port)
        elif not _is_address(host) and not any(
            rule.matches_host(host, port) for rule in self._allow
        ):
            self._check_port(host, port)

    def check(self, host: str, address: str, port: int) -> None:
        """Judge one address that a host was resolved to.

        Raises:
            RefusedError: it may not be called, with the rule that says so.

        """
        host = canonical_host(host)
        try:
            outer = ip_address(address.partition("%")[0])
        except ValueError:
            raise RefusedError("egress_address", f"{address!r} is no IP address") from None
        inner = inner_addresses(outer)
        every = (outer, *inner)
        self._check_denied(host, every, port)
        self._check_metadata(host, every, port)
        if any(rule.matches(host, every, port) for rule in self._allow):
            return
        self._check_port(host, port)
        if outer.version == 6 and kind_of(outer) == "local_nat64":  # noqa: PLR2004 - IPv6
            self._check_kind(host, outer, outer)
        for judged in inner or (outer,):
            self._check_kind(host, outer, judged)

    def _check_denied(self, host: str, addresses: tuple[Address, ...], port: int) -> None:
        for rule in self._deny:
            if rule.matches(host, addresses, port):
                raise RefusedError(
                    "egress_deny",
                    f"{_target(host, addresses, port)} is refused by {rule.text!r} in egress.deny",
                )

    def _check_metadata(self, host: str, addresses: tuple[Address, ...], port: int) -> None:
        if host not in _METADATA_HOSTS and not any(map(is_metadata, addresses)):
            return
        if not any(rule.names_exactly(host, addresses, port) for rule in self._allow):
            raise RefusedError(
                "egress_metadata",
                f"{_target(host, addresses, port)} hands out a cloud's credentials; "
                "only an entry of egress.allow that names exactly it opens it",
            )

    def _check_port(self, host: str, port: int) -> None:
        if self._ports and port not in self._ports:
            raise RefusedError("egress_port", f"{host}:{port}: port {port} is not in egress.allow")

    def _check_kind(self, host: str, outer: Address, judged: Address) -> None:
        kind = kind_of(judged)
        refused = kind != "global" if self._profile == "public" else kind in _NEVER_NEEDED
        if refused:
            what = str(outer) if outer == judged else f"{outer} (which leads to {judged})"
            raise RefusedError(
                f"egress_{kind}",
                f"{host} is at {what}, which is {kind.replace('_', ' ')}: "
                f'profile "{self._profile}" refuses it unless egress.allow names it',
            )


def _target(host: str, addresses: tuple[Address, ...], port: int) -> str:
    at = f" at {addresses[0]}" if addresses and str(addresses[0]) != host else ""
    return f"{host}:{port}{at}"
