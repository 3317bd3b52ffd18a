"""What does a request cost? CPU time of both HTTP clients against a trivial receiver.

``python -m bench.dispatch [REQUESTS] [CONCURRENCY]``: the receiver is another process, so what is
printed is the CPU time of the client alone: microseconds for each request, the median of five
rounds in which the clients take turns.
"""

import asyncio
import importlib
import importlib.util
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Literal, cast

from webhook_runner.dispatch.http import HttpDispatcher
from webhook_runner.settings import EgressSettings, QueueSettings
from webhook_runner.task.model import Envelope, Task
from webhook_runner.task.outcome import Responded
from webhook_runner.task.outgoing import request_for

Client = Literal["lean", "httpx2"]

CLIENTS: tuple[Client, ...] = ("lean", "httpx2")
ROUNDS = 5
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
BODY = json.dumps({"text": "x" * 480}).encode()


class Receiver(asyncio.Protocol):
    """Answers whatever ends with the body that all requests have."""

    def __init__(self) -> None:
        self._transport = asyncio.Transport()
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._held += data
        if self._held.endswith(BODY):
            self._held = b""
            self._transport.write(ANSWER)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return the loop that the daemon would use: uvloop's where it is installed."""
    if not importlib.util.find_spec("uvloop"):
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module(
        "uvloop"
    ).new_event_loop
    return factory


def receive(parent: Connection) -> None:
    """Listen on a free port of loopback, tell it, and answer until killed."""

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0)
        parent.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main())


async def cost(client: Client, url: str, requests: int, concurrency: int) -> float:
    """Return the CPU microseconds of one request, connections and all once opened."""
    dispatcher = HttpDispatcher(EgressSettings(), client=client)
    dispatcher.configure("default", concurrency)
    task = Task(id="t1", queue="default", url=url, source=b"{}", body=BODY)
    envelope = Envelope(task, first_at=0.0, due_at=0.0)
    request = request_for(envelope, QueueSettings(), "", version="bench")
    left = iter(range(requests))

    async def slot() -> None:
        for _ in left:
            outcome = await dispatcher.send(request, envelope)
            if not isinstance(outcome, Responded):
                raise SystemExit(f"{client}: {outcome}")

    await asyncio.gather(*(dispatcher.send(request, envelope) for _ in range(concurrency)))
    began = time.process_time()
    await asyncio.gather(*(slot() for _ in range(concurrency)))
    used = time.process_time() - began
    await dispatcher.close()
    return used / requests * 1e6


def main(requests: int = 5000, concurrency: int = 50) -> None:
    """Print a line for each client, and how many times one costs the other."""
    ours, theirs = multiprocessing.Pipe()
    receiver = multiprocessing.get_context("spawn").Process(
        target=receive, args=(theirs,), daemon=True
    )
    receiver.start()
    url = f"http://127.0.0.1:{ours.recv()}/hook/42?by=bench"
    costs: dict[Client, list[float]] = {client: [] for client in CLIENTS}
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        for _ in range(ROUNDS):
            for client in CLIENTS:
                costs[client].append(runner.run(cost(client, url, requests, concurrency)))
    receiver.terminate()
    medians = {client: statistics.median(costs[client]) for client in CLIENTS}
    for client, median in medians.items():
        spread = f"{min(costs[client]):.0f} to {max(costs[client]):.0f}"
        print(f"{client:8} {median:7.1f} us CPU a request ({spread}), {concurrency} at a time")
    print(f"httpx2 / lean: {medians['httpx2'] / medians['lean']:.1f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
