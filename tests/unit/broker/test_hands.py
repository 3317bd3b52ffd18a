"""What a session's end leaves of the work that was begun for its messages."""

import asyncio
import gc
from typing import cast

from tests.fakes.clock import FakeClock
from webhook_runner.broker.amqp.faults import LostError
from webhook_runner.broker.amqp.hands import Hands
from webhook_runner.broker.amqp.session import Session
from webhook_runner.broker.amqp.topology import Topology
from webhook_runner.policy.delay import Wheel


class Around:
    clock = FakeClock()
    topology = Topology("wr.v1", ("q",))


class EndingSession:
    around = Around()

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def fail(self, reason: str) -> None:
        self.reasons.append(reason)


def hands(session: EndingSession) -> Hands:
    return Hands(cast("Session", session), Wheel(), lambda _: None)


async def test_work_that_is_cancelled_before_it_began_leaves_no_trace() -> None:
    session = EndingSession()
    at_hand = hands(session)

    async def work() -> None:
        raise AssertionError

    at_hand.spawn(work())
    at_hand.cancel()
    await at_hand.finish(1.0)
    gc.collect()  # a coroutine that was never awaited warns when it goes, which fails a test
    assert session.reasons == []


async def test_what_fails_ends_the_session_with_its_reason() -> None:
    session = EndingSession()
    at_hand = hands(session)

    async def lose() -> None:
        raise LostError("closed by the server")

    async def stumble() -> None:
        raise ValueError("no such slot")

    at_hand.spawn(lose())
    at_hand.spawn(stumble())
    await at_hand.finish(1.0)
    await asyncio.sleep(0)
    assert session.reasons == [
        "closed by the server",
        "the wheel failed: ValueError('no such slot')",
    ]
