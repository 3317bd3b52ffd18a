"""One form for every URL that is called, and no crash on any text."""

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from webhook_runner.errors import InvalidTaskError
from webhook_runner.task.url import (
    MAX_URL_CHARS,
    absolute,
    checked_url,
    destination_name,
    destination_named,
    host_of,
    is_allowed,
)


@pytest.mark.parametrize(
    ("url", "base_url", "expected"),
    [
        ("/x", "http://h/api", "http://h/api/x"),
        ("/x", "http://h/api/", "http://h/api/x"),
        ("/x", "http://h", "http://h/x"),
        ("/x?a=1#part", "http://h:8000", "http://h:8000/x?a=1"),
        ("/", "https://h/api", "https://h/api/"),
        ("http://other/x", "http://h/api", "http://other/x"),
        ("HTTP://Other:80", "", "http://other/"),
        ("https://h:443/x", "", "https://h/x"),
        ("https://h:80/x", "", "https://h:80/x"),
        ("http://h?a=b/c", "", "http://h/?a=b/c"),
        ("http://h./x", "", "http://h/x"),
        ("http://EXÄMPLE.com/ä?ö=ü", "", "http://xn--exmple-cua.com/%C3%A4?%C3%B6=%C3%BC"),
        ("http://[::0001]:81/", "", "http://[::1]:81/"),
        ("http://h/%2e%2E/%zz/%00", "", "http://h/%2e%2E/%zz/%00"),
        ("http://h/{id}|\\^`<>", "", "http://h/%7Bid%7D%7C%5C%5E%60%3C%3E"),
        ("http://evil#@127.0.0.1/", "", "http://evil/"),
    ],
)
def test_a_url_has_one_form(url: str, base_url: str, expected: str) -> None:
    assert absolute(url, base_url) == expected


def test_a_path_without_a_base_says_which_setting_to_write() -> None:
    with pytest.raises(InvalidTaskError, match="set base_url in the configuration") as caught:
        absolute("/x", "", "roll_back.url")

    assert (caught.value.reason, caught.value.field) == ("no_base_url", "roll_back.url")


@pytest.mark.parametrize("base_url", ["/api", "http://h/?a=1", "ftp://h", "h:80", " "])
def test_a_bad_base_is_told_apart_from_a_bad_url(base_url: str) -> None:
    with pytest.raises(InvalidTaskError) as caught:
        absolute("/x", base_url)

    assert caught.value.field == "base_url"


def test_a_url_that_grows_too_long_is_refused() -> None:
    with pytest.raises(InvalidTaskError, match="8192"):
        absolute("/" + "ä" * 2000, "http://h")


def test_a_name_that_grows_too_long_in_punycode_is_refused() -> None:
    with pytest.raises(InvalidTaskError, match="253"):
        absolute("http://" + ".".join(["ä" * 20] * 10), "")


def test_half_of_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(InvalidTaskError, match="surrogate"):
        absolute("http://h/\ud800", "")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://H/x", ("h", 80)),
        ("https://h.:8443", ("h", 8443)),
        ("https://[::1]/", ("::1", 443)),
        ("http://exämple.com", ("xn--exmple-cua.com", 80)),
    ],
)
def test_the_host_of_a_url_has_its_port(url: str, expected: tuple[str, int]) -> None:
    assert host_of(url) == expected


@pytest.mark.parametrize("url", ["/x", "", "//h", "http://u@h/"])
def test_only_an_absolute_url_has_a_host(url: str) -> None:
    with pytest.raises(InvalidTaskError):
        host_of(url)


@pytest.mark.parametrize(
    ("name", "host"),
    [("h:80", ("h", 80)), ("[::1]:8443", ("::1", 8443)), ("1.2.3.4:1", ("1.2.3.4", 1))],
)
def test_a_destination_is_written_with_its_port(name: str, host: tuple[str, int]) -> None:
    assert destination_name(host) == name
    assert destination_named(name) == host


def test_a_destination_has_one_spelling() -> None:
    assert destination_named("H.:80") == ("h", 80)


@pytest.mark.parametrize("name", ["", "h", "h:", ":80", "h:0", "h:65536", "h:080", "::1:80", "ä:80",
                                  "u@h:80", "http://h:80", "h:80/x"])  # fmt: skip
def test_what_is_no_destination_is_refused(name: str) -> None:
    with pytest.raises(InvalidTaskError) as refused:
        destination_named(name)
    assert refused.value.field == "destination"


NASTY = st.text(st.sampled_from("htps:/@[]#?%.-0x1aA\\ \tä\u3002\ud800\u200d|xn--é:٣"))


@given(
    st.text()
    | NASTY
    | NASTY.map(lambda text: "http://" + text)
    | st.text().map(lambda text: "http://" + text),
    st.sampled_from(["", "http://h/api"]),
)
@example("http://[::1", "")
@example("http://[" + "1" * 100 + "]:" + "9" * 100, "")
@example("http://" + "٣" * 5, "")
def test_any_text_is_a_url_or_refused(url: str, base_url: str) -> None:
    with suppress(InvalidTaskError):
        host_of(url)
    try:
        answer = absolute(url, base_url)
    except InvalidTaskError:
        return
    assert answer.isascii()
    assert answer.isprintable()
    assert len(answer) <= MAX_URL_CHARS
    assert absolute(answer, "") == answer == checked_url(answer)
    assert host_of(answer)[0] == host_of(answer)[0].lower()


@given(st.text(st.sampled_from("/.a%?#&=ä \\{"), max_size=12))
def test_a_path_means_the_same_with_and_without_a_host(text: str) -> None:
    path = "/" + text
    if path.startswith("//"):
        return
    try:
        whole = checked_url("http://h" + path)
    except InvalidTaskError:
        with pytest.raises(InvalidTaskError):
            checked_url(path)
    else:
        assert "http://h" + checked_url(path) == whole


@pytest.mark.parametrize(
    ("host", "port", "allowed", "right"),
    [
        ("api.example.com", 443, ("api.example.com",), True),
        ("api.example.com", 443, ("example.com",), False),
        ("api.example.com", 443, ("*.example.com",), True),
        ("evilexample.com", 443, ("*.example.com",), False),
        ("example.com", 443, ("*.example.com",), False),
        ("localhost", 8000, ("localhost:8000",), True),
        ("localhost", 8001, ("localhost:8000",), False),
        ("127.0.0.1", 80, ("127.0.0.1",), True),
    ],
)
def test_hosts_are_allowed_by_name_by_domain_and_by_port(
    host: str, port: int, allowed: tuple[str, ...], right: bool
) -> None:
    assert is_allowed(host, port, allowed) is right


def refused(url: str) -> InvalidTaskError:
    with pytest.raises(InvalidTaskError) as caught:
        absolute(url, "")
    assert caught.value.field == "url"
    return caught.value


def test_a_url_may_be_as_long_as_the_limit_and_no_longer() -> None:
    longest = "http://h/" + "a" * (MAX_URL_CHARS - len("http://h/"))
    assert absolute(longest, "") == longest
    assert refused(longest + "a").reason == "url_too_long"
    grown = "http://h/" + "é" * ((MAX_URL_CHARS - len("http://h/")) // 6)
    assert len(absolute(grown, "")) <= MAX_URL_CHARS
    assert refused(grown + "é").reason == "url_too_long"


def test_a_name_may_be_as_long_as_the_limit_and_no_longer() -> None:
    longest = ".".join([*["a" * 62] * 4, "a"])
    assert absolute(f"http://{longest}/", "") == f"http://{longest}/"
    assert refused(f"http://{longest}a/").reason == "bad_host"


@pytest.mark.parametrize(
    ("url", "words"),
    [("", "is empty"), (" ", "is empty"), ("http://a\u3002b/", "not the ASCII one"),
     ("http://xn--a/", "has the label"), ("http://a!ä/", "has the label"),
     ("http://a_ä/", "has the label"), ("http://-ä/", "has the label")],
)  # fmt: skip
def test_a_refusal_says_what_is_wrong_with_it(url: str, words: str) -> None:
    assert words in str(refused(url))


def test_dots_after_the_question_mark_are_no_way_up() -> None:
    assert absolute("/a?x=/../y", "http://h") == "http://h/a?x=/../y"
    assert refused("http://h/a/../b?x").reason == "bad_url"


@pytest.mark.parametrize("url", ["http://h#@127.0.0.1/", "http://h/#x", "http://h?#/x@y"])
def test_the_host_stands_before_query_and_fragment(url: str) -> None:
    assert host_of(url) == ("h", 80)


@pytest.mark.parametrize("url", [" http://h/", "http://h\t/", "/x", "http://h:0/"])
def test_the_host_of_what_is_no_url_is_refused_by_its_field(url: str) -> None:
    with pytest.raises(InvalidTaskError) as caught:
        host_of(url)

    assert caught.value.field == "url"
