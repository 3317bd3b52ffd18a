"""Every dispatcher and the connections it holds: cut, closed, refused, cancelled, shared."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from tests.contract.dispatching import ENGINES, ENVELOPE, TableResolver, post
from tests.contract.scripted import OK, Peer, endpoint, saying
from webhook_runner.dispatch.http import HttpDispatcher
from webhook_runner.settings import EgressSettings
from webhook_runner.task.outcome import Refused, Responded, Trouble, Unreachable

HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(params=ENGINES)
async def dispatcher(request: pytest.FixtureRequest) -> AsyncIterator[HttpDispatcher]:
    made = ENGINES[request.param](EgressSettings())
    yield made
    await made.close()


async def _reset_at_once(peer: Peer) -> None:
    peer.reset()


async def _reset_after_request(peer: Peer) -> None:
    await peer.request()
    peer.reset()


async def _close_after_request(peer: Peer) -> None:
    await peer.request()


@pytest.mark.parametrize("script", [_reset_at_once, _reset_after_request, _close_after_request])
async def test_an_ending_without_an_answer_is_a_reset(
    dispatcher: HttpDispatcher, script: object
) -> None:
    async with endpoint(script) as server:  # type: ignore[arg-type]  # rows of scripts
        outcome = await dispatcher.send(post(server.url), ENVELOPE)
    assert isinstance(outcome, Unreachable)
    assert (outcome.trouble, outcome.sent) == (Trouble.RESET, True)
    assert outcome.detail


@pytest.mark.parametrize("answer", [b"HTTP/1.", b"<h1>hello</h1>\n", b"HTTP/1.1 200 OK\r\nA: b"])
async def test_an_ending_within_the_head_is_no_answer(
    dispatcher: HttpDispatcher, answer: bytes
) -> None:
    async with endpoint(saying(answer)) as server:
        outcome = await dispatcher.send(post(server.url), ENVELOPE)
    assert isinstance(outcome, Unreachable)
    assert outcome.trouble in {Trouble.RESET, Trouble.PROTOCOL}
    assert outcome.sent


async def test_a_closed_port_is_a_connect_error_and_nothing_was_sent(
    dispatcher: HttpDispatcher,
) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/"
        outcome = await dispatcher.send(post(url), ENVELOPE)
    assert isinstance(outcome, Unreachable)
    assert (outcome.trouble, outcome.sent) == (Trouble.CONNECT, False)
    assert "refused" in outcome.detail.lower()


async def test_a_port_that_never_accepts_is_a_connect_timeout(dispatcher: HttpDispatcher) -> None:
    fillers = []
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen(0)
        address = bound.getsockname()
        for _ in range(4):  # the backlog is full, further SYNs are dropped
            fillers.append(socket.socket())
            fillers[-1].setblocking(False)
            fillers[-1].connect_ex(address)
        outcome = await dispatcher.send(
            post(f"http://127.0.0.1:{address[1]}/", connect_timeout=0.3), ENVELOPE
        )
        for filler in fillers:
            filler.close()
    assert isinstance(outcome, Unreachable)
    assert (outcome.trouble, outcome.sent) == (Trouble.CONNECT_TIMEOUT, False)


async def test_a_connection_closed_while_idle_is_replaced_unseen(
    dispatcher: HttpDispatcher,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)

    async with endpoint(script) as server:
        outcomes = [await dispatcher.send(post(server.url), ENVELOPE) for _ in range(20)]
        assert server.connections == 20
    assert all(isinstance(outcome, Responded) for outcome in outcomes)


async def test_a_reused_connection_that_ends_after_the_request_is_not_tried_again(
    dispatcher: HttpDispatcher,
) -> None:
    requests: list[bytes] = []

    async def script(peer: Peer) -> None:
        requests.append(await peer.request())
        await peer.say(OK)
        requests.append(await peer.request())

    async with endpoint(script) as server:
        first = await dispatcher.send(post(server.url), ENVELOPE)
        second = await dispatcher.send(post(server.url), ENVELOPE)
        assert server.connections == 1
    assert isinstance(first, Responded)
    assert isinstance(second, Unreachable)
    assert (second.trouble, second.sent) == (Trouble.RESET, True)
    assert len(requests) == 2


async def _held_before_the_status(peer: Peer) -> None:
    await peer.request()


async def _held_within_the_body(peer: Peer) -> None:
    await peer.request()
    await peer.say(HEAD + b"Content-Length: 100\r\n\r\nx")


@pytest.mark.parametrize("start", [_held_before_the_status, _held_within_the_body])
async def test_cancelling_closes_the_connection_and_frees_its_slot(
    dispatcher: HttpDispatcher, start: object
) -> None:
    dispatcher.configure("q", 1)
    held: asyncio.Queue[None] = asyncio.Queue()
    closed: asyncio.Queue[None] = asyncio.Queue()

    async def script(peer: Peer) -> None:
        if peer.number > 10:
            await peer.request()
            await peer.say(OK)
            return
        await start(peer)  # type: ignore[operator]  # rows of scripts
        held.put_nowait(None)
        await peer.closed()
        closed.put_nowait(None)

    async with endpoint(script) as server:
        for _ in range(10):
            sending = asyncio.ensure_future(dispatcher.send(post(server.url), ENVELOPE))
            await held.get()
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            await asyncio.wait_for(closed.get(), 10)
        outcome = await dispatcher.send(post(server.url), ENVELOPE)
    assert isinstance(outcome, Responded)


async def test_fifty_sends_over_ten_slots_all_end(dispatcher: HttpDispatcher) -> None:
    dispatcher.configure("q", 8)  # two are spare

    async def script(peer: Peer) -> None:
        while await peer.request():
            await peer.say(OK)

    async with endpoint(script) as server:
        outcomes = await asyncio.gather(
            *(dispatcher.send(post(server.url, timeout=30), ENVELOPE) for _ in range(50))
        )
        assert server.most_open <= 10
    assert all(isinstance(outcome, Responded) for outcome in outcomes)


async def test_a_size_can_be_changed_while_requests_are_under_way(
    dispatcher: HttpDispatcher,
) -> None:
    arrived, proceed = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        while await peer.request():
            arrived.set()
            await proceed.wait()
            await peer.say(OK)

    async with endpoint(script) as server:
        early = asyncio.ensure_future(dispatcher.send(post(server.url), ENVELOPE))
        await arrived.wait()
        dispatcher.configure("q", 3)
        late = asyncio.ensure_future(dispatcher.send(post(server.url), ENVELOPE))
        proceed.set()
        outcomes = [await early, await late]
        assert server.connections == 2
    assert all(isinstance(outcome, Responded) for outcome in outcomes)


async def test_a_name_without_an_address_is_a_dns_error() -> None:
    dispatcher = HttpDispatcher(EgressSettings(), resolver=TableResolver({"gone.test": []}))
    outcome = await dispatcher.send(post("http://gone.test/"), ENVELOPE)
    await dispatcher.close()
    assert isinstance(outcome, Unreachable)
    assert (outcome.trouble, outcome.sent) == (Trouble.DNS, False)


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    resolver = TableResolver({"two.test": [("127.0.0.9", "127.0.0.1")]})
    dispatcher = HttpDispatcher(EgressSettings(), resolver=resolver)
    async with endpoint(saying(OK), host="two.test") as server:
        outcome = await dispatcher.send(post(server.url), ENVELOPE)
        await dispatcher.close()
    assert isinstance(outcome, Responded)


async def test_a_queue_calls_only_its_allowed_hosts(dispatcher: HttpDispatcher) -> None:
    dispatcher.configure("q", 10, ("*.example.org", "127.0.0.1.test"))
    async with endpoint(saying(OK)) as server:
        outcome = await dispatcher.send(post(server.url), ENVELOPE)
        assert server.connections == 0
    assert isinstance(outcome, Refused)
    assert outcome.rule == "allow_hosts"
