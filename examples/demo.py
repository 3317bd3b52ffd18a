"""The job, live: real tasks from a plain AMQP client become requests, retries and a roll-back.

``BROKER=rabbitmq`` is the only broker yet; ``DURATION=20`` ends it by itself after 20 seconds.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import pika
from pika.exceptions import AMQPError
from rich.console import Console

from tests.parts.broker import HOW_TO_GET_ONE, TestBroker, obtain_broker
from tests.parts.daemon import Daemon, Event
from tests.parts.publisher import publish
from tests.parts.receiver import Answer, Receiver, Request

QUEUE = "webhook-runner-demo"
PREFIX = "wr-demo.v1"
LOCAL = "amqp://guest:guest@localhost:5672/"
CONFIG = """
server = "{broker}"
base_url = "{receiver}"
[broker]
prefix = "{prefix}"
[api]
listen = "127.0.0.1:0"
[queues.{queue}]
min_backoff_seconds = 1
timeout = 5
"""

VERDICTS = {
    "task.scheduled": ("waits in the broker", "blue"),
    "task.succeeded": ("succeeded", "green"),
    "task.rolled_back": ("rolled back", "green"),
    "task.retry.scheduled": ("will be tried again", "yellow"),
    "task.failed": ("failed for good", "red"),
    "task.expired": ("expired", "red"),
    "task.rejected": ("set aside", "red"),
}

console = Console(highlight=False)


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One task to publish, and the paths it is expected to call, in order."""

    title: str
    message: bytes
    calls: tuple[str, ...]


def exhibits() -> list[Exhibit]:
    return [
        _exhibit("at once", {"url": "/hello", "payload": {"to": "you"}}, "/hello"),
        _exhibit("in 3 seconds", {"url": "/later", "countdown": 3}, "/later"),
        _exhibit(
            "fails twice, then succeeds", {"url": "/flaky", "max_retries": 5}, *["/flaky"] * 3
        ),
        _exhibit(
            "fails for good and is rolled back",
            {"url": "/doomed", "max_retries": 1, "roll_back": "/undo", "payload": {"order": 7}},
            *("/doomed", "/doomed", "/undo"),
        ),
        _exhibit(
            "too late: never called, rolled back at once",
            {"url": "/late", "expires": time.time() - 1, "roll_back": "/undo-late"},
            "/undo-late",
        ),
        Exhibit("not JSON: set aside", b"{this is not JSON", ()),
    ]


def _exhibit(title: str, message: dict[str, object], *calls: str) -> Exhibit:
    return Exhibit(title, json.dumps(message).encode(), calls)


def main() -> int:
    seconds = float(os.environ.get("DURATION") or "inf")
    if os.environ.get("BROKER", "rabbitmq") not in {"", "rabbitmq"}:
        console.print("BROKER: rabbitmq is the only one in this version")
        return 2
    broker = _running_broker() or obtain_broker()
    if broker is None:
        console.print(HOW_TO_GET_ONE)
        return 69
    try:
        with Receiver() as receiver, _daemon(broker, receiver) as daemon:
            return _show(broker, receiver, daemon, seconds)
    finally:
        _clean_up(broker)
        broker.close()


def _show(broker: TestBroker, receiver: Receiver, daemon: Daemon, seconds: float) -> int:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    ended = time.monotonic() + seconds
    daemon.ready()
    shown = exhibits()
    began = time.time()
    for each in shown:
        publish(broker.url, QUEUE, each.message)
        console.print(f"[dim]published[/]  {each.title}: {_short(each.message)}", soft_wrap=True)
    expected = sum(len(each.calls) for each in shown)
    told = (0, 0)
    while not stop.is_set() and time.monotonic() < ended:
        told = _report(receiver, daemon, told, began)
        if told[0] >= expected and seconds == float("inf"):
            _stay(broker, stop)
        stop.wait(0.05)
        if told[0] >= expected and seconds != float("inf"):
            break
    stop.wait(0.2)
    _report(receiver, daemon, told, began)
    return _summary(shown, receiver, daemon)


def _stay(broker: TestBroker, stop: threading.Event) -> None:
    console.print(
        f"\nThe daemon keeps running. Publish JSON to the queue [bold]{QUEUE}[/] of {broker.url}\n"
        "with any AMQP client; Ctrl-C ends it."
    )
    stop.wait()


def _report(
    receiver: Receiver, daemon: Daemon, told: tuple[int, int], began: float
) -> tuple[int, int]:
    """Show what arrived at the endpoint and what the daemon made of it since the last time."""
    requests, events = receiver.received(), list(daemon.events)
    lines = [(r.arrived_at, _arrival(r)) for r in requests[told[0] :]]
    lines += [(_at(e), _verdict(e)) for e in events[told[1] :] if e["event"] in VERDICTS]
    for at, line in sorted(lines):
        console.print(f"{at - began:9.3f} s  {line}", soft_wrap=True)
    return len(requests), len(events)


def _arrival(request: Request) -> str:
    attempt, kind = (request.header(f"Webhook-Runner-{name}") for name in ("Attempt", "Event"))
    return f"[cyan]{request.method} {request.path}[/] arrived ({kind}, attempt {attempt})"


def _verdict(event: Event) -> str:
    word, style = VERDICTS[str(event["event"])]
    facts = {
        name: event[name] for name in ("status", "reason", "delay_s", "error") if name in event
    }
    shown = ", ".join(f"{name} {value}" for name, value in facts.items())
    return f"[dim]{event.get('task_id', '-')!s:>36}[/]  [{style}]{word}[/] {shown}".rstrip()


def _at(event: Event) -> float:
    return datetime.fromisoformat(str(event["timestamp"])).timestamp()


def _summary(shown: list[Exhibit], receiver: Receiver, daemon: Daemon) -> int:
    """Check what was promised against what arrived; exit code 0 only if all of it holds."""
    paths = [request.path for request in receiver.received()]
    console.print("\n[bold]Summary[/]")
    wrong = 0
    for each in shown:
        arrived = [path for path in paths if path in each.calls]
        told = daemon.wait_for_event("task.rejected") if not each.calls else None
        right = sorted(arrived) == sorted(each.calls)
        wrong += not right
        mark = "[green]ok[/]  " if right else "[red]BAD[/] "
        outcome = " -> ".join(arrived) or (told and "set aside with its reason") or "nothing"
        console.print(f"  {mark} {each.title}: {outcome}")
    later = receiver.received("/later")
    early = sum(1 for r in later if r.arrived_at < _due(r))
    console.print(f"  early requests: {early}, wrong: {wrong}")
    code = daemon.terminate()
    console.print(f"  the daemon drained and ended with exit code {code}")
    return 1 if wrong or early or code else 0


def _due(request: Request) -> float:
    return datetime.fromisoformat(request.header("Webhook-Runner-Eta") or "").timestamp()


def _short(message: bytes) -> str:
    return message.decode()[:90].replace("[", r"\[")


@contextmanager
def _daemon(broker: TestBroker, receiver: Receiver) -> Iterator[Daemon]:
    receiver.script("/flaky", [Answer(503), Answer(503), Answer(200)])
    receiver.script("/doomed", [Answer(503)])
    config = CONFIG.format(broker=broker.url, receiver=receiver.url, prefix=PREFIX, queue=QUEUE)
    console.print("Starting the daemon on a real RabbitMQ ...")
    with Daemon(config) as daemon:
        yield daemon


def _running_broker() -> TestBroker | None:
    """Return the RabbitMQ of this machine, if one runs with its default user."""
    if os.environ.get("WEBHOOK_RUNNER_TEST_AMQP_URL"):
        return None
    try:
        pika.BlockingConnection(pika.URLParameters(f"{LOCAL}?connection_attempts=1")).close()
    except (AMQPError, OSError):
        return None
    return TestBroker(LOCAL, lambda: None)


def _clean_up(broker: TestBroker) -> None:
    """Leave nothing behind on a broker that is not ours."""
    if broker.node is not None:
        return
    connection = pika.BlockingConnection(pika.URLParameters(broker.url))
    channel = connection.channel()
    slots = [f"{PREFIX}.wait.{level}.{slot}" for level in range(5) for slot in range(64)]
    aside = [f"{PREFIX}.{kind}.{QUEUE}" for kind in ("dead", "invalid")]
    for queue in (QUEUE, *slots, *aside, f"{PREFIX}.unrouted", f"{PREFIX}.poison"):
        channel.queue_delete(queue)
    for exchange in ("work", "wait", "poison", "unrouted"):
        channel.exchange_delete(f"{PREFIX}.{exchange}")
    connection.close()


if __name__ == "__main__":
    sys.exit(main())
