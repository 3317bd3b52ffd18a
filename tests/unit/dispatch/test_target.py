"""Where a URL leads: the short way and the long way give the same."""

import re

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_runner.dispatch.target import target_of
from webhook_runner.errors import RefusedError

# What is no name, or a number that may be read as another address, is refused: see below.
HOSTS = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,9}[a-z])?", fullmatch=True).filter(
    lambda host: ".." not in host and not re.search(r"(^|\.)(0x[0-9a-f]*|[0-9]+)$", host)
)
PORTS = st.sampled_from(["", ":80", ":443", ":8080", ":1", ":65535"])
PATHS = st.text("abYZ09._~!$&'()*+,;=:@-/%?#{}[]|^`\"<>é", max_size=20)


@given(st.sampled_from(["http", "https"]), HOSTS, PORTS, PATHS)
def test_every_url_is_taken_apart_as_httpx2_does(
    scheme: str, host: str, port: str, path: str
) -> None:
    url = f"{scheme}://{host}{port}/{path}"
    try:
        known = httpx2.URL(url)
    except httpx2.InvalidURL:
        with pytest.raises(RefusedError):
            target_of(url)
        return
    target = target_of(url)
    assert target.path == known.raw_path.decode()
    assert target.origin.authority == known.netloc.decode()
    assert target.origin.raw_host == known.raw_host.decode()
    assert (target.origin.scheme, target.origin.port) == (
        known.scheme,
        known.port or {"http": 80, "https": 443}[scheme],
    )


@pytest.mark.parametrize(
    ("url", "path"),
    [("http://h", "/"), ("http://h?a=b", "/?a=b"), ("http://h/?", "/?"), ("http://h/a?", "/a?"),
     ("http://h/../b/./c", "/b/c"), ("http://h/.well-known/x", "/.well-known/x"),
     ("http://h/a#b", "/a"), ("http://h//a", "//a"), ("http://h/%41%zz", "/%41%zz")],
)  # fmt: skip
def test_the_path_is_what_the_request_line_says(url: str, path: str) -> None:
    assert target_of(url).path == path


@pytest.mark.parametrize(
    ("one", "other"),
    [("http://h/", "http://h:80/x"), ("https://H/", "https://h:443"), ("http://é.org", "http://xn--9ca.org")],
)  # fmt: skip
def test_what_a_connection_can_be_shared_by_has_one_name(one: str, other: str) -> None:
    assert target_of(one).origin.name == target_of(other).origin.name


@pytest.mark.parametrize(
    "host",
    ["0", "127.1", "2130706433", "0x", "0x7f.1", "h.256", "%41", "h..", "0177.0.0.1",
     "1.2.3.4.5", "a.1", "a.0x", "a..b", ".a",
     "a..", "%31.test", "a*b", "a,b", "[fe80::1%25lo]", "[::1%25lo]", "x" * 64,
     ".".join(["abcdefgh"] * 30), ".".join([*["a" * 62] * 4, "ab"])],
)  # fmt: skip
def test_a_host_that_others_may_read_as_another_is_refused(host: str) -> None:
    with pytest.raises(RefusedError) as refused:
        target_of(f"http://{host}/")
    assert refused.value.rule == "url"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1.", "[::1]", "a_b.test", "a1.2b", "x" * 63,
             ".".join([*["a" * 62] * 4, "a"])]
)  # fmt: skip
def test_a_host_that_is_what_it_looks_like_is_taken(host: str) -> None:
    assert target_of(f"http://{host}/").origin.raw_host == host.strip("[]")


def test_a_certificate_is_for_the_name_without_its_final_dot() -> None:
    origin = target_of("https://h.test./").origin
    assert (origin.server_name, origin.host, origin.authority) == ("h.test", "h.test", "h.test.")


@pytest.mark.parametrize("url", [None, 5, b"http://h/", ["http://h/"]])
def test_what_is_no_text_leads_nowhere(url: object) -> None:
    with pytest.raises(RefusedError, match="not text"):
        target_of(url)
