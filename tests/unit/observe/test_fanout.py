from webhook_runner.observe.fanout import Fanout
from webhook_runner.task.event import DaemonReady, Event, Warned


class Recorder:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def notice(self, event: Event) -> None:
        self.events.append(event)


class Broken:
    def notice(self, event: Event) -> None:
        raise RuntimeError("no room")


def test_an_observer_that_raises_harms_nobody_and_is_told_once() -> None:
    before, after = Recorder(), Recorder()
    fanout = Fanout(before, Broken(), after)
    fanout.notice(DaemonReady())
    fanout.notice(DaemonReady())
    warning = Warned("observer Broken", "Broken failed on DaemonReady: RuntimeError: no room")
    assert before.events == [DaemonReady(), warning, DaemonReady()]
    assert after.events == [warning, DaemonReady(), DaemonReady()]
    assert fanout.failures == {"Broken": 2}


def test_when_all_are_broken_the_caller_notices_nothing() -> None:
    fanout = Fanout(Broken(), Broken())
    fanout.notice(DaemonReady())
    assert fanout.failures == {"Broken": 2}


def test_who_wants_to_hear_of_few_kinds_is_told_of_no_others() -> None:
    few, all_of_them = Recorder(), Recorder()
    fanout = Fanout(all_of_them)
    fanout.notice(DaemonReady())
    fanout.join(few, (Warned,))
    told: list[Event] = [DaemonReady(), Warned("a", "b")]
    for event in told:
        fanout.notice(event)
    assert few.events == [Warned("a", "b")]
    assert all_of_them.events == [DaemonReady(), *told]
