"""A publisher as a process of its own, which begins when it is told to by a line on its input.

``python -m bench.race.publish BROKER URL TASKS LEAST MOST PER_SECOND`` prints when it began and
when all was confirmed, as JSON. Tasks have random countdowns between those seconds, or none when
both are 0; so many are published in a second (``inf``: as fast as the broker takes them).
"""

import json
import math
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import time

from bench.race.contender import QUEUE, Message, plain
from bench.race.ours import ROOT
from bench.race.wire import WAIT, Wire, letter, numbered

_SEED = 20
_NOT_AT_ALL = 0.0, 0.0


@dataclass(frozen=True, slots=True)
class Published:
    """When the first message went out, and when the last was confirmed (epoch seconds)."""

    began: float
    ended: float


@contextmanager
def publishing(
    broker: str,
    url: str,
    tasks: int,
    span: tuple[float, float] = _NOT_AT_ALL,
    per_second: float = math.inf,
) -> Iterator[Callable[[], Published]]:
    """Start one and give what lets it begin, and waits for its end. Raises RuntimeError there."""
    numbers = map(str, (tasks, *span, per_second))
    command = (sys.executable, "-m", "bench.race.publish", broker, url, *numbers)
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def go() -> Published:
            said, _ = process.communicate("go\n")
            if process.returncode:
                raise RuntimeError("the publisher broke down")
            return Published(*json.loads(said))

        try:
            yield go
        finally:
            process.kill()


def waits(tasks: int, span: tuple[float, float]) -> list[float]:
    """Return the countdown of each task: seconds, always the same ones."""
    dice = random.Random(_SEED)
    return [round(dice.uniform(*span), 3) for _ in range(tasks)]


def with_countdown(message: Message) -> Message:
    """Put a place for a countdown into a message of ours."""
    body = message.body.replace(b"{", b'{"countdown": ' + WAIT.encode() + b", ", 1)
    return Message(body, message.properties)


def main(arguments: Sequence[str]) -> None:
    broker, url, tasks = *arguments[:2], int(arguments[2])
    span, per_second = (float(arguments[3]), float(arguments[4])), float(arguments[5])
    message = plain(url) if span == _NOT_AT_ALL else with_countdown(plain(url))
    packed = letter(QUEUE, message.body, message.properties)
    each = waits(tasks, span)
    letters = [numbered(packed, number, each[number]) for number in range(tasks)]
    with Wire(broker) as wire:
        sys.stdin.readline()
        began = time()
        wire.publish(letters, per_second)
        print(json.dumps([began, time()]))


if __name__ == "__main__":
    main(sys.argv[1:])
