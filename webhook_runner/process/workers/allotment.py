"""Who of the workers has how much of each queue, now and once everybody has heard of it."""

from collections.abc import Mapping
from dataclasses import replace

from webhook_runner.policy.division import Portion, portions, staged
from webhook_runner.process.workers.wire import Portions
from webhook_runner.settings import QueueSettings


class Allotment:
    """Divides the limits of all queues. While a division changes, no limit is exceeded."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._wanted: dict[str, list[Portion]] = {}
        self._given: list[dict[str, Portion]] = [{} for _ in range(count)]
        self._held: list[dict[str, int]] = [{} for _ in range(count)]
        self._versions = [0] * count
        self._alive: set[int] = set()

    def want(self, queues: Mapping[str, QueueSettings]) -> None:
        """Take the settings of all queues, as they are in force."""
        self._wanted = {
            name: portions(name, _limits(queue), self._count) for name, queue in queues.items()
        }

    def hear(self, number: int, applied: int, running: Mapping[str, int]) -> None:
        """Take how many attempts a worker has running, by the portions of version ``applied``."""
        if applied == self._versions[number]:
            self._held[number] = {
                name: max(portion.concurrency, running.get(name, 0))
                for name, portion in self._given[number].items()
            }

    def employ(self, number: int) -> None:
        """Know of a worker that begins with what it has ``now``."""
        self._alive.add(number)

    def bury(self, number: int) -> None:
        """Know that a worker has nothing running any more; its part stays for the next."""
        self._alive.discard(number)

    def next(self) -> dict[int, Portions]:
        """Return the portions of those workers for whom they change now."""
        given: list[dict[str, Portion]] = [{} for _ in range(self._count)]
        for name, wanted in self._wanted.items():
            held = [
                each.get(name, 0) if number in self._alive else 0
                for number, each in enumerate(self._held)
            ]
            slots = staged([portion.concurrency for portion in wanted], held)
            for number, portion in enumerate(wanted):
                given[number][name] = replace(portion, concurrency=slots[number])
                self._held[number][name] = max(held[number], slots[number])
        changed = [n for n in range(self._count) if given[n] != self._given[n]]
        for number in changed:
            self._given[number] = given[number]
            self._versions[number] += 1
        return {number: self.now(number) for number in changed}

    def has_portion(self, number: int, queue: str) -> bool:
        """Whether a worker is to consume a queue."""
        portion = self._given[number].get(queue)
        return portion is not None and portion.concurrency > 0

    def now(self, number: int) -> Portions:
        """Return what a worker has, as of the last ``next``."""
        return Portions(self._versions[number], self._given[number])


def _limits(queue: QueueSettings) -> Portion:
    per_host = min(queue.per_host_concurrency, queue.concurrency)
    return Portion(queue.concurrency, queue.rate, queue.bucket_size, per_host)


def divided(queue: QueueSettings, portion: Portion | None) -> QueueSettings:
    """Return the settings of a queue with no more than a worker has of its limits."""
    if portion is None:
        return queue.model_copy(update={"concurrency": 0})
    limits = {
        "concurrency": portion.concurrency,
        "rate": portion.rate,
        "bucket_size": portion.bucket,
        "per_host_concurrency": portion.per_host,
    }
    return queue.model_copy(update=limits if portion.concurrency else {"concurrency": 0})
