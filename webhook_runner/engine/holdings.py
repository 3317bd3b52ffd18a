"""What this daemon has in hand of the tasks that somebody asks about; and cutting it off."""

from collections import OrderedDict
from collections.abc import Sequence
from enum import Enum

from webhook_runner.engine.inflight import REMEMBERED, InFlight, Run
from webhook_runner.engine.lane import Lanes
from webhook_runner.engine.revocations import Revocations
from webhook_runner.policy.verdict import Cancel, Complete, Drop, Expire, Fail, Revoked
from webhook_runner.task.notice import Notice


class Said(Enum):
    """What is said of a task; what has the greater number is told of several.

    ``ABSENT`` and ``CANCELLED`` say that no request of it will start, and none is under way;
    ``UNSURE`` that not everybody has answered.
    """

    ABSENT = 0
    CANCELLED = 1
    UNSURE = 2
    RUNNING = 3
    EXPIRED = 4
    FAILED = 5
    SUCCEEDED = 6


_END: dict[type, Said] = {
    Complete: Said.SUCCEEDED,
    Fail: Said.FAILED,
    Expire: Said.EXPIRED,
    Cancel: Said.CANCELLED,
    Drop: Said.ABSENT,
}


class Holdings:
    """Answers for the copies in the hands of this process."""

    def __init__(self, inflight: InFlight, revocations: Revocations, lanes: Lanes) -> None:
        self._inflight = inflight
        self._revocations = revocations
        self._lanes = lanes
        self._found: OrderedDict[str, tuple[Run, ...]] = OrderedDict()

    def recall(self, notice: Notice) -> Notice | None:
        """Take a revocation, and cut off what runs of a cancelled task, if its queue wants that.

        A message without a time of its own is taken for older than the cancellation, but its next
        copy, which may be on its way by now, has the time of its receipt: the notice that is
        returned covers that too, and is to be posted.

        Raises:
            msgspec.MsgspecError: the notice cannot be read.

        """
        name = self._revocations.recall(notice)
        runs = self._inflight.of(name)
        self._remember(name, runs)
        for run in runs:
            lane = self._lanes[run.envelope.task.queue]
            if lane.settings.cancel_running == "abort" and self._is_cancelled(run):
                run.cut_off()
        met = (run.envelope.run for run in runs if self._is_cancelled(run))
        return self._revocations.reach(name, max(met, default=0))

    def look(self, ids: Sequence[str]) -> tuple[dict[str, Said], list[Run]]:
        """Say what is not absent, and which runs must end before more can be said."""
        said: dict[str, Said] = {}
        pending: list[Run] = []
        for name in ids:
            for run in {*self._inflight.of(name), *self._found.get(name, ())}:
                self.add(said, run)
                if said[name] is Said.RUNNING:
                    pending.append(run)
        for name, verdict in self._inflight.left_of(frozenset(ids)):
            _add(said, name, _END.get(type(verdict), Said.ABSENT))
        return said, pending

    def add(self, said: dict[str, Said], run: Run) -> None:
        """Say of the task of ``run`` what this one says, unless more was said already."""
        _add(said, run.name, self._of(run))

    def _remember(self, name: str, runs: tuple[Run, ...]) -> None:
        """Know what a revocation has met: it may have ended before anybody asks."""
        self._found.pop(name, None)
        if runs:
            self._found[name] = runs
            if len(self._found) > REMEMBERED:
                self._found.popitem(last=False)

    def _of(self, run: Run) -> Said:
        end = _END.get(type(run.verdict))
        if end is not None:
            return end
        # What waits, or follows this one, will not be carried out when it is revoked.
        will_not = self._is_cancelled(run) and run.sending is None
        return Said.CANCELLED if will_not else Said.RUNNING

    def _is_cancelled(self, run: Run) -> bool:
        return self._revocations.of(run.envelope, run.delivery.message) is Revoked.CANCELLED


def _add(said: dict[str, Said], name: str, word: Said) -> None:
    said[name] = max(said.get(name, word), word, key=lambda each: each.value)
