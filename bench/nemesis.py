"""Kill the daemon at random moments, and write down when."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.served import Served

SHORTEST_LIFE, LONGEST_LIFE = 0.2, 1.0
KILLED_WHILE_STARTING = 0.1
LONGEST_START = 1.5


@dataclass(frozen=True, slots=True)
class Kill:
    """One SIGKILL: epoch seconds just before it, and when the process was gone."""

    began: float
    ended: float
    while_starting: bool = False


def kill_at_random(
    daemon: Served, kills: int, seed: int, on_round: Callable[[int], None]
) -> list[Kill]:
    """Kill so many times, most of them a moment after it was ready; at the end it is ready.

    ``on_round`` is told the number of each round, and of the last one without a kill, once the
    daemon is ready.
    """
    dice = random.Random(seed)
    done: list[Kill] = []
    daemon.start()
    while len(done) < kills:
        if dice.random() < KILLED_WHILE_STARTING:
            time.sleep(dice.uniform(0, LONGEST_START))
            done.append(_kill(daemon, while_starting=True))
            daemon.start()
            continue
        daemon.ready()
        on_round(len(done))
        time.sleep(dice.uniform(SHORTEST_LIFE, LONGEST_LIFE))
        done.append(_kill(daemon))
        daemon.start()
    daemon.ready()
    on_round(kills)
    return done


def _kill(daemon: Served, *, while_starting: bool = False) -> Kill:
    began = time.time()
    daemon.kill()
    return Kill(began, time.time(), while_starting)
