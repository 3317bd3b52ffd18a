"""The tasks of the demo, and what is promised about each."""

import json
import math
import time
from dataclasses import dataclass

from tests.parts.receiver import Answer, Receiver

REFUSED = "refused"
"""How a task ends that is not even taken in."""


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One task to hand in.

    Attributes:
        message: the bytes handed in.
        calls: the paths that must be called, in this order, the roll-back's last.
        waits: for each call of the task itself, the seconds that must have passed since it was
            handed in or called before.
        end: the event that must end it, or REFUSED.
        expires: epoch seconds from which no call may be made: a slow machine makes fewer.

    """

    id: str
    title: str
    message: bytes
    calls: tuple[str, ...]
    waits: tuple[float, ...]
    end: str
    expires: float = math.inf

    @property
    def rolled_back(self) -> bool:
        """Whether the last call is that of the roll-back."""
        return len(self.calls) > len(self.waits)


def exhibits(invalid: Exhibit) -> list[Exhibit]:
    """Return the tasks; what an invalid one looks like depends on the way it is handed in."""
    expires = round(time.time() + 2.9, 3)
    return [
        _exhibit("at-once", "at once", {"url": "/hello", "payload": {"to": "you"}}, (0,)),
        _exhibit("delayed", "in 3 seconds", {"url": "/later", "countdown": 3}, (3,)),
        _exhibit(
            "flaky",
            "fails twice, then succeeds",
            {"url": "/flaky", "max_retries": 5},
            (0, 1, 2),
        ),
        _exhibit(
            "doomed",
            "fails for good, is rolled back",
            {"url": "/doomed", "max_retries": 1, "roll_back": "/undo", "payload": {"order": 7}},
            (0, 1),
            end="task.failed",
        ),
        _exhibit(
            "too-late",
            "fails until it expires, is rolled back",
            {"url": "/late", "expires": expires, "roll_back": "/undo-late"},
            (0, 1),
            end="task.expired",
        ),
        invalid,
    ]


def _exhibit(
    name: str,
    title: str,
    fields: dict[str, object],
    waits: tuple[float, ...],
    *,
    end: str = "task.succeeded",
) -> Exhibit:
    message = json.dumps({"id": name, **fields}).encode()
    undo = [str(fields["roll_back"])] if "roll_back" in fields else []
    calls = (*[str(fields["url"])] * len(waits), *undo)
    expires = float(str(fields.get("expires", math.inf)))
    return Exhibit(name, title, message, calls, waits, end, expires)


def prepare(receiver: Receiver) -> None:
    """Make the endpoints fail as the exhibits say; every other path answers 200."""
    receiver.script("/flaky", [Answer(503), Answer(503), Answer(200)])
    receiver.script("/doomed", [Answer(503)])
    receiver.script("/late", [Answer(503)])
