"""A publisher as a process of its own, which begins when it is told to by a line on its input.

``python -m bench.race.publish BROKER URL TASKS LONGEST_WAIT`` prints when it began and when all was
confirmed, as JSON. With a longest wait that is not 0, tasks have random countdowns.
"""

import json
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
_LEAST_WAIT = 1.0


@dataclass(frozen=True, slots=True)
class Published:
    """When the first message went out, and when the last was confirmed (epoch seconds)."""

    began: float
    ended: float


@contextmanager
def publishing(
    broker: str, url: str, tasks: int, longest: float = 0.0
) -> Iterator[Callable[[], Published]]:
    """Start one and give what lets it begin, and waits for its end. Raises RuntimeError there."""
    command = (sys.executable, "-m", "bench.race.publish", broker, url, str(tasks), str(longest))
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


def waits(tasks: int, longest: float) -> list[float]:
    """Return the countdown of each task: seconds, always the same ones."""
    dice = random.Random(_SEED)
    least = min(_LEAST_WAIT, longest)
    return [round(dice.uniform(least, longest), 3) for _ in range(tasks)]


def with_countdown(message: Message) -> Message:
    """Put a place for a countdown into a message of ours."""
    body = message.body.replace(b"{", b'{"countdown": ' + WAIT.encode() + b", ", 1)
    return Message(body, message.properties)


def main(arguments: Sequence[str]) -> None:
    broker, url, tasks, longest = *arguments[:2], int(arguments[2]), float(arguments[3])
    message = plain(url) if not longest else with_countdown(plain(url))
    packed = letter(QUEUE, message.body, message.properties)
    each = waits(tasks, longest)
    letters = [numbered(packed, number, each[number]) for number in range(tasks)]
    with Wire(broker) as wire:
        sys.stdin.readline()
        began = time()
        wire.publish(letters)
        print(json.dumps([began, time()]))


if __name__ == "__main__":
    main(sys.argv[1:])
