"""What a person asks of tasks and queues, and when all is to be well again."""

from typing import Any

from tests.model.page import Page
from tests.model.press import Press
from tests.model.scene import UNKNOWN
from webhook_runner.errors import ConflictError, UnknownTaskError
from webhook_runner.settings import QueueSettings
from webhook_runner.task.model import Envelope
from webhook_runner.task.outcome import Responded


class People(Press):
    """A scene with people in it. Until something is answered nobody knows whether it was done."""

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

    def cancel(self, page: Page) -> None:
        """Call it off, not in the very millisecond of its receipt: nobody could."""
        self.loop.pass_time(0.002)
        pages, asked_at = self._namesakes(page), self.clock.now()
        known = [(each.possible, each.births) for each in pages]
        self.book.called_off.add(page.id)
        for each in pages:
            each.called_off = True

        def answered(answer: Any) -> None:
            if isinstance(answer, UnknownTaskError | ConflictError | UNKNOWN):
                return
            for each, before in zip(pages, known, strict=True):
                is_one = each.possible == 1 or b'"id": ' in each.source
                is_one = is_one and not each.unanswered
                is_one = is_one and (each.possible, each.births) == before
                each.revoked_at = asked_at if is_one else None

        self.ask(lambda: self.life.world.control.tasks.cancel(page.id), answered)

    def replay(self, page: Page) -> None:
        """Have it run again. Until that is answered nobody knows whether it does."""
        pages = self._namesakes(page)
        before = [(each.line.expires, each.revoked_at) for each in pages]
        for each in pages:
            each.loosen(1)
            each.line.expires = each.revoked_at = None  # one that has passed is left out
            each.unanswered += 1

        def answered(answer: Any) -> None:
            if isinstance(answer, UNKNOWN):
                return
            for each in pages:
                each.unanswered -= 1
            again = self.book.page_of(answer)[1] if isinstance(answer, Envelope) else None
            for each, (expires, revoked_at) in zip(pages, before, strict=True):
                if each is again:
                    each.births += 1
                    each.called_off = False
                else:
                    each.loosen(-1)
                    each.line.expires, each.revoked_at = expires, revoked_at

        self.ask(lambda: self.life.world.control.tasks.replay(page.id), answered)

    def call_now(self, page: Page) -> None:
        """Have it called before its time. Until that is answered nobody knows whether it is."""
        pages, call = self._namesakes(page), object()
        for each in pages:
            each.loosen(1)
            each.line.calls.add(call)

        def answered(answer: Any) -> None:
            if isinstance(answer, UNKNOWN):
                return
            for each in pages:
                each.loosen(-1)
                if isinstance(answer, Exception):
                    each.line.calls.discard(call)

        self.ask(lambda: self.life.world.control.tasks.run_now(page.id), answered)

    def _namesakes(self, page: Page) -> list[Page]:
        return [each for each in self.book.pages.values() if each.id == page.id]

    def pause(self, queue: str) -> None:
        self.ask(lambda: self.life.world.control.queues.pause(queue), lambda _: None)

    def resume(self, queue: str) -> None:
        self.ask(lambda: self.life.world.control.queues.resume(queue), lambda _: None)

    def change(self, concurrency: int, rate: float | str) -> None:
        """Change limits of queue b at run time."""
        wanted: dict[str, Any] = {"concurrency": concurrency, "rate": rate}
        fresh = QueueSettings(**wanted)
        number = self.limits["b"].allow(fresh)

        def answered(answer: Any) -> None:
            if not isinstance(answer, Exception):
                self._hold_to("b", number)

        self.ask(lambda: self.life.world.control.queues.change("b", wanted), answered)

    def reload(self, concurrency: int) -> None:
        """Change a limit of queue a in the file."""
        fresh = self.queues["a"].model_copy(update={"concurrency": concurrency})
        self.queues["a"] = fresh
        number = self.limits["a"].allow(fresh)
        world = self.life.world
        settings = world.settings.model_copy(update={"queues": dict(self.queues)})
        self.ask(
            lambda: world.engine.reconfigure(settings),
            lambda _: self._hold_to("a", number),
        )

    def _hold_to(self, queue: str, ask: int) -> None:
        calm = self.is_calm()
        self.limits[queue].hold_to(ask, self.clock.now(), all_waits_at_gate=calm)
