"""The stage of the model: one daemon after the other, and everything that can befall them."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import count
from typing import Any

from tests.model.book import Book, Seen
from tests.model.endpoint import Call, Endpoint, Limits, Step
from tests.model.life import Estate, Life, Plan
from tests.model.told import Told
from tests.model.virtual_time import LoopClock, VirtualLoop
from webhook_runner.errors import (
    BrokerUnavailableError,
    ConflictError,
    InvalidTaskError,
    NoStoreError,
    StoreUnavailableError,
    UnknownTaskError,
)
from webhook_runner.settings import QueueSettings
from webhook_runner.task.outcome import Outcome

REFUSALS = (
    BrokerUnavailableError,
    ConflictError,
    InvalidTaskError,
    NoStoreError,
    StoreUnavailableError,
    UnknownTaskError,
)
PLENTY = 100
UNKNOWN = BrokerUnavailableError | StoreUnavailableError


class Scene:
    """Acts on the daemon of the moment, and notes in the book what may follow from that."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.loop = VirtualLoop()
        self.clock = LoopClock(self.loop)
        self.queues = dict(plan.queues)
        self.limits = {name: _limits(each) for name, each in self.queues.items()}
        self.book = Book(self.queues, plan.u)
        self.scripts: defaultdict[tuple[str, int], deque[Step]] = defaultdict(deque)
        self.healthy = True
        self._ids = count(1)
        self._asking: set[asyncio.Future[None]] = set()
        self._begin(None)

    # -- the daemon

    def _begin(self, before: Estate | None) -> None:
        most = self.plan.max_total
        self.endpoint = Endpoint(self.loop, self.book, self.scripts, self.limits, most)
        self.told = Told(self.book, self.clock)
        plan = replace(self.plan, queues=dict(self.queues))
        self.life = Life(self.loop, plan, self.endpoint, self.told, self._ids, before)
        self.healthy = True
        for each in self.limits.values():
            each.starts.clear()
        self.life.begin()

    def crash(self, down: float) -> None:
        """Kill the process, and start another one after a while."""
        self.endpoint.open = self.told.open = False
        estate = self.life.die()
        seen = self.book.look(estate.queue, estate.state)
        self.book.reconcile(seen, recorded=self.plan.store == "strict")
        self.book.died(seen)
        self._asking.clear()
        self.loop.pass_time(down)
        self._begin(estate)

    def restart(self, limit: float) -> None:
        """Stop the process as it is meant to be stopped, and start another one."""
        was_healthy = self.healthy
        self.life.drain(limit)
        kept = [page for page in self.book.pages.values() if page.line.told]
        self.endpoint.open = self.told.open = False
        estate = self.life.die()
        seen = self.book.look(estate.queue, estate.state)
        self.book.reconcile(seen, recorded=self.plan.store == "strict")
        if was_healthy:
            for page in kept:
                is_alone = ("task", page.number) not in self.book.twins
                if page.line.strict and is_alone and not page.line.ended:
                    self.book.wrong.append(f"task {page.number} had ended before a drain")
        self.book.died(seen, by_itself=not was_healthy)
        self._asking.clear()
        self.loop.pass_time(0.5)
        self._begin(estate)

    def look(self) -> Seen:
        """Compare what there is with what was promised; raise what is wrong."""
        seen = self.book.look(self.life.queue, self.life.state)
        self.book.reconcile(seen, recorded=self.plan.store == "strict")
        self.book.wrong += [_told_by_loop(each) for each in self.loop.troubles]
        assert not self.book.wrong, "\n".join(self.book.wrong)
        return seen

    def ask(self, work: Callable[[], Awaitable[Any]], then: Callable[[Any], None]) -> None:
        """Ask something of the daemon; unless it dies before, ``then`` is told the answer."""
        life = self.life

        async def asking() -> None:
            answer: Any
            try:
                answer = await work()
            except REFUSALS as error:
                answer = error
            if self.life is life:
                then(answer)

        task = self.loop.do(lambda: asyncio.ensure_future(asking()))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    def is_calm(self) -> bool:
        """Whether whoever has passed the gate of its queue begins its request at once."""
        is_plain = not self.book.deaths + self.book.losses
        return self.healthy and is_plain and self.plan.max_total > PLENTY

    @property
    def is_asking(self) -> bool:
        return bool(self._asking)

    # -- requests

    def answer(self, call: Call, outcome: Outcome) -> None:
        if not call.answer.done():
            self.loop.do(lambda: call.answer.set_result(outcome))

    # -- faults

    def lose_connection(self) -> None:
        self.book.losses += 1
        self.healthy = False  # what is known of lost deliveries is known to this process only
        self.life.lose_connection()

    def deliver_twice(self, which: int) -> None:
        twin = self.life.deliver_twice(which)
        if twin is not None:
            self.book.twins.add(self.book.named(twin))

    def trouble(self, what: str, *, is_on: bool) -> None:
        """Let something not work from now on, or let it work again."""
        match what:
            case "broker blocked":
                self.block(blocked=is_on)
            case "disk full":
                self.fill_disk(full=is_on)
            case "store fails":
                self.fail_store(fails=is_on)
            case _:
                self.life.disorder = is_on

    def block(self, *, blocked: bool) -> None:
        self.healthy = self.healthy and not blocked
        self.life.world.broker.block(blocked=blocked)

    def fill_disk(self, *, full: bool) -> None:
        self.healthy = self.healthy and not full
        self.life.file.full = full

    def fail_store(self, *, fails: bool) -> None:
        self.healthy = self.healthy and not fails
        forgets = fails and self.plan.store == "degraded"
        self.book.is_forgetful = self.book.is_forgetful or forgets
        self.life.database.fails = fails

    def close(self) -> None:
        self.endpoint.open = self.told.open = False
        try:
            self.life.die()
        finally:
            self.loop.close()


def _limits(queue: QueueSettings) -> Limits:
    return Limits(queue.concurrency, queue.rate, queue.bucket_size)


def _told_by_loop(context: dict[str, Any]) -> str:
    about = context.get("exception") or context.get("task") or context.get("future")
    return f"{context.get('message')}: {about!r}"
