"""What is known of destinations: pauses, breakers, decrees; and that it stays bounded."""

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.observer import RecordingObserver
from webhook_runner.engine.destination import State, Trial
from webhook_runner.engine.destinations import Destinations, decree
from webhook_runner.policy.verdict import Why
from webhook_runner.settings import BreakerSettings
from webhook_runner.task.event import BreakerClosed, BreakerOpened

A, B = ("a.test", 80), ("b.test", 443)


class Ground:
    """Destinations on a clock that obeys."""

    def __init__(self, most: int = 100, **rules: float) -> None:
        self.clock = FakeClock()
        self.start = self.clock.now()
        self.observer = RecordingObserver()
        self.rules = BreakerSettings(**rules)  # type: ignore[arg-type]
        self.all = Destinations(self.rules, self.clock, self.observer, most)

    def begin(self, host: tuple[str, int] = A) -> Trial:
        trial = self.all.begin(host)
        assert trial is not None
        return trial

    def fail(self, times: int, host: tuple[str, int] = A) -> None:
        for _ in range(times):
            self.all.end(self.begin(host), well=False)

    def decide(self, forced: str, host: tuple[str, int] = A, at: float = 0.0) -> None:
        self.all.recall(decree(host, forced, at or self.clock.now()))

    def held_for(self, host: tuple[str, int] = A) -> float:
        """Return the seconds until it is known to take something, 0 for now."""
        held = self.all.held(host)
        return round(held[0] - self.clock.now(), 5) if held else 0.0

    def back_in(self, host: tuple[str, int] = A) -> float:
        return round(self.all.come_back(host) - self.clock.now(), 5)

    def state(self, host: tuple[str, int] = A) -> State:
        return self.all.standing(host).state


async def test_a_pause_holds_its_destination_alone_and_only_grows() -> None:
    ground = Ground()
    ground.all.end(ground.begin(), well=False, pause=100)
    ground.all.end(ground.begin(B), well=True)
    assert ground.all.begin(A) is None
    assert ground.all.held(A) == (ground.start + 100, Why.DESTINATION_PAUSED)
    assert ground.all.held(B) is None
    assert ground.state() is State.PAUSED
    assert ground.all.standing(A).until == ground.start + 100
    await ground.clock.advance(99.9)
    assert ground.held_for() > 0
    await ground.clock.advance(0.1)
    assert ground.all.held(A) is None
    assert ground.state() is State.CLOSED


async def test_a_pause_that_is_asked_for_later_does_not_shorten_an_earlier_one() -> None:
    ground = Ground()
    first, second = ground.begin(), ground.begin()
    ground.all.end(first, well=False, pause=100)
    ground.all.end(second, well=False, pause=50)
    assert ground.held_for() == 100


async def test_a_breaker_opens_holds_and_is_told_of_once() -> None:
    ground = Ground()
    ground.fail(20)
    assert ground.all.begin(A) is None
    assert ground.held_for() == 30
    assert ground.all.held(A) == (ground.start + 30, Why.BREAKER_OPEN)
    told = BreakerOpened("a.test:80", "failures", ground.start + 30, 20, 20)
    assert ground.observer.events == [told]
    standing = ground.all.standing(A)
    assert (standing.state, standing.until) == (State.OPEN, ground.start + 30)
    assert (standing.requests, standing.failures, standing.forced) == (20, 20, False)


async def test_while_a_probe_is_under_way_all_others_are_held_and_asked_more_and_more_rarely() -> (
    None
):
    ground = Ground()
    ground.fail(20)
    await ground.clock.advance(30)
    assert ground.all.held(A) is None
    assert ground.state() is State.HALF_OPEN
    probe = ground.begin()
    assert ground.all.begin(A) is None
    assert ground.back_in() == 1
    await ground.clock.advance(10)
    assert ground.back_in() == 10
    await ground.clock.advance(100)
    assert ground.back_in() == 30

    ground.all.end(probe, well=True)
    ground.all.end(ground.begin(), well=True)
    assert ground.observer.last(BreakerClosed) == BreakerClosed("a.test:80")
    assert ground.all.held(A) is None


async def test_a_probe_that_is_left_without_an_end_frees_its_place() -> None:
    ground = Ground()
    ground.fail(20)
    await ground.clock.advance(30)
    ground.all.leave(ground.begin())
    probe = ground.begin()
    ground.all.end(probe, well=True)
    second = ground.begin()
    ground.all.leave(probe)  # it has ended: the place is not its own any more
    assert ground.all.begin(A) is None
    ground.all.end(second, well=True)
    assert ground.state() is State.CLOSED


async def test_a_hundred_thousand_held_tasks_come_back_at_a_bounded_pace() -> None:
    ground = Ground()
    ground.fail(20)
    backs = [ground.back_in() for _ in range(100_000)]
    assert backs[0] == 30
    assert backs == sorted(backs)
    assert backs[-1] == pytest.approx(30 + 200, abs=0.2)
    assert ground.all.standing(A).held == 100_000


async def test_410_opens_for_as_long_as_a_breaker_is_ever_open() -> None:
    ground = Ground(max_open_seconds=1234)
    ground.all.end(ground.begin(), well=True, gone=True)
    assert ground.held_for() == 1234
    assert ground.observer.last(BreakerOpened).reason == "gone"


async def test_410_of_many_requests_opens_once_and_that_of_a_probe_again() -> None:
    ground = Ground()
    for trial in [ground.begin() for _ in range(50)]:
        ground.all.end(trial, well=True, gone=True)
    assert len(ground.observer.events) == 1
    for count in (2, 3):
        await ground.clock.advance(600)
        ground.all.end(ground.begin(), well=True, gone=True)
        assert ground.held_for() == 600
        assert len(ground.observer.events) == count


async def test_what_a_person_opens_stays_open_until_a_person_closes_it() -> None:
    ground = Ground()
    ground.decide("open")
    await ground.clock.advance(1_000_000)
    assert ground.all.begin(A) is None
    standing = ground.all.standing(A)
    assert (standing.state, standing.until, standing.forced) == (State.OPEN, None, True)
    assert ground.held_for() == 1  # so that no task expires for a time that nobody knows
    assert ground.back_in() == ground.rules.max_open_seconds

    ground.decide("")
    assert ground.all.begin(A) is not None
    assert ground.all.standing(A).forced is False
    assert [type(event) for event in ground.observer.events] == [BreakerOpened, BreakerClosed]


async def test_closing_ends_what_the_automaton_decided_and_a_pause() -> None:
    ground = Ground()
    last = ground.begin()
    ground.fail(20)
    ground.all.end(last, well=False, pause=600)
    ground.decide("")
    assert ground.held_for() == 0
    assert ground.observer.last(BreakerClosed).forced
    ground.fail(20)
    assert ground.held_for() == 30


async def test_what_a_person_keeps_closed_is_never_opened_by_failures() -> None:
    ground = Ground()
    ground.decide("closed")
    ground.fail(1000)
    ground.all.end(ground.begin(), well=False, gone=True)
    assert ground.held_for() == 0
    assert (ground.state(), ground.all.standing(A).forced) == (State.CLOSED, True)


async def test_a_decree_that_is_heard_again_or_late_changes_nothing() -> None:
    ground = Ground()
    ground.decide("open", at=ground.start + 1)
    ground.decide("", at=ground.start + 2)
    ground.fail(20)
    ground.decide("open", at=ground.start + 1)
    ground.decide("", at=ground.start + 2)
    assert ground.held_for() == 30
    assert not ground.all.standing(A).forced


async def test_the_destination_least_recently_called_is_forgotten_but_rather_one_that_is_calm() -> (
    None
):
    ground = Ground(most=3)
    ground.fail(20, ("open.test", 80))
    for number in range(10):
        ground.all.end(ground.begin((f"h{number}", 80)), well=True)
    assert [each.name for each in ground.all.standings()] == ["h8:80", "h9:80", "open.test:80"]
    assert len(ground.all) == 3


async def test_memory_is_bounded_when_all_are_open_and_a_decree_outlives_it() -> None:
    ground = Ground(most=3)
    ground.decide("open")
    for number in range(10):
        ground.fail(20, (f"h{number}", 80))
    assert len(ground.all) == 3
    assert ground.all.begin(A) is None or ground.all.standing(A).forced


async def test_switching_the_breaker_off_closes_all_but_what_a_person_opened() -> None:
    ground = Ground()
    ground.fail(20)
    ground.decide("open", B)
    ground.all.reconfigure(BreakerSettings(enabled=False))
    ground.fail(100)
    assert ground.held_for() == 0
    assert ground.state(B) is State.OPEN


async def test_other_rules_begin_a_new_count_and_leave_open_what_is() -> None:
    ground = Ground()
    ground.fail(20)
    ground.fail(19, B)
    ground.all.reconfigure(BreakerSettings(min_requests=5))
    assert ground.state() is State.OPEN
    assert ground.state(B) is State.CLOSED
    ground.fail(4, B)
    assert ground.state(B) is State.CLOSED
    ground.fail(1, B)
    assert ground.state(B) is State.OPEN


async def test_destinations_are_counted_by_their_state() -> None:
    ground = Ground()
    ground.fail(20)
    ground.all.end(ground.begin(B), well=True)
    ground.all.end(ground.begin(("c", 80)), well=True, pause=10)
    assert ground.all.counts() == {"closed": 1, "open": 1, "half_open": 0, "paused": 1}
    await ground.clock.advance(30)
    assert ground.all.counts() == {"closed": 2, "open": 0, "half_open": 1, "paused": 0}
