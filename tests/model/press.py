"""Publishing: by the broker and by request, good messages and bad ones, new ones and old."""

import json
import math
from collections import deque
from collections.abc import Mapping
from itertools import count
from typing import Any

from tests.model.life import Plan
from tests.model.page import Page
from tests.model.reference import Chance, Line
from tests.model.scene import UNKNOWN, Scene
from tests.model.wishes import Wish
from webhook_runner.engine.duplicates import Duplicate
from webhook_runner.errors import ConflictError, InvalidTaskError, StoreUnavailableError
from webhook_runner.task.model import Envelope, Message


class Press(Scene):
    """A scene to which is published. What is not confirmed may be there all the same."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._numbers = count(1)

    def publish(self, wish: Wish) -> None:
        page = self._page(wish)
        self.book.pages[page.number] = page
        self.scripts["task", page.number] = deque(wish.answers)
        self.scripts["undo", page.number] = deque(wish.undo_answers)
        self._take_in(page, wish.way, wish.to)

    def publish_again(self, page: Page, way: str) -> None:
        """Publish the same bytes once more: that is one task more, unless it is known for one."""
        page.loosen(1)
        page.refused = False
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
        page.revoked_at = None
        page.called_off = page.called_off or page.id in self.book.called_off
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
            (wish.countdown or 0.0) if eta is None else 0.0,
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


def _retries(asked: int | None, limit: int) -> int | None:
    known = [each for each in (asked, limit) if each is not None and each >= 0]
    return min(known, default=None)


def _body(payload: bytes) -> bytes:
    if payload == b"null":
        return b""
    return json.loads(payload).encode() if payload.startswith(b'"') else payload


def url(kind: str, number: int) -> str:
    return f"http://h{number % 3}.test/{kind}/{number}"


def text(number: int, fields: Mapping[str, object], payload: bytes) -> bytes:
    """Write a message down with its payload as it is."""
    head = json.dumps({"url": url("task", number), **fields})[:-1]
    return f'{head}, "payload": '.encode() + payload + b"}"
