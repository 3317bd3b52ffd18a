"""What an extension, a template or a task may have got wrong: refused before anything is sent."""

import math
from typing import Any

import pytest

from webhook_runner.dispatch.wellformed import (
    check_headers,
    check_message,
    check_request,
    check_url,
)
from webhook_runner.errors import RefusedError
from webhook_runner.task.request import Request


def request(**changes: Any) -> Request:
    given: dict[str, Any] = {"method": "POST", "url": "http://h.test/x"}
    return Request(**(given | changes))


@pytest.mark.parametrize(
    "url",
    ["http://h", "https://h:8443/a?b=c#d", "HTTP://H/", "http://[::1]:80/", "http://exämple.test/",
     "http://h/%00%20", "http://h:65535", "http://h:/"],
)  # fmt: skip
def test_an_absolute_url_with_a_host_is_let_through_as_it_is(url: str) -> None:
    assert check_url(url) == url


@pytest.mark.parametrize(
    "url",
    [None, b"http://h/", "", "/path", "h/path", "//h/", "ftp://h/", "file:///etc/passwd", "http:",
     "http:///x", "http://:80/", "http://h:0/", "http://h:65536/", "http://h:x/", "http://[::1/",
     "http://h/a b", " http://h/", "http://h/\t", "http://h/\n", "http://h/\x00", "http://h/\x1f",
     "http://h/\x7f", "http://h\\@evil/", "http://h/a\\b", "http://u@h/", "http://u:p@h/",
     "http://@h/", "http://%68/", "http://[fe80::1%25eth0]/", "http://h:8%30/"],
)  # fmt: skip
def test_any_other_url_is_refused(url: object) -> None:
    with pytest.raises(RefusedError) as caught:
        check_url(url)

    assert caught.value.rule == "url"


def test_a_request_is_refused_for_its_url_too() -> None:
    with pytest.raises(RefusedError, match="http or https"):
        check_request(request(url="ftp://h.test/"))


@pytest.mark.parametrize("method", ["POST", "get", "M-SEARCH", "x!#$%&'*+.^_`|~0"])
def test_any_token_is_a_method(method: str) -> None:
    check_message(request(method=method))


@pytest.mark.parametrize(
    "method", ["", "G ET", "GET\r\n", "GÉT", "a:b", None, 5, "CONNECT", "connect", "TRACE", "Trace"]
)
def test_what_is_no_method_or_talks_to_proxies_is_refused(method: object) -> None:
    with pytest.raises(RefusedError) as caught:
        check_request(request(method=method))

    assert caught.value.rule == "method"


@pytest.mark.parametrize(
    "name",
    ["Connection", "Content-Length", "Expect", "Host", "HTTP2-Settings", "Keep-Alive", "TE",
     "Trailer", "Transfer-Encoding", "Upgrade", "Proxy-Authorization", "proxy-connection",
     "PROXY-X"],
)  # fmt: skip
def test_a_header_that_frames_the_message_is_refused_in_any_case(name: str) -> None:
    for each in (name, name.lower(), name.upper()):
        with pytest.raises(RefusedError) as caught:
            check_headers({each: "1"})
        assert caught.value.rule == "header"


@pytest.mark.parametrize(
    "name", ["X-A", "hosts", "te-x", "proxy", "Content-Type", "!#$%&'*+.^_`|~09", "x" * 200]
)
def test_any_other_token_is_the_name_of_a_header(name: str) -> None:
    check_headers({name: "1"})


@pytest.mark.parametrize(
    "name", ["", "a b", "a:", "a\r\nb", "ä", "a\x00", None, b"a", 5, "x" * 200 + " ", ("a",)]
)
def test_what_is_no_token_names_no_header(name: Any) -> None:
    with pytest.raises(RefusedError, match="no header name") as caught:
        check_headers({name: "1"})

    assert caught.value.rule == "header"


@pytest.mark.parametrize("value", ["", "a b", "a\tb", "ä", "\x80", "\xa0", "世界"])
def test_text_without_controls_is_the_value_of_a_header(value: str) -> None:
    check_message(request(headers={"X-A": value}))


@pytest.mark.parametrize(
    "value",
    ["a\r\nb", "a\rb", "a\nb", "\x00", "\x08", "\x0b", "\x1f", "\x7f", "\ud800", "a\udfffb",
     None, 5, b"x",
     ["x"]],
)  # fmt: skip
def test_a_value_with_controls_or_that_is_no_text_is_refused(value: Any) -> None:
    with pytest.raises(RefusedError, match="the value of X-A") as caught:
        check_message(request(headers={"X-A": value}))

    assert caught.value.rule == "header"


@pytest.mark.parametrize("headers", [None, [("a", "b")], "a: b", {("a", "b")}])
def test_headers_are_a_mapping(headers: Any) -> None:
    with pytest.raises(RefusedError, match="not a mapping") as caught:
        check_headers(headers)

    assert caught.value.rule == "header"


@pytest.mark.parametrize(
    "changes",
    [{"body": "text"}, {"body": None}, {"body": bytearray(b"x")}, {"timeout": 0}, {"timeout": -1},
     {"timeout": math.inf}, {"timeout": math.nan}, {"timeout": "5"}, {"timeout": None},
     {"connect_timeout": 0.0}, {"connect_timeout": math.inf}],
)  # fmt: skip
def test_a_body_is_bytes_and_a_timeout_a_number_of_seconds(changes: dict[str, Any]) -> None:
    with pytest.raises(RefusedError) as caught:
        check_message(request(**changes))

    assert caught.value.rule == "request"


@pytest.mark.parametrize("seconds", [0.001, 0.5, 1, 1500])
def test_any_time_above_none_is_a_timeout(seconds: float) -> None:
    check_request(request(body=b"x", timeout=seconds, connect_timeout=seconds))
