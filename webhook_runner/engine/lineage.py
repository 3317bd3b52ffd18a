"""Which copies are superfluous: a crash can leave a publisher's message beside its own successor.

The message, handed over again, begins a second line of the same task; the first one stays.
"""

from collections import OrderedDict
from collections.abc import Hashable

from webhook_runner.task.model import Envelope

REMEMBERED = 10_000

SAME_CRASH = 3_600_000
"""Milliseconds between two first receipts that one crash explains; later, it is a new task."""


class Lineage:
    """The oldest line seen here of each task that its publisher named: its id and content.

    A daemon that died between the confirm of a message's first copy and its acknowledgement leaves
    both in the broker. Other daemons do not know what this one has seen.
    """

    def __init__(self) -> None:
        self._oldest: OrderedDict[Hashable, int] = OrderedDict()

    def is_superfluous(self, envelope: Envelope) -> bool:
        """Whether an older line of this task is under way; note this one.

        Only a line that began with a redelivery can be superfluous. A line is numbered by the
        milliseconds of its first receipt.
        """
        if not envelope.named or envelope.origin or not (envelope.gen or envelope.again):
            return False
        key = (envelope.task.id, envelope.task.fingerprint)
        oldest = self._oldest.get(key, envelope.run)
        if envelope.again and 0 < envelope.run - oldest < SAME_CRASH:
            return True
        if envelope.gen:
            self._note(key, min(oldest, envelope.run))
        return False

    def _note(self, key: Hashable, run: int) -> None:
        self._oldest[key] = run
        self._oldest.move_to_end(key)
        if len(self._oldest) > REMEMBERED:
            self._oldest.popitem(last=False)
