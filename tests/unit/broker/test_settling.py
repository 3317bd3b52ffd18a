"""Acks go together where that is provably right: whoever holds a delivery keeps it."""

from typing import Any

import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.commands import Basic

from webhook_runner.broker.amqp.settling import Settling

CHANNEL = 3
MANY = 100_000


class Broker:
    """Settles as RabbitMQ does, and refuses what it would close the channel for."""

    def __init__(self) -> None:
        self.open: list[int] = []
        self.acked: set[int] = set()
        self.returned: set[int] = set()
        self.frames = 0

    def read(self, packed: bytes) -> None:
        while packed:
            size, channel, frame = pamqp.frame.unmarshal(packed)
            packed = packed[size:]
            assert channel == CHANNEL
            self.frames += 1
            assert isinstance(frame, Basic.Ack | Basic.Nack)
            tag = frame.delivery_tag or 0
            assert tag in self.open, f"unknown delivery tag {tag}"
            settled = [each for each in self.open if each <= tag] if frame.multiple else [tag]
            self.open = [each for each in self.open if each not in settled]
            (self.acked if isinstance(frame, Basic.Ack) else self.returned).update(settled)


def channel(deliveries: int) -> tuple[Settling, Broker]:
    settling, broker = Settling(CHANNEL), Broker()
    for tag in range(1, deliveries + 1):
        settling.arrived(tag)
        broker.open.append(tag)
    return settling, broker


def acked(settling: Settling, *tags: int) -> bytes:
    for tag in tags:
        settling.ack(tag, before=False)
    return settling.pack()


def test_a_run_of_acks_is_one_frame() -> None:
    settling, broker = channel(5)
    broker.read(acked(settling, 3, 1, 2))
    assert (broker.acked, broker.open, broker.frames) == ({1, 2, 3}, [4, 5], 1)


def test_nothing_is_settled_that_somebody_holds() -> None:
    settling, broker = channel(5)
    broker.read(acked(settling, 2, 3, 4))
    assert (broker.acked, broker.open, broker.frames) == ({2, 3, 4}, [1, 5], 3)
    broker.read(acked(settling, 1))
    broker.read(acked(settling, 5))
    assert broker.acked == {1, 2, 3, 4, 5}


def test_what_was_settled_before_does_not_keep_a_run_apart() -> None:
    settling, broker = channel(5)
    broker.read(acked(settling, 2, 4))
    broker.read(acked(settling, 5, 3, 1))
    assert (broker.open, broker.frames) == ([], 3)


def test_what_is_given_back_is_never_settled_by_an_ack_of_many() -> None:
    settling, broker = channel(3)
    settling.ack(3, before=False)
    settling.release(2)
    settling.ack(1, before=False)
    broker.read(settling.pack())
    assert (broker.acked, broker.returned, broker.frames) == ({1, 3}, {2}, 2)


def test_an_ack_of_all_before_is_said_as_it_is() -> None:
    settling, broker = channel(5)
    settling.ack(1, before=False)
    settling.ack(3, before=True)
    settling.ack(5, before=False)
    broker.read(settling.pack())
    assert (broker.acked, broker.open, broker.frames) == ({1, 2, 3, 5}, [4], 2)


def test_what_needs_no_ack_is_never_waited_for() -> None:
    settling, broker = Settling(CHANNEL), Broker()
    for tag in (2, 5):  # the others went to a consumer whose messages are settled as they come
        settling.arrived(tag)
        broker.open.append(tag)
    broker.read(acked(settling, 2, 5))
    assert (broker.open, broker.frames) == ([], 1)


def test_an_ack_of_what_is_not_open_is_left_to_the_broker() -> None:
    settling, broker = channel(2)
    broker.read(acked(settling, 1))
    with pytest.raises(AssertionError, match="unknown delivery tag 1"):
        broker.read(acked(settling, 1))


def test_one_that_is_held_for_long_costs_no_memory_for_those_that_pass_it() -> None:
    settling, _ = channel(1)
    for tag in range(2, MANY):
        settling.arrived(tag)
        acked(settling, tag)
    assert settling.open == {1}
    acked(settling, 1)
    settling.arrived(MANY)
    assert acked(settling, MANY)


@given(st.data())
def test_the_broker_ends_up_with_what_was_said_whatever_the_order(data: Any) -> None:
    settling, broker = Settling(CHANNEL), Broker()
    latest, ours = 0, set()
    said: dict[str, set[int]] = {"ack": set(), "release": set()}
    for _ in range(data.draw(st.integers(1, 12))):
        for _ in range(data.draw(st.integers(0, 6))):
            latest += 1
            if data.draw(st.booleans()):
                settling.arrived(latest)
                broker.open.append(latest)
                ours.add(latest)
        for tag in data.draw(st.lists(st.sampled_from(sorted(ours)), unique=True)) if ours else ():
            what = data.draw(st.sampled_from(["ack", "ack", "release"]))
            if what == "ack":
                settling.ack(tag, before=False)
            else:
                settling.release(tag)
            said[what].add(tag)
            ours.discard(tag)
        broker.read(settling.pack())
        assert (broker.acked, broker.returned) == (said["ack"], said["release"])
    assert broker.open == sorted(ours)
