"""The lean AMQP client and a peer that says, word for word, what a test wants it to."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pamqp.body import ContentBody
from pamqp.commands import Basic, Channel, Connection, Queue
from pamqp.header import ContentHeader, ProtocolHeader
from pamqp.heartbeat import Heartbeat

from tests.parts.amqp_peer import Peer, Place, amqp_place
from tests.parts.running_broker import until
from webhook_runner.broker.amqp import lean_connection
from webhook_runner.broker.amqp.channel import Arrival, Outgoing
from webhook_runner.broker.amqp.channel import Channel as Face
from webhook_runner.broker.amqp.faults import (
    DiffersError,
    LostError,
    MissingError,
    NackedError,
    ReturnedError,
)
from webhook_runner.broker.amqp.line import Line
from webhook_runner.errors import BrokerUnavailableError

OUT = Outgoing("exchange", "key", b"body", {"wr-id": "t"})
CONSUMER = "consumer"


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with amqp_place() as opened:
        yield opened


async def opened(place: Place, **greeting: Any) -> tuple[Line, Peer]:
    connecting = place.connect()
    peer = await place.met()
    await peer.greet(**greeting)
    return await connecting, peer


async def channel_of(line: Line, peer: Peer, number: int = 1, *, confirms: bool = False) -> Face:
    opening = asyncio.ensure_future(line.channel(confirms=confirms))
    await peer.open(confirms=confirms, channel=number)
    return await opening


async def consuming(place: Place, **greeting: Any) -> tuple[Face, Peer, asyncio.Queue[Arrival]]:
    line, peer = await opened(place, **greeting)
    channel = await channel_of(line, peer)
    arrivals: asyncio.Queue[Arrival] = asyncio.Queue()
    starting = asyncio.ensure_future(channel.consume("q", CONSUMER, 10, arrivals.put_nowait))
    await peer.answer(Basic.Qos, Basic.QosOk())
    await peer.answer(Basic.Consume, Basic.ConsumeOk(CONSUMER))
    await starting
    return channel, peer, arrivals


def delivery(tag: int, *bodies: bytes, **properties: Any) -> list[Any]:
    size = sum(map(len, bodies))
    return [
        Basic.Deliver(CONSUMER, tag, False, "e", "k"),
        ContentHeader(0, size, Basic.Properties(**properties)),
        *map(ContentBody, bodies),
    ]


async def ended(line: Line) -> str:
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    line.on_close(told.set_result)
    return await told


async def test_it_presents_itself_and_learns_the_version(place: Place) -> None:
    connecting = place.connect()
    presented = await (await place.met()).greet()
    assert (presented.mechanism, presented.response) == ("PLAIN", "\0me\0secret")
    assert presented.client_properties["connection_name"] == "test"
    assert (await connecting).version == "9.9"


async def test_a_certificate_is_who_it_is_when_that_is_wanted(place: Place) -> None:
    connecting = place.connect(auth="external")
    presented = await (await place.met()).greet()
    assert (presented.mechanism, presented.response) == ("EXTERNAL", "")
    await connecting


async def test_a_way_to_log_in_that_is_not_offered_is_told(place: Place) -> None:
    connecting = place.connect(auth="external")
    peer = await place.met()
    await peer.hear(ProtocolHeader)
    peer.say(Connection.Start(server_properties={}, mechanisms="PLAIN AMQPLAIN"), channel=0)
    with pytest.raises(BrokerUnavailableError, match="takes PLAIN AMQPLAIN, and not EXTERNAL"):
        await connecting


@pytest.mark.parametrize("close", [Connection.Close(403, "ACCESS_REFUSED", 0, 0), None])
async def test_a_refusal_of_the_password_is_told_without_it(place: Place, close: Any) -> None:
    connecting = place.connect()
    peer = await place.met()
    await peer.hear(ProtocolHeader)
    peer.say(Connection.Start(server_properties={}), channel=0)
    await peer.hear(Connection.StartOk)
    if close is not None:
        peer.say(close, channel=0)
    peer.writer.close()
    with pytest.raises(BrokerUnavailableError, match="refused user or password") as refused:
        await connecting
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("words", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"AMQP\x00\x01\x00\x00"])
async def test_a_server_of_another_kind_is_told(place: Place, words: bytes) -> None:
    connecting = place.connect()
    peer = await place.met()
    peer.writer.write(words)
    with pytest.raises(BrokerUnavailableError, match="no AMQP: b'"):
        await connecting


async def test_a_message_in_many_frames_arrives_whole(place: Place) -> None:
    channel, peer, arrivals = await consuming(place)
    peer.say(
        *delivery(1, b"one", b"two", b"three", message_id="m"), *delivery(2), *delivery(3, b"x")
    )
    seen = [await arrivals.get() for _ in range(3)]
    assert [(each.tag, each.body) for each in seen] == [(1, b"onetwothree"), (2, b""), (3, b"x")]
    assert (seen[0].message_id, seen[0].exchange, seen[0].key) == ("m", "e", "k")
    assert seen[0].channel is channel


async def test_acks_of_one_turn_go_together(place: Place) -> None:
    channel, peer, arrivals = await consuming(place)
    peer.say(*delivery(1, b"x"), *delivery(2, b"x"), *delivery(3, b"x"), *delivery(4, b"x"))
    for _ in range(4):
        await arrivals.get()
    channel.ack(2)
    channel.ack(1)
    channel.release(4)
    nack, ack = await peer.hear(Basic.Nack), await peer.hear(Basic.Ack)
    assert (nack.delivery_tag, nack.requeue) == (4, True)
    assert (ack.delivery_tag, ack.multiple) == (2, True)


async def test_acks_come_before_what_is_asked_after_them(place: Place) -> None:
    channel, peer, arrivals = await consuming(place)
    peer.say(*delivery(1, b"x"))
    await arrivals.get()

    async def settle() -> None:
        channel.ack(1)
        await channel.flush()

    flushing = asyncio.ensure_future(settle())
    await peer.hear(Basic.Ack)
    await peer.answer(Basic.Qos, Basic.QosOk())
    await flushing


async def test_a_publish_is_cut_to_frames_that_the_broker_takes(place: Place) -> None:
    line, peer = await opened(place, frame_max=4096)
    channel = await channel_of(line, peer, confirms=True)
    body = bytes(range(256)) * 40
    sending = asyncio.ensure_future(channel.publish(Outgoing("e", "k", body, {}), "m"))
    assert (await peer.hear(Basic.Publish)).mandatory
    assert (await peer.hear(ContentHeader)).body_size == len(body)
    pieces = [(await peer.hear(ContentBody)).value for _ in range(3)]
    assert [len(piece) for piece in pieces] == [4088, 4088, len(body) - 2 * 4088]
    assert b"".join(pieces) == body
    peer.say(Basic.Ack(1, False))
    await sending


async def test_every_publish_meets_its_own_fate(place: Place) -> None:
    line, peer = await opened(place)
    channel = await channel_of(line, peer, confirms=True)
    sending = [asyncio.ensure_future(channel.publish(OUT, f"m{number}")) for number in range(1, 7)]
    for _ in sending:
        for part in (Basic.Publish, ContentHeader, ContentBody):
            await peer.hear(part)
    returned = ContentHeader(0, 4, Basic.Properties(message_id="m2"))
    peer.say(Basic.Return(312, "NO_ROUTE", "e", "k"), returned, ContentBody(b"body"))
    peer.say(Basic.Ack(3, True), Basic.Nack(4, False), Basic.Ack(6, False))
    await asyncio.gather(sending[0], sending[2], sending[5])
    with pytest.raises(ReturnedError, match="312 NO_ROUTE"):
        await sending[1]
    with pytest.raises(NackedError):
        await sending[3]
    peer.say(Channel.Close(541, "INTERNAL_ERROR", 60, 40))
    with pytest.raises(LostError, match="541 INTERNAL_ERROR"):
        await sending[4]


@pytest.mark.parametrize(("code", "error"), [(404, MissingError), (406, DiffersError)])
async def test_a_closed_channel_is_told_and_its_number_used_again(
    place: Place, code: int, error: type[LostError]
) -> None:
    line, peer = await opened(place)
    channel, other = await channel_of(line, peer), await channel_of(line, peer, 2)
    told: list[str] = []
    channel.on_close(told.append)
    first, second = (asyncio.ensure_future(channel.count("q")) for _ in range(2))
    await peer.answer(Queue.Declare, Channel.Close(code, "because", 50, 10))
    with pytest.raises(error, match=f"{code} because"):
        await first
    with pytest.raises(LostError, match=f"{code} because") as lost:
        await second
    assert type(lost.value) is LostError
    await peer.hear(Channel.CloseOk)
    assert (told, channel.is_closed, other.is_closed) == ([f"{code} because"], True, False)
    with pytest.raises(LostError):
        channel.ack(1)
    again = await channel_of(line, peer, 1)
    assert not again.is_closed


async def test_a_channel_is_closed_when_the_broker_says_so_too(place: Place) -> None:
    channel, peer, arrivals = await consuming(place)
    closing = asyncio.ensure_future(channel.close())
    await peer.hear(Channel.Close)
    peer.say(*delivery(1, b"too late"), Channel.CloseOk())
    await closing
    assert channel.is_closed
    assert arrivals.empty()


async def test_more_channels_than_the_broker_allows_are_refused(place: Place) -> None:
    line, peer = await opened(place, channel_max=1)
    await channel_of(line, peer)
    with pytest.raises(LostError, match="allows 1 channels"):
        await line.channel()


async def test_a_call_that_is_cancelled_costs_only_its_own_answer(place: Place) -> None:
    line, peer = await opened(place)
    channel = await channel_of(line, peer)
    calls = [asyncio.ensure_future(channel.count(name)) for name in ("a", "b")]
    await peer.hear(Queue.Declare)
    calls[0].cancel()
    peer.say(Queue.DeclareOk("a", 1, 0))
    await peer.answer(Queue.Declare, Queue.DeclareOk("b", 2, 0))
    assert await calls[1] == 2
    assert calls[0].cancelled()


@pytest.mark.parametrize("answers", [True, False])
async def test_a_consumer_that_the_broker_cancels_is_told(place: Place, answers: bool) -> None:
    channel, peer, _ = await consuming(place, accept_consumer_cancel_ok=answers)
    told: asyncio.Queue[str] = asyncio.Queue()
    channel.on_cancel(told.put_nowait)
    peer.say(Basic.Cancel(CONSUMER, True))
    assert await told.get() == CONSUMER
    flushing = asyncio.ensure_future(channel.flush())
    if answers:
        assert (await peer.hear(Basic.CancelOk)).consumer_tag == CONSUMER
    await peer.answer(Basic.Qos, Basic.QosOk())
    await flushing


async def test_a_blocked_connection_is_told(place: Place) -> None:
    line, peer = await opened(place)
    peer.say(Connection.Blocked("low on memory"), Connection.Unblocked(), channel=0)
    await channel_of(line, peer)
    assert place.blocked == ["low on memory", "unblocked"]


async def test_a_connection_that_the_broker_closes_ends_with_its_words(place: Place) -> None:
    line, peer = await opened(place)
    channel = await channel_of(line, peer, confirms=True)
    sending = asyncio.ensure_future(channel.publish(OUT, "m"))
    await peer.hear(Basic.Publish)
    peer.say(Connection.Close(320, "CONNECTION_FORCED - by a test", 0, 0), channel=0)
    assert await ended(line) == "320 CONNECTION_FORCED - by a test"
    with pytest.raises(LostError, match="by a test"):
        await sending
    assert channel.is_closed
    with pytest.raises(LostError, match="by a test"):
        await line.channel()
    for part in (ContentHeader, ContentBody, Connection.CloseOk):
        await peer.hear(part)


async def test_a_connection_that_is_cut_says_so(place: Place) -> None:
    line, peer = await opened(place)
    peer.writer.close()
    assert await ended(line) == "the broker closed it without a word"


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        (b"\1\0\1\0\0\0\4\0\x3c\0\x3c\xce", "no AMQP"),
        (b"\1\0\1\0\0\0\4\x7f\xff\x7f\xff\xce", "no AMQP"),
        (b"\1\0\1\x7f\xff\xff\xff", "2147483647 bytes, more than were agreed on"),
        (b"\3\0\1\0\2\0\0", "131072 bytes, more than were agreed on"),
        (b"\2\0\1\0\0\0\x0e\0\x3c\0\0" + bytes(10) + b"\xce", "without its method"),
        (b"\3\0\1\0\0\0\1x\xce", "longer than its header said"),
        (b"\1\0\1\0\0\0\4\0\x3c\0\x0b\xce", "Basic.QosOk, which nobody had asked for"),
        (b"\xff" * 20, "no AMQP"),
    ],
)
async def test_what_is_no_amqp_ends_the_connection_and_says_so(
    place: Place, frames: bytes, why: str
) -> None:
    line, peer = await opened(place)
    channel = await channel_of(line, peer)
    peer.writer.write(frames)
    assert why in await ended(line)
    assert channel.is_closed
    assert (await peer.hear(Connection.Close)).reply_code == 501


async def test_a_receiver_that_fails_is_not_taken_for_a_fault_of_the_broker(place: Place) -> None:
    line, peer = await opened(place)
    channel = await channel_of(line, peer)

    def stumble(_: Arrival) -> None:
        raise ValueError("our own")

    starting = asyncio.ensure_future(channel.consume("q", CONSUMER, 10, stumble))
    await peer.answer(Basic.Qos, Basic.QosOk())
    await peer.answer(Basic.Consume, Basic.ConsumeOk(CONSUMER))
    await starting
    peer.say(*delivery(1, b"x"))
    assert await ended(line) == "a receiver failed: ValueError('our own')"


async def test_what_a_full_socket_does_not_take_waits_and_keeps_its_order(place: Place) -> None:
    line, peer = await opened(place)
    channel = await channel_of(line, peer, confirms=True)
    count, body = 200, bytes(100_000)
    sending = [
        asyncio.ensure_future(channel.publish(Outgoing("e", str(number), body, {}), str(number)))
        for number in range(count)
    ]
    connection = line._connection  # type: ignore[attr-defined]
    await until(lambda: connection._is_full, "a full socket", 10)
    channel.ack(1)
    for number in range(count):
        assert (await peer.hear(Basic.Publish)).routing_key == str(number)
        await peer.hear(ContentHeader)
        await peer.hear(ContentBody)
    await peer.hear(Basic.Ack)
    peer.say(Basic.Ack(count, True))
    await asyncio.gather(*sending)


async def test_a_silent_connection_says_something_and_a_silent_peer_is_given_up(
    place: Place,
) -> None:
    line, peer = await opened(place)
    connection = line._connection  # type: ignore[attr-defined]
    pulse = connection._pulse
    for _ in range(2):
        pulse._beat()
    await peer.hear(Heartbeat)
    peer.say(Heartbeat(), channel=0)
    await until(lambda: not pulse.silent, "a heartbeat", 10)
    for _ in range(7):
        pulse._beat()
    assert not connection.ended
    pulse._beat()
    assert await ended(line) == connection.ended == "no word from the broker for 1200 s"


async def test_heartbeats_come_without_being_asked_for(place: Place) -> None:
    connecting = place.connect(heartbeat=2)
    peer = await place.met()
    await peer.greet()
    await connecting
    await peer.hear(Heartbeat)


async def test_closing_waits_for_the_broker(place: Place) -> None:
    line, peer = await opened(place)
    closing = asyncio.ensure_future(line.close())
    assert (await peer.hear(Connection.Close)).reply_code == 200
    assert not closing.done()
    peer.say(Connection.CloseOk(), channel=0)
    await closing
    assert await ended(line) == "closed"


async def test_closing_does_not_wait_for_ever(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lean_connection, "CLOSE_TIMEOUT", 0.1)
    line, peer = await opened(place)
    await line.close()
    await peer.hear(Connection.Close)
    with pytest.raises(asyncio.IncompleteReadError):
        await peer.frame()
