"""What can befall the engine, as rules of a Hypothesis state machine.

Every step is deterministic: what Hypothesis prints of a failure can be run again.
"""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.model import wishes
from tests.model.last_word import last_word
from tests.model.life import Plan
from tests.model.page import Page
from tests.model.people import People
from tests.model.wishes import Wish
from webhook_runner.task.outcome import Outcome

PACE = st.sampled_from([None, None, None, 0, 1, 2, 3, 5, 8])
"""How many turns follow; None: all that is possible without time passing."""

CONCURRENCIES = st.sampled_from(wishes.CONCURRENCIES)
ANY = st.integers(0, 1000)
TROUBLES = st.sampled_from(["broker blocked", "disk full", "store fails", "out of order"])
WAYS = st.sampled_from(["broker", "api"])


class EngineMachine(RuleBasedStateMachine):
    """One example: a daemon, what is published to it, and what goes wrong around it."""

    scene: People
    broken = False

    @initialize(plan=wishes.plans)
    def start(self, plan: Plan) -> None:
        self.scene = People(plan)
        self._go_on(None)

    # -- messages

    @rule(wanted=st.lists(wishes.wished, min_size=1, max_size=3), pace=PACE)
    def publish(self, wanted: list[Wish], pace: int | None) -> None:
        for wish in wanted:
            self.scene.publish(wish)
        self._go_on(pace)

    @rule(which=ANY, way=WAYS, pace=PACE)
    @precondition(lambda self: self.scene.book.pages)
    def publish_again(self, which: int, way: str, pace: int | None) -> None:
        self.scene.publish_again(self._page(which), way)
        self._go_on(pace)

    @rule(body=st.sampled_from(wishes.BAD), way=WAYS, pace=PACE)
    def publish_bad(self, body: bytes, way: str, pace: int | None) -> None:
        self.scene.publish_bad(body, way)
        self._go_on(pace)

    @rule(which=ANY)
    def deliver_twice(self, which: int) -> None:
        self.scene.deliver_twice(which)
        self._go_on(None)

    # -- time

    @rule(seconds=st.sampled_from([0.001, 0.3, 1.0, 2.0, 5.0, 30.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.scene.loop.pass_time(seconds)

    @rule(times=st.integers(1, 12))
    def turn(self, times: int) -> None:
        self._go_on(times)

    # -- requests

    @rule(which=ANY, outcome=st.sampled_from(wishes.OUTCOMES), pace=PACE)
    @precondition(lambda self: self.scene.endpoint.calls)
    def answer(self, which: int, outcome: Outcome, pace: int | None) -> None:
        calls = self.scene.endpoint.calls
        self.scene.answer(calls[which % len(calls)], outcome)
        self._go_on(pace)

    # -- faults

    @rule(down=st.sampled_from([0.5, 3.0, 100.0]), pace=PACE)
    def crash(self, down: float, pace: int | None) -> None:
        self.scene.crash(down)
        self._go_on(pace)

    @rule(limit=st.sampled_from([0.0, 2.0, 30.0]))
    def restart(self, limit: float) -> None:
        self.scene.restart(limit)
        self._go_on(None)

    @rule(pace=PACE)
    def lose_connection(self, pace: int | None) -> None:
        self.scene.lose_connection()
        self._go_on(pace)

    @rule(what=TROUBLES, is_on=st.booleans(), pace=PACE)
    def trouble(self, what: str, is_on: bool, pace: int | None) -> None:
        self.scene.trouble(what, is_on=is_on)
        self._go_on(pace)

    # -- what a person asks for

    @rule(which=ANY, pace=PACE)
    @precondition(lambda self: self._named())
    def cancel(self, which: int, pace: int | None) -> None:
        self.scene.cancel(self._pick(which))
        self._go_on(pace)

    @rule(which=ANY, again=st.booleans(), pace=PACE)
    @precondition(lambda self: self._named())
    def call(self, which: int, again: bool, pace: int | None) -> None:
        (self.scene.replay if again else self.scene.call_now)(self._pick(which))
        self._go_on(pace)

    @rule(queue=st.sampled_from("ab"), paused=st.booleans(), pace=PACE)
    def pause(self, queue: str, paused: bool, pace: int | None) -> None:
        (self.scene.pause if paused else self.scene.resume)(queue)
        self._go_on(pace)

    @rule(concurrency=CONCURRENCIES, rate=st.none() | st.sampled_from(wishes.RATES), pace=PACE)
    def change(self, concurrency: int, rate: float | str | None, pace: int | None) -> None:
        if rate is None:
            self.scene.reload(concurrency)
        else:
            self.scene.change(concurrency, rate)
        self._go_on(pace)

    # -- what always holds

    @invariant()
    def nothing_is_wrong(self) -> None:
        try:
            self.scene.look()
        except BaseException:
            self.broken = True
            raise

    def teardown(self) -> None:
        if "scene" not in vars(self):
            return
        try:
            if not self.broken:
                last_word(self.scene)
        finally:
            self.scene.close()

    def _go_on(self, pace: int | None) -> None:
        if pace is None:
            self.scene.loop.become_quiet()
        else:
            self.scene.loop.turn(pace)

    def _page(self, which: int) -> Page:
        pages = self.scene.book.pages
        return pages[1 + which % len(pages)]

    def _named(self) -> list[Page]:
        return [page for page in self.scene.book.pages.values() if page.id]

    def _pick(self, which: int) -> Page:
        named = self._named()
        return named[which % len(named)]
