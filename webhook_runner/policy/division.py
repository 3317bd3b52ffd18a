"""What each of several processes has of the limits of a queue: the sum is the whole."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

from webhook_runner.policy.rate import default_bucket


@dataclass(frozen=True, slots=True)
class Portion:
    """What one process has of a queue; with a ``concurrency`` of 0 it leaves it to the others.

    ``rate`` is tasks per second, ``bucket`` tokens; ``per_host`` 0: as the whole has it.
    """

    concurrency: int = 0
    rate: float = 0.0
    bucket: float = 1.0
    per_host: int = 0


def parts(whole: int, count: int) -> list[int]:
    """Divide a number: the sum is the whole, no two parts differ by more than 1."""
    least, more = divmod(whole, count)
    return [least + (number < more) for number in range(count)]


def portions(name: str, whole: Portion, count: int) -> list[Portion]:
    """Divide the limits of queue ``name`` among ``count`` processes.

    So many take part that each has a slot, a whole token, and a slot for each destination.
    """
    most, bucket = [count, whole.concurrency], whole.bucket
    if not math.isinf(whole.rate):
        bucket = bucket or default_bucket(whole.rate)
        most.append(max(1, math.floor(bucket)))
    if whole.per_host:
        most.append(whole.per_host)
    active = min(most)
    slots = parts(whole.concurrency, active)
    hosts = parts(whole.per_host, active)
    found = [Portion() for _ in range(count)]
    first = crc32(name.encode()) % count
    for number in range(active):
        portion = Portion(slots[number], whole.rate / active, bucket / active, hosts[number])
        found[(first + number) % count] = portion
    return found


def staged(wanted: Sequence[int], held: Sequence[int]) -> list[int]:
    """Return how many slots each may have now of those it is to have.

    ``held`` is how many each may be using still. Whoever is to have less gets that at once, and
    whoever is to have more gets what is free: never are more used than ``wanted`` has in all.
    """
    now = [min(each) for each in zip(wanted, held, strict=True)]
    free = max(0, sum(wanted) - sum(held))
    for number, (least, most) in enumerate(zip(now, wanted, strict=True)):
        more = min(most - least, free)
        now[number] += more
        free -= more
    return now
