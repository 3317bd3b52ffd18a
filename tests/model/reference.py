"""The reference: of each task, which attempts may still come, or how it ends."""

from dataclasses import dataclass, field
from typing import NamedTuple

from webhook_runner.policy.backoff import LEAST
from webhook_runner.settings import QueueSettings
from webhook_runner.task.outcome import Outcome, Refused, Responded

FINAL = ("succeeded", "failed", "expired", "cancelled")


class Chance(NamedTuple):
    """An attempt that may come: its number, when at the earliest, how often it was snoozed."""

    attempt: int
    due: float
    snoozes: int = 0


@dataclass
class Line:
    """One task, or the roll-back of one, by what was asked of it and answered to it alone.

    Attributes:
        countdown: seconds that it waits from its first receipt, whenever that is.
        told: how it must end, as decided by the last answer, or "".
        doubted: the attempt that comes again if a crash forgets what was answered to it.
        ended: it has ended for good.
        calls: what people asked that may call it before its time.
        loose: for how many reasons not everything about it is known: it may be several tasks.

    """

    limit: int | None
    expires: float | None
    chances: set[Chance] = field(default_factory=set)
    countdown: float = 0.0
    told: str = ""
    doubted: Chance | None = None
    ended: bool = False
    loose: int = 0
    calls: set[object] = field(default_factory=set)
    running: Chance | None = None

    @property
    def strict(self) -> bool:
        """Whether it is one task only, so that everything about it is known."""
        return not self.loose

    def begin(self, attempt: int, now: float) -> str:
        """Take note of a request; return what is wrong with it."""
        if self.limit is not None and attempt > 1 + self.limit:
            return f"attempt {attempt} of at most {1 + self.limit}"
        if self.expires is not None and now >= self.expires:
            return "it had expired"
        known = [each for each in self.chances if each.attempt == attempt]
        chance = min(known, key=lambda each: each.due, default=Chance(attempt, now))
        wrong = self._wrong(chance, now) if known else f"attempt {attempt} was not to come"
        self.chances, self.running = {chance}, chance
        self.calls.clear()
        return wrong if self.strict else ""

    def _wrong(self, chance: Chance, now: float) -> str:
        if self.ended or self.told:
            return f"it has {self.told or 'ended'}"
        if self.running:
            return "a request of it is under way"
        if now < chance.due and not self.calls:
            return f"early by {chance.due - now} s"
        return ""

    def answer(self, outcome: Outcome, queue: QueueSettings, now: float, u: float) -> None:
        """Take note of what was answered to the request that was under way."""
        if self.running is None:
            return
        chance = self.doubted = self.running
        self.running = None
        after = _after(outcome, chance, queue, now, u, self.limit)
        if isinstance(after, Chance) and self.expires is not None and after.due >= self.expires:
            after = "expired"
        if isinstance(after, Chance):
            self.chances = {after}
        else:
            self.told, self.chances = after, set()

    def settle(self) -> None:
        """What was answered last is kept by the broker."""
        self.doubted = None

    def forget(self) -> None:
        """The process died: what was not kept is gone."""
        self.running = None
        if not self.ended and self.doubted:
            self.chances.add(self.doubted)
            self.told = ""


def _after(
    outcome: Outcome, chance: Chance, queue: QueueSettings, now: float, u: float, limit: int | None
) -> Chance | str:
    attempt = chance.attempt
    headers = outcome.headers if isinstance(outcome, Responded) else {}
    if isinstance(outcome, Responded) and 200 <= outcome.status <= 299:
        return "succeeded"
    word, _, number = headers.get("webhook-runner-retry", "").partition("=")
    if isinstance(outcome, Refused) or word == "never":
        return "failed"
    if word == "snooze" and chance.snoozes < queue.max_snoozes:
        return Chance(attempt, now + float(number), chance.snoozes + 1)
    if limit is not None and attempt > limit:
        return "failed"
    wait = min(2.0 ** (attempt - 1) * queue.min_backoff_seconds, queue.max_backoff_seconds)
    delay = max(wait * (1 + u * queue.jitter), float(headers.get("retry-after", 0)))
    if word == "after":
        delay = max(LEAST, float(number))
    return Chance(attempt + 1, now + delay, chance.snoozes)
