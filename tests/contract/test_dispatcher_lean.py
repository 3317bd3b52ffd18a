"""The lean client's own connections: none is reused that says more than it was asked."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.contract.dispatching import ENVELOPE, post
from tests.contract.scripted import OK, Peer, Script, endpoint
from webhook_runner.dispatch import lean_pool
from webhook_runner.dispatch.http import HttpDispatcher
from webhook_runner.settings import EgressSettings
from webhook_runner.task.outcome import Responded, Trouble, Unreachable

HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
async def dispatcher() -> AsyncIterator[HttpDispatcher]:
    made = HttpDispatcher(EgressSettings(), client="lean")
    yield made
    await made.close()


def always(answer: bytes) -> Script:
    async def script(peer: Peer) -> None:
        while await peer.request():
            await peer.say(answer)

    return script


@pytest.mark.parametrize(
    "answer",
    [OK + b"HTTP/1.1 500 Not Yours\r\nContent-Length: 0\r\n\r\n", OK + b"x", OK + b"HTTP/1.1 5",
     HEAD + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     HEAD + b"Connection: close\r\nContent-Length: 0\r\n\r\n",
     b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"],
)  # fmt: skip
async def test_a_connection_with_an_odd_answer_is_not_used_again(
    dispatcher: HttpDispatcher, answer: bytes
) -> None:
    async with endpoint(always(answer)) as server:
        outcomes = [await dispatcher.send(post(server.url), ENVELOPE) for _ in range(3)]
        assert server.connections == 3
    assert [getattr(outcome, "status", None) for outcome in outcomes] == [200, 200, 200]


@pytest.mark.parametrize(
    "answer",
    [OK, HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nTrailer: x\r\n\r\n",
     b"HTTP/1.1 204 N\r\n\r\n", b"HTTP/1.1 100 C\r\n\r\n" + OK,
     b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"],
)  # fmt: skip
async def test_a_connection_with_a_plain_answer_is_used_again(
    dispatcher: HttpDispatcher, answer: bytes
) -> None:
    async with endpoint(always(answer)) as server:
        for _ in range(3):
            assert isinstance(await dispatcher.send(post(server.url), ENVELOPE), Responded)
        assert server.connections == 1


async def test_what_is_said_to_nobody_ends_the_connection(dispatcher: HttpDispatcher) -> None:
    proceed, gone = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        if peer.number == 1:
            await proceed.wait()
            await peer.say(b"HTTP/1.1 408 Too Slow\r\nContent-Length: 0\r\n\r\n")
            await peer.closed()
            gone.set()

    async with endpoint(script) as server:
        first = await dispatcher.send(post(server.url), ENVELOPE)
        proceed.set()
        await asyncio.wait_for(gone.wait(), 10)
        second = await dispatcher.send(post(server.url), ENVELOPE)
    assert isinstance(first, Responded)
    assert isinstance(second, Responded)
    assert (first.status, second.status) == (200, 200)


async def test_a_connection_is_not_kept_for_ever(
    dispatcher: HttpDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lean_pool, "KEEPALIVE_SECONDS", 0.05)
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await peer.closed()
        gone.set()

    async with endpoint(script) as server:
        await dispatcher.send(post(server.url), ENVELOPE)
        await asyncio.wait_for(gone.wait(), 10)


async def test_the_connection_that_waits_longest_makes_room(dispatcher: HttpDispatcher) -> None:
    dispatcher.configure("q", 1)  # two are spare
    gone: asyncio.Queue[int] = asyncio.Queue()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await peer.closed()
        gone.put_nowait(peer.writer.get_extra_info("sockname")[1])

    async with (
        endpoint(script) as one, endpoint(script) as two, endpoint(script) as three,
        endpoint(script) as four,
    ):  # fmt: skip
        for server in (one, two, three, four):
            await dispatcher.send(post(server.url), ENVELOPE)
        assert await asyncio.wait_for(gone.get(), 10) == one.port
        assert gone.empty()


async def _endless_extension(peer: Peer) -> None:
    await peer.request()
    await peer.say(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2;a=")
    while True:
        await peer.say(b"b" * 1000)


async def _endless_trailers(peer: Peer) -> None:
    await peer.request()
    await peer.say(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n")
    while True:
        await peer.say(b"Trailer: " + b"x" * 1000 + b"\r\n")


async def _endless_trailer(peer: Peer) -> None:
    await peer.request()
    await peer.say(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nTrailer: ")
    while True:
        await peer.say(b"x" * 1000)


@pytest.mark.parametrize("script", [_endless_extension, _endless_trailers, _endless_trailer])
async def test_endless_framing_of_a_body_is_cut_off(
    dispatcher: HttpDispatcher, script: Script
) -> None:
    async with endpoint(script) as server:
        outcome = await dispatcher.send(post(server.url, timeout=30), ENVELOPE)
    assert isinstance(outcome, Responded)
    assert outcome.status == 200
    assert outcome.truncated
    assert "framing" in outcome.note


async def test_endless_parts_of_one_status_line_are_a_protocol_error(
    dispatcher: HttpDispatcher,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 ")
        while True:
            await peer.say(b"x" * 1000)

    async with endpoint(script) as server:
        outcome = await dispatcher.send(post(server.url, timeout=30), ENVELOPE)
    assert isinstance(outcome, Unreachable)
    assert outcome.trouble is Trouble.PROTOCOL
