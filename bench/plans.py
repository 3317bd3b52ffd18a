"""The runs that `make chaos` does, short and long."""

from collections.abc import Callable

from bench.faults import Faults
from bench.run import Run

SEED = 20_261_122
STANDARD = {
    "embedded": Faults(kills=50, freezes=5),
    "rabbitmq": Faults(
        kills=50, broker_kills=20, pauses=20, cuts=20, freezes=5, alarms=4, closes=4, deletions=4
    ),
}
EACH_ONCE = Faults(
    kills=2,
    broker_kills=1,
    pauses=1,
    cuts=6,
    restarts=1,
    freezes=1,
    alarms=2,
    closes=1,
    deletions=1,
)


def short(seed: int | None) -> tuple[Run, ...]:
    """Return runs of less than three minutes in all: every fault, and restarts alone."""
    seed = SEED if seed is None else seed
    return (
        Run("embedded", 1, 450, seed, tempo="brisk", faults=Faults(kills=6, freezes=1)),
        Run("embedded", 1, 300, seed, tempo="brisk", faults=Faults(restarts=3)),
        Run("rabbitmq", 3, 1000, seed, tempo="brisk", faults=EACH_ONCE),
        Run("rabbitmq", 3, 500, seed, tempo="brisk", faults=Faults(restarts=4)),
    )


def long(seed: int | None) -> tuple[Run, ...]:
    """Return the runs of the figures, an hour or more: faults, restarts alone; on both brokers."""
    seed = SEED if seed is None else seed
    return (
        Run("rabbitmq", 3, 100_000, seed, faults=STANDARD["rabbitmq"]),
        Run("rabbitmq", 3, 50_000, seed, faults=Faults(restarts=100)),
        Run("embedded", 1, 100_000, seed, faults=STANDARD["embedded"]),
        Run("embedded", 1, 50_000, seed, faults=Faults(restarts=100)),
    )


PLANS: dict[str, Callable[[int | None], tuple[Run, ...]]] = {"short": short, "long": long}
