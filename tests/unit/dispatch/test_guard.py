"""The egress guard, spelling by spelling."""

import re

import pytest

from tests.unit.dispatch.addresses import ROWS
from webhook_runner.dispatch.guard import Guard, canonical_host, parse_rule
from webhook_runner.errors import RefusedError


def verdict(guard: Guard, address: str, host: str = "h.test", port: int = 443) -> str:
    try:
        guard.check(host, address, port)
    except RefusedError as refused:
        return refused.rule.removeprefix("egress_")
    return "-"


def name_verdict(guard: Guard, host: str, port: int = 443) -> str:
    try:
        guard.check_host(host, port)
    except RefusedError as refused:
        return refused.rule.removeprefix("egress_")
    return "-"


def proxied_verdict(guard: Guard, host: str, port: int) -> str:
    try:
        guard.check_unresolved(host, port)
    except RefusedError as refused:
        return refused.rule.removeprefix("egress_")
    return "-"


def test_the_table_is_long_enough_to_mean_something() -> None:
    assert len({row[0] for row in ROWS}) == len(ROWS) >= 120


@pytest.mark.parametrize(("address", "internal", "public"), ROWS)
def test_an_address_is_judged_by_where_its_packets_end(
    address: str, internal: str, public: str
) -> None:
    assert verdict(Guard("internal"), address) == internal
    assert verdict(Guard("public"), address) == public
    assert name_verdict(Guard("public"), address.partition("%")[0]) == public


@pytest.mark.parametrize(
    "address", ["", "h.test", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "1.2.3.4.5", "::g"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    assert verdict(Guard("internal"), address) == "address"


@pytest.mark.parametrize("host", ["metadata.google.internal", "METADATA.google.internal.",
                                  "metadata.goog", "metadata", "Instance-Data",
                                  "instance-data.ec2.internal",
                                  "metadata.tencentyun.com"])  # fmt: skip
def test_the_names_of_metadata_services_are_refused_before_they_are_resolved(host: str) -> None:
    assert name_verdict(Guard("internal"), host) == "metadata"
    assert (
        name_verdict(Guard("internal", allow=["*.internal", "*.google.internal", "*.goog"]), host)
        == "metadata"
    )
    assert name_verdict(Guard("internal", allow=[host]), host) == "-"


@pytest.mark.parametrize(
    ("allow", "host", "address", "port", "public"),
    [
        ("10.0.0.0/8", "a.test", "10.1.2.3", 80, "-"),
        ("10.0.0.0/8", "a.test", "::ffff:10.1.2.3", 80, "-"),
        ("10.0.0.0/8", "a.test", "64:ff9b::10.1.2.3", 80, "-"),
        ("10.0.0.0/8", "a.test", "192.168.1.1", 80, "private"),
        ("10.1.2.3", "a.test", "10.1.2.3", 80, "-"),
        ("10.1.2.3", "a.test", "10.1.2.4", 80, "private"),
        ("[fd00::1]", "a.test", "fd00::1", 80, "-"),
        ("fd00::/8", "a.test", "fd00::1", 80, "-"),
        ("[::1]:8080", "a.test", "::1", 8080, "-"),
        ("[::1]:8080", "a.test", "::1", 8081, "loopback"),
        ("10.0.0.0/8:8443", "a.test", "10.1.2.3", 8443, "-"),
        ("10.0.0.0/8:8443", "a.test", "10.1.2.3", 80, "private"),
        ("a.test", "a.test", "10.1.2.3", 80, "-"),
        ("a.test", "A.TEST.", "10.1.2.3", 80, "-"),
        ("A.Test.", "a.test", "10.1.2.3", 80, "-"),
        ("a.test", "b.a.test", "10.1.2.3", 80, "private"),
        ("a.test", "xa.test", "10.1.2.3", 80, "private"),
        ("*.a.test", "b.a.test", "10.1.2.3", 80, "-"),
        ("*.a.test", "c.b.a.test", "10.1.2.3", 80, "-"),
        ("*.a.test", "a.test", "10.1.2.3", 80, "private"),
        ("*.a.test", "ba.test", "10.1.2.3", 80, "private"),
        ("a.test:81", "a.test", "10.1.2.3", 81, "-"),
        ("a.test:81", "a.test", "10.1.2.3", 80, "private"),
        ("exämple.org", "xn--exmple-cua.org", "10.1.2.3", 80, "-"),
        (":443", "a.test", "8.8.8.8", 443, "-"),
        (":443", "a.test", "8.8.8.8", 80, "port"),
        (":443", "a.test", "10.1.2.3", 443, "private"),
        ("0.0.0.0/0", "a.test", "169.254.169.254", 80, "metadata"),
        ("169.254.0.0/16", "a.test", "169.254.169.254", 80, "metadata"),
        ("169.254.0.0/16", "a.test", "169.254.1.1", 80, "-"),
        ("*.test", "a.test", "169.254.169.254", 80, "metadata"),
        ("169.254.169.254", "a.test", "169.254.169.254", 80, "-"),
        ("169.254.169.254/32", "a.test", "::ffff:169.254.169.254", 80, "-"),
        ("169.254.169.254/31", "a.test", "169.254.169.254", 80, "metadata"),
        ("fd00:ec2::254/128", "a.test", "fd00:ec2::254", 80, "-"),
        ("a.test:1", "a.test", "10.1.2.3", 1, "-"),
        ("a.test:65535", "a.test", "10.1.2.3", 65535, "-"),
        ("a.test", "a.test", "169.254.169.254", 80, "-"),
    ],
)
def test_an_allowed_target_overrides_the_profile(
    allow: str, host: str, address: str, port: int, public: str
) -> None:
    assert verdict(Guard("public", allow=[allow]), address, host, port) == public


@pytest.mark.parametrize(
    ("deny", "host", "address", "port", "expected"),
    [
        ("8.8.8.0/24", "a.test", "8.8.8.8", 80, "deny"),
        ("8.8.8.0/24", "a.test", "::ffff:8.8.8.8", 80, "deny"),
        ("8.8.8.0/24", "a.test", "2002:808:808::1", 80, "deny"),
        ("8.8.8.0/24", "a.test", "8.8.9.8", 80, "-"),
        (":25", "a.test", "8.8.8.8", 25, "deny"),
        (":25", "a.test", "8.8.8.8", 80, "-"),
        ("a.test", "a.test", "8.8.8.8", 80, "deny"),
        ("*.test", "a.test", "8.8.8.8", 80, "deny"),
        ("*.test", "test", "8.8.8.8", 80, "-"),
        ("a.test:25", "a.test", "8.8.8.8", 80, "-"),
        ("2000::/3", "a.test", "2606:4700::1", 80, "deny"),
        ("2000::/3", "a.test", "8.8.8.8", 80, "-"),
    ],
)
def test_a_denied_target_is_refused_even_when_it_is_allowed(
    deny: str, host: str, address: str, port: int, expected: str
) -> None:
    allowing_all = ["0.0.0.0/0", "::/0", host]
    assert verdict(Guard("internal", allowing_all, [deny]), address, host, port) == expected


def test_a_denied_name_is_refused_before_it_is_resolved() -> None:
    guard = Guard("internal", allow=["a.test"], deny=["a.test", ":25"])
    assert name_verdict(guard, "A.test.") == "deny"
    assert name_verdict(guard, "b.test", 25) == "deny"
    assert name_verdict(guard, "b.test") == "-"


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("a.test", 443, "-"),
        ("a.test", 80, "port"),
        ("b.test", 80, "-"),
        ("b.test", 81, "port"),
        ("c.test", 443, "deny"),
        ("metadata", 443, "metadata"),
        ("localhost", 443, "loopback"),
        ("LocalHost.", 443, "loopback"),
        ("a.localhost", 443, "loopback"),
        ("mylocalhost", 443, "-"),
        ("127.0.0.1", 443, "loopback"),
        ("[::1]", 443, "loopback"),
        ("10.1.2.3", 443, "private"),
        ("10.2.2.3", 80, "-"),
        ("8.8.8.8", 443, "-"),
        ("8.8.8.8", 80, "port"),
    ],
)
def test_what_a_proxy_resolves_is_judged_by_all_that_is_known_of_it(
    host: str, port: int, expected: str
) -> None:
    guard = Guard("public", allow=[":443", "b.test:80", "10.2.0.0/16"], deny=["c.test"])
    assert proxied_verdict(guard, host, port) == expected


def test_a_refusal_names_target_reason_and_remedy() -> None:
    with pytest.raises(RefusedError) as refused:
        Guard("public").check("a.test", "::ffff:127.0.0.1", 80)
    text = str(refused.value)
    assert "a.test" in text
    assert "127.0.0.1" in text
    assert "loopback" in text
    assert "egress.allow" in text
    told = r"^a\.test:80 at 8\.8\.8\.8 is refused by '8\.8\.0\.0/16' in egress\.deny"
    with pytest.raises(RefusedError, match=told):
        Guard("public", deny=["8.8.0.0/16"]).check("a.test", "8.8.8.8", 80)
    with pytest.raises(RefusedError, match=r"^8\.8\.8\.8:80 is refused by"):
        Guard("public", deny=["8.8.0.0/16"]).check("8.8.8.8", "8.8.8.8", 80)


def test_the_zone_of_an_address_hides_nothing() -> None:
    assert verdict(Guard("internal"), "fd00:ec2::254%eth0") == "metadata"
    assert verdict(Guard("public"), "fe80::1%eth0") == "link_local"


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "empty"), ("  ", "empty"), ("10.1.2.3/16", '"10.1.0.0/16"'),
     ("10.0.0.0/33", "no network"),
     ("a/b", "no network"), ("127.1", "no address"), ("2130706433", "no address"),
     ("0x7f.1", "no address"), ("10.0.0.256", "no address"), ("http://a.test", "write"),
     ("a b", "no address"), ("*", "no address"), ("*.", "no address"), ("*.*.test", "no address"),
     ("a*.test", "no address"), ("a..test", "no address"), (":0", "65535"), (":65536", "65535"),
     ("a.test:99999", "65535"), ("a.test:", "write"), ("[::1", "write"), ("[]", "no address"),
     ("x" * 300, "no address")],
)  # fmt: skip
def test_a_bad_entry_says_what_would_be_right(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        parse_rule(text)


@pytest.mark.parametrize(
    ("spelling", "host"),
    [("LOCALHOST", "localhost"), ("localhost.", "localhost"), ("[::1]", "::1"),
     ("Exämple.ORG", "xn--exmple-cua.org"), ("1.2.3.4", "1.2.3.4"),
     ("\uff45xample.org", "example.org"), ("bücher\u3002test", "xn--bcher-kva.test")],
)  # fmt: skip
def test_one_host_has_one_spelling(spelling: str, host: str) -> None:
    assert canonical_host(spelling) == host
