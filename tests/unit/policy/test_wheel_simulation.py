"""The rules of the delay wheel against seeded faults: a discrete-event simulation."""

import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.unit.policy.model_rules import Limits, Rules
from tests.unit.policy.model_world import World
from webhook_runner.policy.delay import WHEEL

SEEDS = int(os.environ.get("WHEEL_SEEDS", "40"))
HORIZONS = (60.0, 3_000.0, 40_000.0, 3e6, 400 * 86_400.0)


def calm(seed: int, *, rules: Rules | None = None) -> World:
    world = World(seed, rules=rules)
    world.load(60, HORIZONS[seed % 5])
    return world


@pytest.mark.parametrize("seed", range(SEEDS))
def test_without_faults_every_task_runs_on_time_after_five_hops_at_most(seed: int) -> None:
    world = calm(seed)
    seen = world.run()
    assert seen.most_hops <= 5
    assert seen.latest < 0.5
    assert set(seen.executed.values()) == {1}
    assert sum(each.kept_aside for each in world.daemons) == 0


def kills(world: World) -> None:
    for _ in range(world.dice.randint(1, 8)):
        daemon = world.dice.choice(world.daemons)
        world.kill(daemon, world.dice.uniform(0, 300), world.dice.choice((0.1, 3, 40)))


def outages(world: World) -> None:
    """Also for more than one and two revolutions of the finest level."""
    world.outage(world.dice.uniform(0, 120), world.dice.choice((5, 50, 70, 140, 300, 2_500)))


def blocked(world: World) -> None:
    world.block(world.dice.uniform(0, 120), world.dice.choice((1, 20, 90)))
    kills(world)


def late_landings(world: World) -> None:
    world.slow(world.dice.uniform(0, 100), 60, world.dice.choice((2, 20, 45)))
    kills(world)


def clock_steps(world: World) -> None:
    for daemon in world.daemons:
        step = world.dice.choice((-3_600, -100, -20, -3, 3, 20, 100, 3_600))
        world.step_clock(daemon, world.dice.uniform(0, 120), step)


def floods(world: World) -> None:
    """More than can drain before the grace ends, and the next lap behind it."""
    world.flood(150, 0, 30)
    world.flood(40, 54, 94)
    world.slow(25, 100, world.dice.choice((0.5, 2)))


def everything(world: World) -> None:
    for fault in (kills, outages, blocked, late_landings, clock_steps, floods):
        if world.dice.random() < 0.5:
            fault(world)


FAULTS = (kills, outages, blocked, late_landings, clock_steps, floods, everything)


def troubled(seed: int, fault: Callable[[World], None], *, rules: Rules | None = None) -> World:
    narrow = Limits(prefetch=5, executors=2, request_seconds=0.2, budget=30)
    roomy = Limits()
    limits = (narrow, roomy, replace(roomy, prefetch=20, budget=25))[seed % 3]
    world = World(seed, rules=rules, limits=limits, skew=(0.2, 2.0)[seed % 2])
    world.load(50, HORIZONS[seed % 4])
    fault(world)
    return world


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("seed", range(max(SEEDS // 4, 1)))
def test_with_faults_no_task_is_lost_or_early_or_goes_round(
    seed: int, fault: Callable[[World], None]
) -> None:
    # Daemons whose clocks are minutes or an hour apart undo each other, but slowly.
    hops = 24 if fault in {clock_steps, everything} else 6
    assert troubled(seed, fault).run().most_hops <= hops


def overfull(rules: Rules) -> World:
    """One slot that takes minutes to drain, while its queue fills with tasks of the next lap."""
    narrow = Limits(prefetch=5, executors=2, request_seconds=0.2, failures=0.0)
    world = World(3, rules=rules, limits=narrow, daemons=1)
    world.flood(150, 0, 30)
    world.flood(40, 54, 94)
    world.slow(25, 100, 2.0)
    return world


def test_a_slot_that_cannot_drain_before_its_grace_ends_keeps_the_next_lap_aside() -> None:
    world = overfull(Rules())
    assert world.run().most_hops <= 5
    assert world.daemons[0].kept_aside > 0


def test_the_simulation_notices_that_the_next_lap_is_parked_into_its_own_queue() -> None:
    assert overfull(Rules(keeps_next_lap=False)).run().most_hops > 5


def test_the_simulation_notices_a_ring_that_is_too_small() -> None:
    small = Rules(wheel=replace(WHEEL, ring=40), keeps_next_lap=False)
    world = World(1, rules=small)
    world.publish(1.0, 34.9)
    assert world.run().most_hops > 100


def test_the_simulation_notices_that_nobody_sweeps() -> None:
    world = World(1, rules=Rules(sweeps=False))
    world.publish(1.0, 2_000.0)
    world.outage(5.0, 6_000.0)
    with pytest.raises(AssertionError, match="lost or very late"):
        world.run()


def test_the_simulation_notices_that_clocks_far_apart_undo_each_other() -> None:
    # Found with this seed: three clocks 120 s apart, busy executors, a flood.
    world = troubled(1086, everything, rules=Rules(pauses=False))
    assert world.run().most_hops > 24
