"""Sixteen or four bytes: an address that the profile public lets through is nobody's own."""

from ipaddress import IPv4Address, IPv6Address, ip_address

from webhook_runner.dispatch.guard import Guard, parse_rule
from webhook_runner.dispatch.ranges import inner_addresses, kind_of
from webhook_runner.errors import RefusedError

PUBLIC, INTERNAL = Guard("public"), Guard("internal")
NAMED = "any.test"


def check(data: bytes) -> None:
    assert_read(data.decode(errors="surrogateescape"))
    if len(data) not in {4, 16}:
        return
    address = ip_address(data)
    assert kind_of(address)
    if not passes(PUBLIC, address):
        return
    assert passes(INTERNAL, address)
    for each in inner_addresses(address) or (address,):
        assert passes(PUBLIC, each)
        assert is_everybodys(each)


def passes(guard: Guard, address: IPv4Address | IPv6Address) -> bool:
    try:
        guard.check(NAMED, str(address), 443)
    except RefusedError as error:
        assert error.rule.startswith("egress_")
        return False
    return True


def is_everybodys(address: IPv4Address | IPv6Address) -> bool:
    return not (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address.is_private
    )


def assert_read(text: str) -> None:
    """Take any text for a rule, for a host and for an address."""
    try:
        rule = parse_rule(text)
    except ValueError as error:
        assert str(error)
    else:
        Guard("public", [text], [text])
        assert rule.port is None or 0 < rule.port <= 65535
    for address in ((), (text,)):
        try:
            PUBLIC.check(text, *address, 80) if address else PUBLIC.check_host(text, 80)
        except RefusedError as error:
            assert error.rule
