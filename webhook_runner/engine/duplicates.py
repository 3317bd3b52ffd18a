"""Which tasks are duplicates of others: keys that the store gives to whoever claims them first."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from weakref import WeakValueDictionary

from msgspec.structs import replace

from webhook_runner.engine.journal import started
from webhook_runner.engine.redelivery import ASK_AGAIN_SECONDS, Redeliveries, is_past, taken_over
from webhook_runner.errors import ConflictError, InvalidTaskError, StoreUnavailableError
from webhook_runner.policy.verdict import Drop, Verdict
from webhook_runner.ports import Clock, Store
from webhook_runner.settings import QueueSettings
from webhook_runner.task.model import Dedup, Envelope
from webhook_runner.task.record import Change, Claim, Holder

_BY_QUEUE = Dedup()
_BY_SENDER = "dedup:"


@dataclass(frozen=True, slots=True)
class Duplicate:
    """What was handed in is task ``id`` again, which is kept already as this run, for ``queue``."""

    id: str
    run: int
    queue: str


class Duplicates:
    """Claims keys for tasks, so that of equal ones only the first is run.

    An id, and the key of a request, stand for one content: other content under it is refused. The
    key in a message stands for whatever its sender means by it.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self.redeliveries = Redeliveries(store, clock)
        self._clock = clock
        kind = store.state().kind
        self._knows = kind != "none"
        # A SQLite store is one daemon's own, whose table of what is in flight knows equal copies.
        self._shared = kind != "sqlite"
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    # -- tasks by request

    def concern(self, envelope: Envelope, word: str) -> bool:
        """Whether a task by request, whose key is ``word``, stands for anything."""
        return self._knows and bool(_keys(envelope, word))

    @asynccontextmanager
    async def claimed(
        self, envelope: Envelope, queue: QueueSettings, word: str
    ) -> AsyncIterator[Envelope | Duplicate | ConflictError]:
        """Claim what a task by request stands for: an id it was given, ``word``, a key in it.

        An envelope is to be published within, as the run it now is; without an error it is then
        noted as kept. Equal keys are dealt with one after the other.

        Raises:
            StoreUnavailableError: the store takes nothing, and is waited for.

        """
        claims = [self._claim(envelope, queue, key) for key in _keys(envelope, word)]
        async with AsyncExitStack() as stack:
            for key in sorted(claim.key for claim in claims):
                await stack.enter_async_context(self._locks.setdefault(key, asyncio.Lock()))
            answer = await self._all_claimed(envelope, claims)
            yield answer
            if isinstance(answer, Envelope):
                for claim in claims:
                    with suppress(StoreUnavailableError):  # who comes again finds its record
                        await self._store.keep_claim(claim.key, answer.run)

    async def _all_claimed(
        self, envelope: Envelope, claims: Iterable[Claim]
    ) -> Envelope | Duplicate | ConflictError:
        made: list[Claim] = []
        envelope = replace(envelope, dedup=False)
        for claim in claims:
            holder = await self._ask(claim)
            if holder is None:
                continue
            if holder.is_new:
                made.append(claim)
                envelope = replace(envelope, dedup=envelope.dedup or self._shared)
                continue
            answer = await self._taken(envelope, claim, holder)
            if not isinstance(answer, Envelope):
                for each in made:
                    await self._store.drop_claim(each.key, each.run)
                return answer
            envelope = answer
        return envelope

    async def _taken(
        self, envelope: Envelope, claim: Claim, holder: Holder
    ) -> Envelope | Duplicate | ConflictError:
        """Return what becomes of a task whose key somebody has."""
        same = holder.fingerprint == claim.fingerprint
        if not same and not claim.key.startswith(_BY_SENDER):
            return ConflictError(f"{_name(claim.key)} was used for another task")
        if holder.kept or await self.redeliveries.find(holder.id, holder.run):
            return Duplicate(holder.id, holder.run, envelope.task.queue)
        # If its publish was begun it may have come through: this is that copy once more.
        return replace(_as_held(envelope, holder) if same else envelope, dedup=True)

    # -- tasks of publishers

    async def received(
        self, envelope: Envelope, queue: QueueSettings
    ) -> tuple[Envelope, Verdict | None]:
        """Claim what a publisher's message stands for; return what is left to do of a duplicate.

        Raises:
            InvalidTaskError: its id stands for other content.

        """
        key = _key_of_message(envelope, queue) if self._knows and not envelope.gen else ""
        holder = await self._ask_long(self._claim(envelope, queue, key)) if key else None
        if holder is None:
            return envelope, None
        if holder.is_new:
            return replace(envelope, dedup=self._shared), None
        if (holder.id, holder.run) == (envelope.task.id, envelope.run):
            return replace(envelope, dedup=True), None
        same = holder.fingerprint == envelope.task.fingerprint
        if not same and key == _by_id(envelope):
            text = f"was used for other content within the last {_window(envelope, queue):g} s"
            raise InvalidTaskError("id_reused", text, "id")
        if same and envelope.again:
            return await self._again(envelope, holder)
        return envelope, Drop("duplicate", holder.id)

    async def _again(self, envelope: Envelope, holder: Holder) -> tuple[Envelope, Verdict | None]:
        """Take a claim for this message's own, made before a crash, unless its task went on."""
        record = await self.redeliveries.find(holder.id, holder.run)
        if record is None:
            return replace(_as_held(envelope, holder), dedup=True), None
        if is_past(record, envelope):
            return envelope, Drop("duplicate", holder.id)
        return replace(taken_over(envelope, record), dedup=True), None

    # -- before a request

    async def may_begin(self, envelope: Envelope) -> bool:
        """Claim an attempt: False when the same copy, or one after it, has begun elsewhere."""
        if not (envelope.dedup and self._knows):
            return True
        change, doubtful = started(envelope, self._clock.now()), False
        while True:
            await self._store.usable()
            try:
                advanced = await self._store.advance(change)
            except StoreUnavailableError:
                if not self._store.state().waits:
                    return True
                doubtful = True
                await self._clock.sleep(ASK_AGAIN_SECONDS)
            else:
                return advanced or (doubtful and await self._is_ours(change))

    async def _is_ours(self, change: Change) -> bool:
        """Whether an earlier asking was heard, although its answer was not."""
        record = await self.redeliveries.find(change.envelope.task.id, change.envelope.run)
        return record is None or record.seq == change.seq

    # -- both

    def _claim(self, envelope: Envelope, queue: QueueSettings, key: str) -> Claim:
        task, now = envelope.task, self._clock.now()
        until = now + _window(envelope, queue)
        return Claim(key, task.id, envelope.run, task.fingerprint, now, until)

    async def _ask_long(self, claim: Claim) -> Holder | None:
        while True:
            await self._store.usable()
            with suppress(StoreUnavailableError):
                return await self._ask(claim)
            await self._clock.sleep(ASK_AGAIN_SECONDS)

    async def _ask(self, claim: Claim) -> Holder | None:
        """Return who has a key; None when the store is in trouble that is not waited for."""
        try:
            return await self._store.claim(claim)
        except StoreUnavailableError:
            if self._store.state().waits:
                raise
            return None


def _as_held(envelope: Envelope, holder: Holder) -> Envelope:
    return replace(envelope, task=replace(envelope.task, id=holder.id), run=holder.run)


def _window(envelope: Envelope, queue: QueueSettings) -> float:
    said = envelope.task.dedup
    return queue.dedup_window if said is None or said.window is None else said.window


def _keys(envelope: Envelope, word: str) -> list[str]:
    said = envelope.task.dedup
    keys = [_by_id(envelope)] if envelope.dedup else []
    if word:
        keys.append(f"key:{word}")
    if said is not None and said.wanted and said.key:
        keys.append(_BY_SENDER + said.key)
    return keys


def _key_of_message(envelope: Envelope, queue: QueueSettings) -> str:
    """Return what duplicates of a publisher's message are told by; "" when they are run."""
    said = envelope.task.dedup or (_BY_QUEUE if queue.dedup else None)
    if said is None or not said.wanted:
        return ""
    if said.key:
        return _BY_SENDER + said.key
    return _by_id(envelope) if envelope.named else ""


def _by_id(envelope: Envelope) -> str:
    return f"id:{envelope.task.id}"


def _name(key: str) -> str:
    kind, _, word = key.partition(":")
    return {"id": f"the id {word!r}", "key": "this Idempotency-Key"}.get(kind, "this dedup.key")
