"""Every dispatcher against hostile endpoints: it ends in time, in bounds, and names what it met."""

import asyncio
import gzip
import tracemalloc
from collections.abc import AsyncIterator

import pytest

from tests.contract.dispatching import ENGINES, ENVELOPE, post
from tests.contract.scripted import OK, Peer, endpoint, saying
from webhook_runner.dispatch.http import HttpDispatcher
from webhook_runner.settings import EgressSettings
from webhook_runner.task.outcome import Refused, Responded, TimedOut, Trouble, Unreachable
from webhook_runner.task.request import Request

HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(params=ENGINES)
async def dispatcher(request: pytest.FixtureRequest) -> AsyncIterator[HttpDispatcher]:
    made = ENGINES[request.param](EgressSettings())
    yield made
    await made.close()


async def test_the_endpoint_gets_method_target_headers_and_body_as_asked(
    dispatcher: HttpDispatcher,
) -> None:
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.say(OK)

    async with endpoint(script) as server:
        outcome = await dispatcher.send(
            post(server.url, headers={"X-Name": " grün ", "accept-encoding": "gzip"}), ENVELOPE
        )
    assert isinstance(outcome, Responded)
    assert (outcome.status, outcome.body, outcome.truncated, outcome.note) == (
        200,
        b"ok",
        False,
        "",
    )
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /hook?x=1 HTTP/1.1\r\n")
    assert body == b'{"a": 1}'
    assert f"Host: 127.0.0.1:{server.port}".encode() in head
    assert "X-Name: grün".encode() in head
    assert b"Accept-Encoding: identity" in head
    assert b"gzip" not in head
    assert b"User-Agent: webhook_runner/" in head


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [("GET", b"", False), ("HEAD", b"", False), ("DELETE", b"", False), ("POST", b"", True),
     ("PUT", b"x", True), ("DELETE", b"x", True), ("OPTIONS", b"", False)],
)  # fmt: skip
async def test_the_length_of_the_body_is_told_where_there_may_be_one(
    dispatcher: HttpDispatcher, method: str, body: bytes, *, length: bool
) -> None:
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.say(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with endpoint(script) as server:
        outcome = await dispatcher.send(Request(method, server.url, {}, body), ENVELOPE)
    assert isinstance(outcome, Responded)
    assert outcome.status == 204
    assert (b"Content-Length: %d\r\n" % len(body) in seen[0]) is length


@pytest.mark.parametrize("status", [200, 204, 301, 302, 307, 308, 400, 404, 408, 410, 425, 429,
                                    451, 500, 501, 503, 599, 600, 999])  # fmt: skip
async def test_any_final_status_is_reported_and_nothing_is_followed(
    dispatcher: HttpDispatcher, status: int
) -> None:
    answer = (
        b"HTTP/1.1 %d Word\r\nLocation: http://127.0.0.1:1/x\r\nSet-Cookie: a=b\r\n"
        b"Retry-After: 7\r\nRETRY-AFTER: 9\r\nContent-Length: 0\r\n\r\n" % status
    )
    async with endpoint(saying(answer)) as server:
        outcome = await dispatcher.send(post(server.url), ENVELOPE)
        assert isinstance(outcome, Responded)
        assert outcome.status == status
        assert outcome.headers["retry-after"] == "7"
        assert outcome.headers["location"] == "http://127.0.0.1:1/x"
        assert "set-cookie" not in outcome.headers
        assert server.connections == 1


async def test_a_cookie_is_never_sent_back(dispatcher: HttpDispatcher) -> None:
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        while request := await peer.request():
            seen.append(request)
            await peer.say(HEAD + b"Set-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n")

    async with endpoint(script) as server:
        for _ in range(2):
            await dispatcher.send(post(server.url), ENVELOPE)
        assert server.connections == 1
    assert len(seen) == 2
    assert b"ookie" not in seen[1]


async def test_header_values_are_capped_and_odd_bytes_survive(dispatcher: HttpDispatcher) -> None:
    many = b"".join(b"Set-Cookie: c%d=1\r\n" % n for n in range(1000))
    answer = HEAD + many + b"Server: \xff\xe9\r\nLocation: " + b"x" * 9000 + b"\r\n\r\n"
    async with endpoint(saying(answer)) as server:
        outcome = await dispatcher.send(post(server.url), ENVELOPE)
    assert isinstance(outcome, Responded)
    assert outcome.headers["server"] == "ÿé"
    assert len(outcome.headers["location"]) == 2048


@pytest.mark.parametrize(
    "answer",
    [b"<h1>hello</h1>\n\r\n\r\n", b"HTTP/0.9\r\n\r\n",
     b"HTTP/1.1 1000 X\r\n\r\n", b"HTTP/1.1 099 X\r\n\r\n",
     b"HTTP/1.1 abc X\r\n\r\n", b"\x00\xff\xfe" * 10 + b"\r\n\r\n", b"SSH-2.0-OpenSSH_9\r\n\r\n",
     b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: b\x00c\r\n\r\n",
     b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
     HEAD + b"Content-Length: 2\r\nContent-Length: 5\r\n\r\nok"],
)  # fmt: skip
async def test_what_is_no_http_is_a_protocol_error(
    dispatcher: HttpDispatcher, answer: bytes
) -> None:
    async with endpoint(saying(answer, then_close=False)) as server:
        outcome = await dispatcher.send(post(server.url), ENVELOPE)
    assert isinstance(outcome, Unreachable)
    assert (outcome.trouble, outcome.sent) == (Trouble.PROTOCOL, True)


@pytest.mark.parametrize(
    "answer",
    [HEAD + b"Content-Length: 100\r\n\r\nok",
     HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\nZZ\r\n",
     HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"],
)  # fmt: skip
async def test_the_status_counts_and_a_broken_body_is_a_note(
    dispatcher: HttpDispatcher, answer: bytes
) -> None:
    async with endpoint(saying(answer)) as server:
        outcome = await dispatcher.send(post(server.url), ENVELOPE)
    assert isinstance(outcome, Responded)
    assert (outcome.status, outcome.body, outcome.truncated) == (200, b"ok", True)
    assert outcome.note


@pytest.mark.parametrize("body", [b"\x1f\x8bnot gzip at all", gzip.compress(bytes(30_000_000))])
async def test_an_encoded_body_is_kept_as_it_came(dispatcher: HttpDispatcher, body: bytes) -> None:
    answer = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    async with endpoint(saying(answer)) as server:
        outcome = await dispatcher.send(post(server.url), ENVELOPE)
    assert isinstance(outcome, Responded)
    assert outcome.body == body[:4096]
    assert outcome.headers["content-encoding"] == "gzip"
    assert outcome.note == ""


async def test_a_body_of_exactly_the_kept_size_is_whole(dispatcher: HttpDispatcher) -> None:
    async with endpoint(saying(HEAD + b"Content-Length: 4096\r\n\r\n" + b"x" * 4096)) as server:
        outcome = await dispatcher.send(post(server.url), ENVELOPE)
    assert isinstance(outcome, Responded)
    assert (len(outcome.body), outcome.truncated) == (4096, False)


async def test_an_endless_body_is_dropped_after_its_first_part(dispatcher: HttpDispatcher) -> None:
    block = b"x" * 65536
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(HEAD + b"\r\n")
        try:
            while True:
                await peer.say(block)
        finally:
            gone.set()

    async with endpoint(script) as server:
        tracemalloc.start()
        outcome = await dispatcher.send(post(server.url), ENVELOPE)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        await asyncio.wait_for(gone.wait(), 10)
    assert isinstance(outcome, Responded)
    assert (outcome.status, len(outcome.body), outcome.truncated) == (200, 4096, True)
    assert peak < 2_000_000


async def test_endless_headers_are_a_protocol_error(dispatcher: HttpDispatcher) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(HEAD)
        while True:
            await peer.say(b"X-Filler: " + b"x" * 4000 + b"\r\n")

    async with endpoint(script) as server:
        outcome = await dispatcher.send(post(server.url), ENVELOPE)
    assert isinstance(outcome, Unreachable)
    assert (outcome.trouble, outcome.sent) == (Trouble.PROTOCOL, True)


async def test_interim_responses_are_ignored(dispatcher: HttpDispatcher) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    async with endpoint(saying(interim * 3 + OK)) as server:
        outcome = await dispatcher.send(post(server.url), ENVELOPE)
    assert isinstance(outcome, Responded)
    assert outcome.status == 200


async def _nothing(peer: Peer) -> None:
    await peer.closed()


async def _drip_header(peer: Peer) -> None:
    await peer.request()
    for byte in HEAD * 1000:
        await peer.say(bytes([byte]))
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("script", [_nothing, _drip_header])
async def test_no_status_line_before_the_deadline_is_a_timeout(
    dispatcher: HttpDispatcher, script: object
) -> None:
    async with endpoint(script) as server:  # type: ignore[arg-type]  # rows of scripts
        outcome = await dispatcher.send(post(server.url, timeout=0.4), ENVELOPE)
    assert isinstance(outcome, TimedOut)
    assert outcome.sent
    assert outcome.seconds >= 0.39


async def test_a_body_that_drips_past_the_deadline_is_a_note(dispatcher: HttpDispatcher) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\nx")
        await peer.closed()

    async with endpoint(script) as server:
        outcome = await dispatcher.send(post(server.url, timeout=0.4), ENVELOPE)
    assert isinstance(outcome, Responded)
    assert (outcome.status, outcome.body, outcome.truncated) == (503, b"x", True)
    assert "deadline" in outcome.note


async def test_an_answer_before_the_request_has_ended_counts(dispatcher: HttpDispatcher) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await asyncio.Event().wait()

    async with endpoint(script) as server:
        outcome = await dispatcher.send(post(server.url, body=b"x" * 20_000_000), ENVELOPE)
    assert isinstance(outcome, Responded)
    assert outcome.status == 413


@pytest.mark.parametrize(
    ("changes", "rule"),
    [({"headers": {"Content-Length": "5"}}, "header"), ({"headers": {"host": "x"}}, "header"),
     ({"headers": {"Transfer-Encoding": "chunked"}}, "header"),
     ({"headers": {"TE": "x"}}, "header"),
     ({"headers": {"Connection": "close"}}, "header"), ({"headers": {"Expect": "1"}}, "header"),
     ({"headers": {"Proxy-Authorization": "x"}}, "header"), ({"headers": {":path": "/"}}, "header"),
     ({"headers": {"A": "b\r\nC: d"}}, "header"), ({"headers": {"A": "b\x00"}}, "header"),
     ({"headers": {"A B": "c"}}, "header"), ({"headers": {"": "c"}}, "header"),
     ({"headers": {"A": 5}}, "header"), ({"timeout": 0}, "request"),
     ({"url": "/path"}, "url"), ({"url": "ftp://h/"}, "url"), ({"url": "http:///x"}, "url"),
     ({"url": "http://u:p@h/"}, "url"), ({"url": "http://h\r\n/"}, "url"),
     ({"url": "http://h:99999/"}, "url"), ({"url": "http://[::1/"}, "url"),
     ({"url": "http://h/ x"}, "url"), ({"url": f"http://{'a' * 64}.org/"}, "url"),
     ({"url": "http://a..b/"}, "url"), ({"url": "http://x\u200b\u00ad.org/"}, "url"),
     ({"url": "//h/p"}, "url"), ({"url": "file:///etc/passwd"}, "url")],
)  # fmt: skip
async def test_what_cannot_be_a_request_is_refused(
    dispatcher: HttpDispatcher, changes: dict[str, object], rule: str
) -> None:
    request = post(**{"url": "http://127.0.0.1:1/", **changes})  # type: ignore[arg-type]  # rows
    outcome = await dispatcher.send(request, ENVELOPE)
    assert isinstance(outcome, Refused), outcome
    assert outcome.rule == rule
    assert outcome.detail
