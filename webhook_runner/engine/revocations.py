"""Which copies are not to be carried out: cancelled by a person, or replaced by an earlier call."""

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from webhook_runner.policy.verdict import Revoked
from webhook_runner.task.model import Envelope, Message
from webhook_runner.task.notice import Notice

TASK = "task:"
"""What the key of such a notice begins with; the id follows, and of one run ``_RUN`` and it."""

_RUN = "/"

EVERY_GEN = 2**31 - 1


class Word(Struct, frozen=True):
    """Revoked are all runs up to ``run`` (``cancelled``), else copies of that one up to ``gen``."""

    run: int
    gen: int
    cancelled: bool


_WORD = msgspec.json.Decoder(Word)


class Revocations:
    """What was called off, by id, and what was replaced, by id and run. A million of them fit.

    A run is numbered by the millisecond of its first receipt, so a cancellation at a time covers
    every run that began before it. Under a flood those numbers run ahead of the clock; then the
    time of the first receipt itself decides.
    """

    def __init__(self) -> None:
        self._cancelled: dict[str, tuple[int, int]] = {}
        self._superseded: dict[tuple[str, int], int] = {}

    def __len__(self) -> int:
        return len(self._cancelled) + len(self._superseded)

    def recall(self, notice: Notice) -> str:
        """Take the notice of a revocation; return the id of its task.

        Raises:
            msgspec.MsgspecError: it cannot be read.

        """
        word = _WORD.decode(notice.word)
        name = notice.key.removeprefix(TASK).partition(_RUN)[0]
        if not word.cancelled:
            self._superseded[name, word.run] = word.gen
            return name
        at = round(notice.at * 1000)
        run = at if word.run == at else word.run  # one number in memory, not two
        self._cancelled[name] = (run, at)
        return name

    def reach(self, task_id: str, run: int) -> Notice | None:
        """Have a cancellation cover a run too; return the notice of that if it did not before."""
        known, at = self._cancelled.get(task_id, (run, 0))
        if run <= known:
            return None
        self._cancelled[task_id] = (run, at)
        return cancellation(task_id, run, at / 1000)

    def of(self, envelope: Envelope, message: Message) -> Revoked | None:
        """Return why a copy is revoked, or None; ``message`` is what it was read from."""
        name = envelope.task.id
        if name in self._cancelled and self._is_cancelled(envelope, message):
            return Revoked.CANCELLED
        # Another run of its id is another task: what was replaced of one says nothing of it.
        last = self._superseded.get((name, envelope.run), -1)
        return Revoked.SUPERSEDED if envelope.gen <= last else None

    def _is_cancelled(self, envelope: Envelope, message: Message) -> bool:
        run, cancelled_at = self._cancelled[envelope.task.id]
        first = round(envelope.first_at * 1000)
        return envelope.run <= run or first < cancelled_at or _is_older(message, cancelled_at)

    def run_after(self, task_id: str) -> int:
        """Return the least number of a run of that task which is not cancelled."""
        word = self._cancelled.get(task_id)
        return word[0] + 1 if word else 1


def cancellation(task_id: str, run: int, at: float) -> Notice:
    """Return the notice that cancels every run up to ``run``, and what began before ``at``."""
    word = Word(max(run, round(at * 1000)), EVERY_GEN, cancelled=True)
    return Notice(TASK + task_id, at, msgspec.json.encode(word))


def supersession(task_id: str, run: int, gen: int, at: float) -> Notice:
    """Return the notice that a copy of a later ``gen`` took the place of those up to ``gen``.

    It does not take the place of a notice that the task, or an earlier run of it, is cancelled.
    """
    word = Word(run, gen, cancelled=False)
    return Notice(f"{TASK}{task_id}{_RUN}{run}", at, msgspec.json.encode(word))


def cancellations(runs: Iterable[tuple[str, int]], at: float) -> list[Notice]:
    """Return the notices that cancel tasks, each up to a run, at ``at`` (epoch seconds)."""
    return [cancellation(task_id, run, at) for task_id, run in runs]


def _is_older(message: Message, cancelled_at: int) -> bool:
    """Whether a publisher's own message is not known to be younger than a cancellation of its id.

    An id is not to be used again, so one that says nothing of its time is taken for older.
    """
    if message.headers:
        return False
    return message.timestamp is None or message.timestamp * 1000 <= cancelled_at
