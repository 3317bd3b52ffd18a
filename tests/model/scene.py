"""The stage of the model: one daemon after the other, and everything that can befall them."""

import asyncio
import json
import math
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import count
from typing import Any

from tests.model.book import Book, Page, Seen, text, url
from tests.model.endpoint import Call, Endpoint, Limits, Step
from tests.model.life import Estate, Life, Plan
from tests.model.reference import Chance, Line
from tests.model.told import Told
from tests.model.virtual_time import LoopClock, VirtualLoop
from tests.model.wishes import Wish
from webhook_runner.engine.duplicates import Duplicate
from webhook_runner.errors import (
    BrokerUnavailableError,
    ConflictError,
    InvalidTaskError,
    NoStoreError,
    StoreUnavailableError,
    UnknownTaskError,
)
from webhook_runner.settings import QueueSettings
from webhook_runner.task.model import Envelope, Message
from webhook_runner.task.outcome import Outcome, Responded

REFUSALS = (
    BrokerUnavailableError,
    ConflictError,
    InvalidTaskError,
    NoStoreError,
    StoreUnavailableError,
    UnknownTaskError,
)
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
        self.paused: set[str] = set()
        self.healthy = True
        self._ids = count(1)
        self._numbers = count(1)
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
                if page.line.strict and not page.line.ended:
                    self.book.wrong.append(f"task {page.number} had ended before a drain")
        self.book.died(seen, by_itself=False)
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

    @property
    def is_asking(self) -> bool:
        return bool(self._asking)

    # -- messages

    def publish(self, wish: Wish) -> None:
        page = self._page(wish)
        self.book.pages[page.number] = page
        self.scripts["task", page.number] = deque(wish.answers)
        self.scripts["undo", page.number] = deque(wish.undo_answers)
        self._take_in(page, wish.way, wish.to)

    def publish_again(self, page: Page, way: str) -> None:
        """Publish the same bytes once more: that is one task more, unless it is known for one."""
        page.line.strict = page.undo.strict = False
        page.may_be_invalid = True
        self._take_in(page, way, page.queue)

    def publish_bad(self, body: bytes, way: str) -> None:
        if way == "api":
            self.ask(lambda: self.life.world.intake.accept(body), self._expect_refusal)
        else:
            self.book.bad_at_most[body] += 1
            self.ask(lambda: self._submit("a", body), lambda _: self.book.bad.update([body]))

    def _take_in(self, page: Page, way: str, to: str) -> None:
        page.possible += 1
        page.revoked = False
        if way == "broker":
            self.ask(lambda: self._submit(to, page.source), lambda _: self._taken(page))
        else:
            accept = self.life.world.intake.accept_many
            self.ask(lambda: accept([page.source], to), lambda found: self._judge(page, found[0]))

    async def _submit(self, queue: str, body: bytes) -> None:
        await self.life.world.broker._inner.submit(queue, Message(body))

    def _taken(self, page: Page) -> None:
        page.births += 1

    def _judge(self, page: Page, answer: Any) -> None:
        if isinstance(answer, Envelope):
            page.id = answer.task.id
            self._taken(page)
        elif isinstance(answer, UNKNOWN):
            pass
        elif isinstance(answer, Duplicate | ConflictError) or page.may_be_invalid:
            page.refused = not page.births and page.possible == 1
        else:
            self.book.wrong.append(f"task {page.number} was refused: {answer!r}")

    def _expect_refusal(self, answer: Any) -> None:
        if not isinstance(answer, InvalidTaskError | StoreUnavailableError):
            self.book.wrong.append(f"a bad message was answered with {answer!r}")

    def _page(self, wish: Wish) -> Page:
        number, now = next(self._numbers), self.clock.now()
        fields, name = self._fields(wish, number, now)
        queue = wish.queue or wish.to
        old = [page for page in self.book.pages.values() if name and page.id == name]
        for page in old:
            page.may_be_invalid = page.may_be_invalid or wish.dedup
        due = now + (wish.countdown or 0.0)
        eta = fields.get("eta")
        line = Line(
            _retries(wish.retries, self.queues[queue].retry_limit),
            fields.get("expires"),
            {Chance(1, eta if eta is not None else due)},
        )
        return Page(
            number,
            name,
            text(number, fields, wish.payload),
            _body(wish.payload),
            queue,
            line,
            Line(self.queues[queue].rollback_retry_limit, None),
            rolls_back=wish.undo,
            may_be_invalid=wish.dedup,
            called_off=any(page.called_off for page in old),
        )

    def _fields(self, wish: Wish, number: int, now: float) -> tuple[dict[str, Any], str]:
        named = [page.id for page in self.book.pages.values() if page.id]
        name = named[number % len(named)] if wish.named == "old" and named else ""
        name = name or (f"t{number}" if wish.named else "")
        fields = {
            "id": name or None,
            "countdown": wish.countdown,
            "eta": None if wish.eta is None else math.ceil((now + wish.eta) * 1000) / 1000,
            "expires": (
                None if wish.expires is None else math.floor((now + wish.expires) * 1000) / 1000
            ),
            "max_retries": wish.retries,
            "roll_back": url("undo", number) if wish.undo else None,
            "queue": wish.queue,
            "dedup": True if wish.dedup else None,
        }
        return {key: value for key, value in fields.items() if value is not None}, name

    # -- requests

    def answer(self, call: Call, outcome: Outcome) -> None:
        if not call.answer.done():
            self.loop.do(lambda: call.answer.set_result(outcome))

    # -- faults

    def lose_connection(self) -> None:
        self.book.losses += 1
        self.life.lose_connection()

    def deliver_twice(self, which: int) -> None:
        self.life.deliver_twice(which)

    def block(self, *, blocked: bool) -> None:
        self.healthy = self.healthy and not blocked
        self.life.world.broker.block(blocked=blocked)

    def fill_disk(self, *, full: bool) -> None:
        self.healthy = self.healthy and not full
        self.life.file.full = full

    def fail_store(self, *, fails: bool) -> None:
        self.healthy = self.healthy and not fails
        self.life.database.fails = fails

    def heal(self) -> None:
        """Let everything work again, and all that hangs be answered."""
        self.block(blocked=False)
        self.fill_disk(full=False)
        self.fail_store(fails=False)
        self.life.disorder, self.endpoint.prompt = False, True
        self.loop.pass_time(5)
        for queue in "ab":
            self.resume(queue)
        self.change(5, "unlimited")
        for call in tuple(self.endpoint.calls):
            self.answer(call, Responded(200))
        self.loop.pass_time(5)

    def close(self) -> None:
        self.endpoint.open = self.told.open = False
        try:
            self.life.die()
        finally:
            self.loop.close()

    # -- what a person asks for

    def cancel(self, page: Page) -> None:
        pages = [each for each in self.book.pages.values() if each.id == page.id]
        known = [each.possible for each in pages]
        for each in pages:
            each.called_off = True

        def answered(answer: Any) -> None:
            if isinstance(answer, UnknownTaskError | ConflictError | UNKNOWN):
                return
            for each, possible in zip(pages, known, strict=True):
                each.revoked = each.possible == possible

        self.ask(lambda: self.life.world.control.tasks.cancel(page.id), answered)

    def replay(self, page: Page) -> None:
        """Have it run again; once that was answered it is a new task."""
        line, before = page.line, page.line.strict
        line.strict = False  # from now on it may run again, and nobody has said so

        def answered(answer: Any) -> None:
            if isinstance(answer, Exception):
                line.strict = before and not isinstance(answer, UNKNOWN)
                return
            page.births += 1
            page.revoked = page.called_off = False
            page.undo.strict = False

        self.ask(lambda: self.life.world.control.tasks.replay(page.id), answered)

    def call_now(self, page: Page) -> None:
        line = page.line
        early = {each._replace(due=self.clock.now()) for each in line.chances} - line.chances
        before, line.strict = line.strict, False

        def answered(answer: Any) -> None:
            line.strict = before and not isinstance(answer, UNKNOWN)
            if not isinstance(answer, Exception) and not line.running:
                line.chances |= early

        self.ask(lambda: self.life.world.control.tasks.run_now(page.id), answered)

    def pause(self, queue: str) -> None:
        self.paused.add(queue)
        self.ask(lambda: self.life.world.control.queues.pause(queue), lambda _: None)

    def resume(self, queue: str) -> None:
        self.paused.discard(queue)
        self.ask(lambda: self.life.world.control.queues.resume(queue), lambda _: None)

    def change(self, concurrency: int, rate: float | str) -> None:
        """Change limits of queue b at run time."""
        fresh = QueueSettings(concurrency=concurrency, rate=rate)
        self.limits["b"].allow(fresh)
        wanted = {"concurrency": concurrency, "rate": rate}

        def answered(answer: Any) -> None:
            if not isinstance(answer, Exception):
                self.limits["b"].hold_to(fresh)

        self.ask(lambda: self.life.world.control.queues.change("b", wanted), answered)

    def reload(self, concurrency: int) -> None:
        """Change a limit of queue a in the file."""
        fresh = self.queues["a"].model_copy(update={"concurrency": concurrency})
        self.queues["a"] = fresh
        self.limits["a"].allow(fresh)
        world = self.life.world
        settings = world.settings.model_copy(update={"queues": dict(self.queues)})
        self.ask(
            lambda: world.engine.reconfigure(settings),
            lambda _: self.limits["a"].hold_to(fresh),
        )


def _limits(queue: QueueSettings) -> Limits:
    return Limits(queue.concurrency, queue.rate, queue.bucket_size)


def _retries(asked: int | None, limit: int) -> int | None:
    known = [each for each in (asked, limit) if each is not None and each >= 0]
    return min(known, default=None)


def _body(payload: bytes) -> bytes:
    if payload == b"null":
        return b""
    return json.loads(payload).encode() if payload.startswith(b'"') else payload


def _told_by_loop(context: dict[str, Any]) -> str:
    return f"{context.get('message')}: {context.get('exception')!r}"
