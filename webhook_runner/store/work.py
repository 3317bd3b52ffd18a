"""What goes to the database in one breath: of all that was noted, only what still matters."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import asdict, replace

from webhook_runner.store.row import FINAL, row_of
from webhook_runner.store.text import plain
from webhook_runner.task.record import (
    Attempt,
    Change,
    Claim,
    Entry,
    Holder,
    RollbackEnded,
    RollbackState,
)
from webhook_runner.task.record import TaskRecord as Row


class KeepClaim(Struct, frozen=True):
    key: str
    run: int


class DropClaim(Struct, frozen=True):
    key: str
    run: int


Item = TypeVar("Item", bound=Struct)

Noted = Entry | KeepClaim | DropClaim
Ask = Change | Claim
Answer = bool | Holder | Exception


@dataclass(slots=True)
class Work:
    """One batch. ``rows`` has one row for each run, ``asks`` want an answer, in their order."""

    rows: list[Row] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    rollbacks: list[RollbackEnded] = field(default_factory=list)
    claims: list[KeepClaim | DropClaim] = field(default_factory=list)
    asks: list[Row | Claim] = field(default_factory=list)

    def singles(self) -> Iterator["Work"]:
        """Return what was noted one by one, in text that any database takes."""
        for row in self.rows:
            yield Work(rows=[cleaned(row)])
        for attempt in self.attempts:
            yield Work(attempts=[cleaned(attempt)])
        for rollback in self.rollbacks:
            yield Work(rollbacks=[cleaned(rollback)])
        for claim in self.claims:
            yield Work(claims=[cleaned(claim)])

    def name(self) -> str:
        """Name what a single one speaks of."""
        named = [each.id for each in self.rows] + [each.id for each in self.attempts]
        named += [each.id for each in self.rollbacks] + [each.key for each in self.claims]
        return "".join(named)


@dataclass(frozen=True, slots=True)
class Written:
    """``answers`` to the asks; ``refused`` says what the database does not take, and why."""

    answers: list[Answer]
    refused: tuple[str, ...] = ()


def work_of(noted: Sequence[Noted], asks: Sequence[Ask], *, payloads: bool) -> Work:
    """Sort what was noted, by keys: two daemons that write the same rows wait in one order."""
    work = Work()
    changes: dict[tuple[str, int], Change] = {}
    rollbacks: dict[tuple[str, int], RollbackEnded] = {}
    for entry in noted:
        match entry:
            case Change(envelope):
                key = envelope.task.id, envelope.run
                before = changes.get(key)
                if before is None or follows(entry, before):
                    changes[key] = entry
            case Attempt():
                work.attempts.append(entry)
            case RollbackEnded(name, run, state):
                if state is RollbackState.DELIVERED or (name, run) not in rollbacks:
                    rollbacks[name, run] = entry
            case KeepClaim() | DropClaim():
                work.claims.append(entry)
    work.rows = [row_of(changes[key], payloads=payloads) for key in sorted(changes)]
    work.attempts.sort(key=_place)
    work.rollbacks = [rollbacks[key] for key in sorted(rollbacks)]
    work.asks = [ask if isinstance(ask, Claim) else row_of(ask, payloads=payloads) for ask in asks]
    return work


def cleaned(item: Item) -> Item:
    """Return it without what is no text: halves of surrogate pairs, and NUL characters."""
    changed = {name: _clean(value) for name, value in asdict(item).items()}
    return replace(item, **changed)


def _clean(value: object) -> object:
    if isinstance(value, str):
        text = plain(value)
        return value if text == value else text
    if isinstance(value, dict):
        return {_clean(name): _clean(inner) for name, inner in value.items()}
    return value


def follows(change: Change, before: Change) -> bool:
    """Whether of two changes of one run the first is the one that still matters."""
    if before.state in FINAL:
        return False
    return change.state in FINAL or change.seq > before.seq


def _place(entry: Attempt) -> tuple[str, int, int]:
    return entry.id, entry.run, entry.seq
