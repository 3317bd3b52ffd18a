"""Everything that was published, and whether what is seen of it is right."""

import re
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.model.page import Page
from tests.model.reference import FINAL, Chance, Line
from webhook_runner.settings import QueueSettings
from webhook_runner.task.model import Envelope, Kind
from webhook_runner.task.outcome import Outcome, Responded
from webhook_runner.task.request import Request

NAME = re.compile(r"http://(?P<host>[\w.]+)/(?P<kind>task|undo)/(?P<number>\d+)")
BURIED = "buried"
"""The end of what lies among the dead letters, before anybody has told it."""


@dataclass
class Seen:
    """What lies where, by the number of its page."""

    copies: Counter[tuple[str, int]]
    dead: Counter[tuple[str, int]]
    invalid: Counter[bytes]
    states: dict[tuple[str, int], dict[int, str]]


class Book:
    """The pages by number; ``wrong`` is what was seen and may not be.

    ``is_forgetful``: a store that goes on without what it cannot write has failed, so that an end
    may be known to nobody when the daemon has ended.
    """

    def __init__(self, queues: Mapping[str, QueueSettings], u: float) -> None:
        self.queues = queues
        self.u = u
        self.pages: dict[int, Page] = {}
        self.bad: Counter[bytes] = Counter()
        self.bad_at_most: Counter[bytes] = Counter()
        self.wrong: list[str] = []
        self.deaths = 0
        self.losses = 0
        self.is_forgetful = False
        self.twins: set[tuple[str, int]] = set()
        self.called_off: set[str] = set()
        self._finals: dict[tuple[str, int], str] = {}
        self._seqs: dict[tuple[str, int], int] = {}
        self._paused: dict[str, tuple[float, float]] = {}

    def named(self, source: bytes) -> tuple[str, int]:
        """Return what the message is a copy of."""
        found = NAME.search(source.decode("utf-8", "replace"))
        assert found
        return found["kind"], int(found["number"])

    def page_of(self, envelope: Envelope) -> tuple[str, Page]:
        found = NAME.fullmatch(envelope.task.url)
        assert found, envelope.task.url
        return found["kind"], self.pages[int(found["number"])]

    # -- requests

    def begun(self, request: Request, envelope: Envelope, now: float) -> None:
        """Judge a request that begins now."""
        kind, page = self.page_of(envelope)
        if kind == "undo" and not page.undo.chances and self._may_have_ended(page, now):
            page.undo.chances = {Chance(1, now)}
        wrong = page.of(kind).begin(envelope.attempt, now)
        if not wrong and page.refused:
            wrong = "it was refused"
        if not wrong and kind == "task" and page.is_revoked(envelope):
            wrong = "it was called off"
        if kind == "task" and request.body != page.payload:
            wrong = f"other bytes: {request.body!r}"
        paused_at, until = self._paused.get(_host(envelope), (now, now))
        if paused_at < now < until:
            wrong = f"its destination is paused until {until}"
        if (kind == "undo") != (envelope.kind is Kind.ROLLBACK):
            wrong = f"sent as {envelope.kind}"
        if wrong:
            self.wrong.append(f"request for {kind} {page.number} ({page.id}) at {now}: {wrong}")

    def answered(self, envelope: Envelope, outcome: Outcome, now: float) -> None:
        """Take note of what a request met with."""
        kind, page = self.page_of(envelope)
        line, queue = page.of(kind), self.queues[envelope.task.queue]
        line.answer(outcome, queue, now, self.u)
        if kind == "task" and page.rolls_back and line.told in queue.rollback_on:
            page.undo.chances = {Chance(1, now)}
        if isinstance(outcome, Responded) and outcome.status in {429, 503}:
            seconds = float(outcome.headers.get("retry-after", 0))
            _, until = self._paused.get(_host(envelope), (now, now))
            self._paused[_host(envelope)] = (now, max(until, now + seconds))

    def cut(self, envelope: Envelope) -> None:
        """Take note of a request that was broken off by the daemon itself."""
        kind, page = self.page_of(envelope)
        page.of(kind).running = None

    # -- what the daemon tells

    def scheduled(self, envelope: Envelope) -> None:
        kind, page = self.page_of(envelope)
        page.of(kind).settle()

    def ended(self, envelope: Envelope, how: str, reason: str, now: float) -> None:
        """Judge an end that is told."""
        kind, page = self.page_of(envelope)
        line = page.of(kind)
        (page.undone if kind == "undo" else page.told).append(how)
        wrong = self._wrong_end(page, line, how, reason, now)
        if wrong and line.strict:
            self.wrong.append(f"{kind} {page.number} has {how} ({reason}) at {now}: {wrong}")
        line.told, line.chances = how, set()

    def rolled_back(self, envelope: Envelope, how: str, *, told: bool) -> None:
        """Judge whether an end has a roll-back."""
        kind, page = self.page_of(envelope)
        wanted = kind == "task" and page.rolls_back
        wanted = wanted and how in self.queues[envelope.task.queue].rollback_on
        if told != wanted:
            self.wrong.append(f"{kind} {page.number} has {how}, and its roll-back is {told}")
        page.owes_undo = page.owes_undo or told

    def dropped(self, envelope: Envelope, reason: str) -> None:
        """Judge that a copy is acknowledged without more ado."""
        kind, page = self.page_of(envelope)
        if reason not in {"duplicate", "superfluous"}:
            return
        if reason == "superfluous" and self.deaths + self.losses:
            return  # its other line goes on
        if page.of(kind).strict and not (page.may_be_invalid or page.called_off):
            self.wrong.append(f"{kind} {page.number} was dropped as {reason}")
        page.dropped = True

    def _may_have_ended(self, page: Page, now: float) -> bool:
        """Whether a task may have ended for another reason than an answer, and not been told."""
        line = page.line
        if not page.rolls_back or line.told == "succeeded":
            return False
        is_told = line.told != "" or page.called_off or self.deaths + self.losses > 0
        return is_told or self._is_too_late(line, now)

    def _is_too_late(self, line: Line, now: float) -> bool:
        paused = max((until for _, until in self._paused.values()), default=now)
        due = max((each.due for each in line.chances), default=now)
        return line.expires is not None and (max(now + line.countdown, due, paused) >= line.expires)

    def _wrong_end(self, page: Page, line: Line, how: str, reason: str, now: float) -> str:
        if line.told == BURIED and how in {"failed", "expired"}:
            return ""
        if line.ended:  # the files may say so before the daemon does
            is_first = len(page.undone if line is page.undo else page.told) == 1
            is_same = how == line.told and (is_first or how == "cancelled")
            is_unknown = how == "cancelled" and page.called_off and self.is_forgetful
            return "" if is_same or is_unknown else f"it had {line.told}"
        if how == "cancelled":
            return "" if page.called_off and line.told != "succeeded" else "nobody asked for it"
        if how == "expired" and line.told != how:
            return "" if self._is_too_late(line, now) else "it is in time"
        if reason == "crash_loop":
            return "" if self.deaths + self.losses else "no process has died"
        return "" if how == line.told else f"expected {line.told or sorted(line.chances)}"

    # -- what lies in the files

    def look(self, queue: sqlite3.Connection, state: sqlite3.Connection | None) -> Seen:
        """See what is where by now, and judge what is known of tasks."""
        copies = Counter(_named(queue, "message"))
        dead = Counter(_named(queue, "dead"))
        invalid = Counter(bytes(body) for (body,) in queue.execute("SELECT body FROM invalid"))
        states: dict[tuple[str, int], dict[int, str]] = defaultdict(dict)
        if state is not None:
            rows = state.execute("SELECT id, run, seq, state, url FROM wr_task")
            for name, run, seq, word, url in rows:
                self._watch((name, run), seq, word)
                found = NAME.fullmatch(url)
                assert found
                states[found["kind"], int(found["number"])][run] = word
        return Seen(copies, dead, invalid, states)

    def _watch(self, run: tuple[str, int], seq: int, word: str) -> None:
        final = self._finals.get(run)
        if final is not None and word != final:
            self.wrong.append(f"the store said {run} {final}, and now {word}")
        if word not in FINAL and seq < self._seqs.get(run, 0):
            self.wrong.append(f"the store has gone back with {run}")
        self._seqs[run] = seq
        if word in FINAL:
            self._finals[run] = word

    def reconcile(self, seen: Seen, *, recorded: bool) -> None:
        """Find what has ended for good; nothing that was promised may have vanished."""
        for page in self.pages.values():
            for kind in ("task", "undo"):
                self._reconcile(page, kind, seen, recorded=recorded)

    def _reconcile(self, page: Page, kind: str, seen: Seen, *, recorded: bool) -> None:
        line, name = page.of(kind), (kind, page.number)
        known = any(word in FINAL for word in seen.states.get(name, {}).values())
        gone = not seen.copies[name]
        self._find_end(page, kind, seen, gone=gone)
        if line.told and line.strict and (gone or self._is_recorded(page, kind, seen)):
            line.ended = True
        owed = page.births > 0 if kind == "task" else page.owes_undo and page.line.ended
        if not owed or not gone or page.dropped or seen.invalid[page.source]:
            return
        if recorded and not known and not seen.dead[name]:
            self.wrong.append(f"{kind} {page.number} is neither in the queue file nor recorded")
        told = page.told if kind == "task" else page.undone
        if not (known or told or seen.dead[name]):
            self.wrong.append(f"{kind} {page.number} is lost")

    def _find_end(self, page: Page, kind: str, seen: Seen, *, gone: bool) -> None:
        """See how the files say that it has ended; who did it may never have told it."""
        line, runs = page.of(kind), seen.states.get((kind, page.number), {})
        if gone and seen.dead[kind, page.number] and not line.told:
            line.told, line.chances = BURIED, set()
            page.owes_undo = page.owes_undo or (kind == "task" and page.rolls_back)
        if self._is_recorded(page, kind, seen):
            word = runs[max(runs)]
            if not line.told or (word == "cancelled" and page.called_off and not line.ended):
                line.told, line.chances = word, set()

    def _is_recorded(self, page: Page, kind: str, seen: Seen) -> bool:
        runs = seen.states.get((kind, page.number), {})
        return bool(runs) and runs[max(runs)] in FINAL

    # -- the end of a process

    def died(self, seen: Seen, *, by_itself: bool = True) -> None:
        """All that a process only remembered is gone."""
        self.deaths += by_itself
        self._paused.clear()
        for page in self.pages.values():
            begun = page.line.told or page.undo.chances or page.undone
            if page.rolls_back and not page.line.ended and begun:
                page.undo.loose += 1  # it may have been called, and be called again
            for kind in ("task", "undo"):
                name = (kind, page.number)
                is_one = seen.copies[name] == (name not in self.twins)
                if seen.copies[name] and not is_one:
                    page.loosen(1)  # nobody knows any more that they are one
                page.of(kind).forget()


def _host(envelope: Envelope) -> str:
    found = NAME.fullmatch(envelope.task.url)
    assert found
    return found["host"]


def _named(queue: sqlite3.Connection, table: str) -> Iterator[tuple[str, int]]:
    for (body,) in queue.execute(f"SELECT body FROM {table}"):
        found = NAME.search(bytes(body).decode("utf-8", "replace"))
        if found:
            yield found["kind"], int(found["number"])
