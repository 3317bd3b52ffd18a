"""The guide tells of each rule what the guard does."""

import re
from ipaddress import ip_network
from pathlib import Path

import pytest

from webhook_runner.dispatch.guard import Guard, Profile
from webhook_runner.dispatch.ranges import _KINDS
from webhook_runner.errors import RefusedError

GUIDE = (Path(__file__).parents[3] / "docs" / "guide" / "egress.md").read_text()
ROWS = re.findall(r"^\| `egress_(\w+)` \| (.+?) \| (\w+) \| (\w+) \|$", GUIDE, re.MULTILINE)
# What leads nowhere at all is refused by that.
WITHIN = {"64:ff9b:1::/48": "64:ff9b:1::808:808"}
PROFILES: tuple[Profile, Profile] = ("internal", "public")


def _within(network: str) -> str:
    """Return an address of it; never the last one, which may be for all of them."""
    whole = ip_network(network)
    return str(whole[-2] if whole.num_addresses > 1 else whole[0])


def told(profile: Profile, address: str) -> str:
    try:
        Guard(profile).check("h.test", address, 443)
    except RefusedError as refused:
        return refused.rule.removeprefix("egress_")
    return "called"


def test_every_kind_of_address_has_a_line() -> None:
    assert {kind for kind, *_ in ROWS} >= {kind for kind, _ in _KINDS if kind != "global"}


@pytest.mark.parametrize(
    ("kind", "text", "internal", "public"), [row for row in ROWS if row[0] not in {"deny", "port"}]
)
def test_what_is_told_is_what_is_done(kind: str, text: str, internal: str, public: str) -> None:
    networks = re.findall(
        r"(?<![\w.:])(?:\d+\.\d+\.\d+\.\d+|[0-9a-f]*::?[0-9a-f:]*)(?:/\d+)?", text
    )
    addresses = [WITHIN.get(each, _within(each)) for each in networks]
    assert addresses
    for address in addresses:
        for profile, said in zip(PROFILES, (internal, public), strict=True):
            assert told(profile, address) == ("called" if said == "called" else kind)
