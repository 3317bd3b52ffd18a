"""The job, live: real tasks become requests on time, retries, a roll-back, and it is checked.

``BROKER=embedded`` (default) or ``rabbitmq``; ``DURATION=20`` ends it within 20 seconds.
"""

import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape

from examples.demo.door import Door, Handed, HttpDoor
from examples.demo.exhibits import Exhibit, exhibits, prepare
from examples.demo.screen import Screen
from examples.demo.story import Story, belongs, complaints
from tests.parts.daemon import Daemon, DaemonError
from tests.parts.receiver import Receiver

UNAVAILABLE = 69
USAGE = 2
console = Console(highlight=False)


@dataclass(slots=True)
class Stage:
    """A daemon, an endpoint, and the tasks that were handed in."""

    door: Door
    receiver: Receiver
    daemon: Daemon
    stop: threading.Event
    screen: Screen
    handed: list[tuple[Exhibit, float, Handed]] = field(default_factory=list)

    def hand_in(self, shown: Sequence[Exhibit]) -> None:
        for exhibit in shown:
            given_at = time.time()
            self.handed.append((exhibit, given_at, self.door.hand_in(exhibit.message)))

    def stories(self) -> list[Story]:
        requests, events = self.receiver.received(), list(self.daemon.events)
        return [
            Story(
                exhibit,
                given_at,
                handed,
                tuple(r for r in requests if r.header("Webhook-Runner-Task-Id") == exhibit.id),
                tuple(event for event in events if belongs(exhibit, event)),
            )
            for exhibit, given_at, handed in self.handed
        ]


def main() -> int:
    try:
        seconds = float(os.environ.get("DURATION") or "inf")
    except ValueError:
        return _refuse("DURATION: write a number of seconds, such as DURATION=20", USAGE)
    broker = os.environ.get("BROKER") or "embedded"
    if broker not in {"embedded", "rabbitmq"}:
        return _refuse("BROKER: write embedded or rabbitmq", USAGE)
    try:
        door = HttpDoor() if broker == "embedded" else _amqp_door()
    except RuntimeError as none:
        return _refuse(str(none), UNAVAILABLE)
    try:
        return _perform(door, seconds)
    except DaemonError as error:
        return _refuse(f"the daemon did not do its part: {error}", 1)
    finally:
        door.close()


def _refuse(text: str, code: int) -> int:
    console.print(escape(text), style="red", soft_wrap=True)
    return code


def _amqp_door() -> Door:
    # Named by data: its client is no dependency of the demo without RabbitMQ.
    door: Door = importlib.import_module("examples.demo.over_amqp").open_door()
    return door


def _perform(door: Door, seconds: float) -> int:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    until = time.monotonic() + seconds
    console.print(f"Starting the daemon ({door.name}) and an endpoint ...")
    with Receiver() as receiver, Daemon(door.config(receiver.url)) as daemon:
        prepare(receiver)
        daemon.ready(timeout=60)
        stage = Stage(door, receiver, daemon, stop, Screen(console))
        _watch(stage, until)
        stories = stage.stories()
        if seconds == float("inf") and not stop.is_set():
            _stay(stage)
        return _summary(stories, daemon)


def _watch(stage: Stage, until: float) -> None:
    """Hand everything in and show it until it is over, time is, or somebody says stop."""
    screen = stage.screen
    with screen.showing():
        stage.hand_in(exhibits(stage.door.invalid))
        while not stage.stop.is_set() and time.monotonic() < until:
            stories = stage.stories()
            screen.show(stories)
            if all(story.over for story in stories):
                # What comes although all is over would be a duplicate: give it time to show.
                stage.stop.wait(0.5)
                break
            stage.stop.wait(0.08)
        screen.show(stage.stories())


def _stay(stage: Stage) -> None:
    told = len(stage.receiver.received())
    console.print("\nThe daemon keeps running; Ctrl-C ends it.")
    console.print(escape(stage.door.invitation()), soft_wrap=True)
    while not stage.stop.wait(0.1):
        for request in stage.receiver.received()[told:]:
            stage.screen.arrival(request)
            told += 1


def _summary(stories: Sequence[Story], daemon: Daemon) -> int:
    """Say what was promised and kept; exit code 0 only if all of it was."""
    console.print("\n[bold]Summary[/]")
    wrong = 0
    for story in stories:
        faults = list(complaints(story))
        wrong += bool(faults)
        mark = "[red]BAD[/] " if faults else "[green]ok[/]  "
        arrived = " -> ".join(request.path for request in story.requests)
        said = "; ".join(faults) or ", ".join(
            text for text in (arrived, story.end.removeprefix("task.")) if text
        )
        console.print(f"  {mark} {escape(story.exhibit.title)}: {escape(said)}", soft_wrap=True)
    requests = sum(len(story.requests) for story in stories)
    console.print(
        f"  {len(stories)} tasks, {requests} requests; attempts, order, times and roll-backs"
        f" checked: {wrong or 'nothing'} wrong",
        soft_wrap=True,
    )
    code = daemon.terminate()
    console.print(f"  the daemon drained and ended with exit code {code}")
    return 1 if wrong or code else 0


if __name__ == "__main__":
    sys.exit(main())
