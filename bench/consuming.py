"""What does a message cost? CPU time of both AMQP clients, from the broker to the ack.

``python -m bench.consuming [MESSAGES]``: the broker is another process, so what is printed is the
CPU time of the client alone: microseconds for each message, consumed and acknowledged one by one,
and for each publish with its confirm; the median of three rounds in which the clients take turns.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager

from bench.dispatch import loop_factory
from tests.parts import publisher
from tests.parts.broker import HOW_TO_GET_ONE, obtain_broker
from webhook_runner.broker.amqp.channel import Arrival, Channel, Outgoing
from webhook_runner.broker.amqp.line import address
from webhook_runner.broker.amqp.stacks import STACKS, Stack, connect_by
from webhook_runner.settings import BrokerSettings

ROUNDS = 3
PREFETCH = 200
AT_A_TIME = 500
BODY = b'{"url": "/hook/42", "payload": "' + 466 * b"x" + b'"}'
DECLARE: Mapping[str, Callable[[str, str], None]] = {
    "quorum": publisher.declare_quorum,
    "classic": publisher.declare_classic,
}
Found = dict[tuple[str, str, Stack], list[float]]


@contextmanager
def broker() -> Iterator[str]:
    """Run a broker; its address."""
    found = obtain_broker()
    if found is None:
        raise SystemExit(HOW_TO_GET_ONE)
    try:
        for kind, declare in DECLARE.items():
            declare(found.url, kind)
        yield found.url
    finally:
        found.close()


async def fill(channel: Channel, queue: str, messages: int) -> None:
    """Publish so many messages, and have them confirmed."""
    left = iter(range(messages))

    async def some() -> None:
        for number in left:
            about = {"wr-id": f"t{number}", "wr-run": 1, "wr-due": 1_769_848_200_000}
            await channel.publish(
                Outgoing("", queue, BODY, about, "application/json"), f"m{number}"
            )

    await asyncio.gather(*(some() for _ in range(AT_A_TIME)))


async def empty(channel: Channel, queue: str, messages: int) -> None:
    """Consume and acknowledge so many messages."""
    done = asyncio.Event()
    seen = 0

    def receive(arrival: Arrival) -> None:
        nonlocal seen
        seen += 1
        arrival.channel.ack(arrival.tag)
        if seen == messages:
            done.set()

    await channel.consume(queue, "bench", PREFETCH, receive)
    await done.wait()
    await channel.cancel("bench")
    await channel.flush()


async def measure(stack: Stack, url: str, messages: int) -> Mapping[tuple[str, str], float]:
    """Return the CPU microseconds of one message, by the queue's type and what was done."""
    where = address(url, BrokerSettings(), "bench")
    line = await connect_by(stack)(where, frozenset(), lambda _: None, lambda: None)
    costs = {}
    for queue in DECLARE:
        for what, work, confirms in (("publish", fill, True), ("consume", empty, False)):
            channel = await line.channel(confirms=confirms)
            costs[queue, what] = await _cost(work(channel, queue, messages)) / messages
            await channel.close()
    await line.close()
    return costs


async def _cost(work: Awaitable[None]) -> float:
    began = time.process_time()
    await work
    return (time.process_time() - began) * 1e6


def main(messages: int = 20_000) -> None:
    """Print a line for each client and queue type, and how many times one costs the other."""
    costs: Found = {}
    with broker() as url, asyncio.Runner(loop_factory=loop_factory()) as runner:
        for _ in range(ROUNDS):
            for stack in STACKS:
                for (queue, what), cost in runner.run(measure(stack, url, messages)).items():
                    costs.setdefault((queue, what, stack), []).append(cost)
    for (queue, what, stack), found in sorted(costs.items()):
        median = statistics.median(found)
        times = median / statistics.median(costs[queue, what, "lean"])
        spread = f"{min(found):.1f} to {max(found):.1f}"
        print(f"{queue:8} {what:8} {stack:9} {median:6.1f} us CPU ({spread}), {times:.1f} x lean")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
