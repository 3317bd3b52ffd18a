"""Which copies are not to be carried out: cancelled by a person, or replaced by an earlier call."""

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from webhook_runner.policy.verdict import Revoked
from webhook_runner.task.model import Envelope, Message
from webhook_runner.task.notice import Notice

TASK = "task:"
"""What the key of such a notice begins with; the id follows."""

EVERY_GEN = 2**31 - 1


class Word(Struct, frozen=True):
    """Copies of a task up to (run, gen) are revoked: ``cancelled``, or else superseded."""

    run: int
    gen: int
    cancelled: bool


_WORD = msgspec.json.Decoder(Word)


class Revocations:
    """What was called off, by id. A million of them fit: each is one small tuple.

    A run is numbered by the millisecond of its first receipt, so a cancellation at a time covers
    every run that began before it. Under a flood those numbers run ahead of the clock; then the
    time of the first receipt itself decides.
    """

    def __init__(self) -> None:
        self._words: dict[str, tuple[int, int, int]] = {}

    def __len__(self) -> int:
        return len(self._words)

    def recall(self, notice: Notice) -> str:
        """Take the notice of a revocation; return the id of its task.

        Raises:
            msgspec.MsgspecError: it cannot be read.

        """
        word = _WORD.decode(notice.word)
        name = notice.key.removeprefix(TASK)
        at = round(notice.at * 1000)
        run = at if word.run == at else word.run  # one number in memory, not two
        self._words[name] = (run, word.gen, at if word.cancelled else 0)
        return name

    def of(self, envelope: Envelope, message: Message) -> Revoked | None:
        """Return why a copy is revoked, or None; ``message`` is what it was read from."""
        word = self._words.get(envelope.task.id)
        if word is None:
            return None
        run, gen, cancelled_at = word
        if not cancelled_at:
            return Revoked.SUPERSEDED if (envelope.run, envelope.gen) <= (run, gen) else None
        first = round(envelope.first_at * 1000)
        if envelope.run <= run or first < cancelled_at or _is_older(message, cancelled_at):
            return Revoked.CANCELLED
        return None

    def run_after(self, task_id: str) -> int:
        """Return the least number of a run of that task which is not revoked."""
        word = self._words.get(task_id)
        return word[0] + 1 if word else 1


def cancellation(task_id: str, run: int, at: float) -> Notice:
    """Return the notice that cancels every run up to ``run``, and what began before ``at``."""
    word = Word(max(run, round(at * 1000)), EVERY_GEN, cancelled=True)
    return Notice(TASK + task_id, at, msgspec.json.encode(word))


def supersession(task_id: str, run: int, gen: int, at: float) -> Notice:
    """Return the notice that a copy of a later ``gen`` took the place of those up to ``gen``."""
    return Notice(TASK + task_id, at, msgspec.json.encode(Word(run, gen, cancelled=False)))


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
