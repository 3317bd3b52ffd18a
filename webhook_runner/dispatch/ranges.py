"""What kinds of addresses there are: our own table, and what hides inside another address."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# `ipaddress.is_global` changed its mind between patch releases of Python, so the registries of
# IANA (special-purpose IPv4 and IPv6 addresses) are written out here. The first match counts.
_KINDS = (
    ("broadcast", "255.255.255.255/32"),
    ("unspecified", "0.0.0.0/8"),
    ("private", "10.0.0.0/8"),
    ("shared", "100.64.0.0/10"),
    ("loopback", "127.0.0.0/8"),
    ("link_local", "169.254.0.0/16"),
    ("private", "172.16.0.0/12"),
    ("protocol", "192.0.0.0/24"),
    ("documentation", "192.0.2.0/24"),
    ("protocol", "192.88.99.0/24"),
    ("private", "192.168.0.0/16"),
    ("benchmark", "198.18.0.0/15"),
    ("documentation", "198.51.100.0/24"),
    ("documentation", "203.0.113.0/24"),
    ("multicast", "224.0.0.0/4"),
    ("reserved", "240.0.0.0/4"),
    ("global", "0.0.0.0/0"),
    ("unspecified", "::/128"),
    ("loopback", "::1/128"),
    ("local_nat64", "64:ff9b:1::/48"),
    ("protocol", "2001::/23"),
    ("documentation", "2001:db8::/32"),
    ("documentation", "3fff::/20"),
    ("reserved", "3ffe::/16"),
    ("global", "2000::/3"),
    ("private", "fc00::/7"),
    ("link_local", "fe80::/10"),
    ("site_local", "fec0::/10"),
    ("multicast", "ff00::/8"),
    ("reserved", "::/0"),
)
_TABLE = tuple((kind, ip_network(network)) for kind, network in _KINDS)

_METADATA = frozenset(
    map(
        ip_address,
        (
            "169.254.169.254",  # most clouds
            "169.254.170.2",  # AWS containers
            "168.63.129.16",  # Azure
            "100.100.100.200",  # Alibaba
            "192.0.0.192",  # Oracle
            "fd00:ec2::254",  # AWS
            "fd00:ec2::23",  # AWS, pods
            "fd20:ce::254",  # Google
        ),
    )
)

_COMPATIBLE = IPv6Network("::/96")
_MAPPED = IPv6Network("::ffff:0:0/96")
_TRANSLATED = IPv6Network("::ffff:0:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_TEREDO = IPv6Network("2001::/32")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_LOW_32 = 0xFFFF_FFFF
_LOW_64 = 0xFFFF_FFFF_FFFF_FFFF


def kind_of(address: Address) -> str:
    """Return the kind of an address, such as ``global``, ``loopback`` or ``link_local``."""
    return next(
        kind
        for kind, network in _TABLE
        if network.version == address.version and address in network
    )


def is_metadata(address: Address) -> bool:
    """Whether a cloud hands out credentials to its machines at this address."""
    return address in _METADATA


def inner_addresses(address: Address) -> tuple[IPv4Address, ...]:
    """Return the IPv4 addresses that packets to this IPv6 address end up at, if any.

    Sources: RFC 4291 2.5.5 (mapped, compatible), RFC 2765 (translated), RFC 6052 (NAT64),
    RFC 8215 (local NAT64), RFC 4380 (Teredo), RFC 3056 (6to4).
    """
    if isinstance(address, IPv4Address):
        return ()
    number = int(address)
    if address in _COMPATIBLE:
        return (IPv4Address(number),) if number > 1 else ()
    if address in _MAPPED or address in _TRANSLATED or address in _NAT64:
        return (IPv4Address(number & _LOW_32),)
    if address in _LOCAL_NAT64:
        return _local_nat64(number)
    if address in _TEREDO:
        return (IPv4Address(number >> 64 & _LOW_32), IPv4Address(~number & _LOW_32))
    if address in _SIX_TO_FOUR:
        return (IPv4Address(number >> 80 & _LOW_32),)
    return ()


def _local_nat64(number: int) -> tuple[IPv4Address, ...]:
    # Whether a network uses the whole /48 or a /96 of it cannot be seen from outside: where
    # both readings give an address, both are judged.
    readings = [IPv4Address(number & _LOW_32)] if number & _LOW_32 else []
    spread = ((number >> 64) & 0xFFFF) << 16 | (number & _LOW_64) >> 40 & 0xFFFF
    return (*readings, IPv4Address(spread)) if spread else tuple(readings)
