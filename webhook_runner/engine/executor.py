"""One delivery from arrival to settlement. The file to read first."""

import asyncio

from msgspec.structs import replace

from webhook_runner import __version__
from webhook_runner.engine.destination import Trial
from webhook_runner.engine.destinations import Destinations
from webhook_runner.engine.duplicates import Duplicates
from webhook_runner.engine.host_slots import Entry
from webhook_runner.engine.inflight import SETTLED, InFlight, Run
from webhook_runner.engine.lane import Lane, Lanes
from webhook_runner.engine.limits import Crowd
from webhook_runner.engine.lineage import Lineage
from webhook_runner.engine.passage import Passage
from webhook_runner.engine.reception import Reception
from webhook_runner.engine.revocations import Revocations
from webhook_runner.engine.settlement import Settlement
from webhook_runner.engine.stumbles import Stumbles
from webhook_runner.engine.succession import Succession
from webhook_runner.errors import InvalidTaskError
from webhook_runner.policy.admission import (
    ALONE_PAUSE,
    HANDED_HOLD,
    HOLD,
    Arrival,
    admit,
    send_away,
    wait_turn,
)
from webhook_runner.policy.breaker import is_gone, is_well
from webhook_runner.policy.retry import decide, destination_pause, unless_cancelled
from webhook_runner.policy.verdict import (
    Admission,
    Cancel,
    Drop,
    Postpone,
    Proceed,
    Release,
    Verdict,
    Why,
)
from webhook_runner.ports import Broker, Clock, Delivery, Dice, Dispatcher, Observer, Store
from webhook_runner.task.event import AttemptFinished, AttemptStarted, TaskReceived
from webhook_runner.task.model import Envelope
from webhook_runner.task.outcome import Interrupted, Outcome, Refused
from webhook_runner.task.outgoing import request_for
from webhook_runner.task.progress import HANDED

NOT_HELD = (0.0, Why.DESTINATION_PAUSED)


class Executor:
    """Carries deliveries through; knows the world by its ports only."""

    def __init__(
        self,
        lanes: Lanes,
        reception: Reception,
        broker: Broker,
        store: Store,
        dispatcher: Dispatcher,
        observer: Observer,
        clock: Clock,
        dice: Dice,
        destinations: Destinations,
        max_total: int,
    ) -> None:
        self._lanes = lanes
        self._reception = reception
        self._broker = broker
        self._store = store
        self._dispatcher = dispatcher
        self._observer = observer
        self._clock = clock
        self._dice = dice
        self._settlement = Settlement(broker, store, observer)
        self._stumbles = Stumbles(self._settlement, observer, clock)
        self._duplicates = Duplicates(store, clock)
        self._redeliveries = self._duplicates.redeliveries
        self._succession = Succession()
        self._lineage = Lineage()
        self._destinations = destinations
        self.revocations = Revocations()
        self.crowd = Crowd(max_total)
        self.inflight = InFlight(broker.is_lost)
        self.requests = 0

    async def execute(self, delivery: Delivery, *, entered: bool = False) -> None:
        """Take one delivery to its end. ``entered``: a slot and a token were taken for it."""
        passage = Passage(self._lanes[delivery.queue], self.crowd, entered=entered)
        envelope: Envelope | None = None
        again = True
        try:
            while again:
                again = False
                try:
                    envelope = envelope or self._reception.read(delivery)
                    await self._carry(delivery, envelope, passage)
                except InvalidTaskError as error:
                    with self.inflight.rejecting():
                        await self._settlement.reject(delivery, error)
                except Exception as error:  # noqa: BLE001 - one task must not stop the others
                    again = await self._stumbles.meet(delivery, passage, error)
        finally:
            passage.leave()

    async def _carry(self, delivery: Delivery, envelope: Envelope, passage: Passage) -> None:
        run = self.inflight.start(delivery, envelope)
        try:
            if run.before is not None:
                passage.leave()  # what it waits for may need the slot
            envelope, verdict = await self._received(run)
            with self.crowd.meet(suspect=envelope.alone > 0):
                if verdict is None:
                    envelope, verdict = await self._judge(run, envelope, passage)
                passage.leave()
                await self._settle(run, envelope, verdict)
        finally:
            self.inflight.end(run)

    async def _received(self, run: Run) -> tuple[Envelope, Verdict | None]:
        """Return what is carried, and the verdict if there is one before any attempt."""
        verdict = await self.inflight.left_before(run)
        if verdict is None:
            run.envelope, verdict = await self._redeliveries.recall(run.delivery, run.envelope)
        first = verdict is None
        if first:
            settings = self._lanes[run.envelope.task.queue].settings
            run.envelope, verdict = await self._duplicates.received(run.envelope, settings)
            if verdict is None and self._lineage.is_superfluous(run.envelope):
                verdict = Drop("superfluous")
        self._observer.notice(TaskReceived(run.envelope, first and verdict is not None))
        return run.envelope, verdict

    async def _judge(
        self, run: Run, envelope: Envelope, passage: Passage
    ) -> tuple[Envelope, Verdict]:
        delivery = run.delivery
        lane = self._lanes[envelope.task.queue]  # not the one it came by, when it is to move on
        passage.host = lane.destination_of(envelope.task.url)
        await self._succession.original_settled(envelope)
        admission = await self._due(delivery, envelope, passage)
        if isinstance(admission, Proceed) and envelope.alone:
            admission = await self._turn(envelope)
        if not isinstance(admission, Proceed):
            return envelope, admission
        entry = await passage.enter(self._ready, alone=envelope.alone > 0)
        if entry is Entry.SATURATED:
            back = passage.lane.gate.back_at(passage.host)
            return envelope, send_away(envelope, back, Why.HOST_SATURATED)
        if entry is Entry.CLOSED or self._broker.is_lost(delivery) or not passage.lane.gate.is_open:
            return envelope, Release()
        # Time has passed at the gate: the task may have expired, its destination be paused.
        admission = self._admit(delivery, envelope, passage)
        if not isinstance(admission, Proceed):
            return envelope, admission
        return await self._try(run, envelope, passage)

    async def _try(
        self, run: Run, envelope: Envelope, passage: Passage
    ) -> tuple[Envelope, Verdict]:
        trial = self._destinations.begin(passage.host)
        if trial is None:  # another one has become the probe
            back = self._destinations.come_back(passage.host)
            return envelope, send_away(envelope, back, Why.BREAKER_OPEN)
        try:
            if not await self._duplicates.may_begin(envelope):
                return envelope, Drop("begun_elsewhere")
            if self.revocations.of(envelope, run.delivery.message) is not None:
                return envelope, Release()  # it comes again, if it is not settled as cancelled
            passage.used = True
            return await self._attempt(run, envelope, passage.lane, trial)
        finally:
            self._destinations.leave(trial)

    async def _ready(self) -> None:
        await self._broker.writable()
        await self._store.usable()

    async def _due(self, delivery: Delivery, envelope: Envelope, passage: Passage) -> Admission:
        """Hold a delivery that is due soon until it is; one from the wheel a little longer.

        Another daemon's clock called it due. Parking it at once would bring it straight back.
        A countdown that comes again is parked: only a copy remembers when it began, and held by
        one process after the other that dies it would never end.
        """
        handed = HANDED in delivery.message.headers
        begun = delivery.redeliveries > 0 and not delivery.message.headers
        most = HANDED_HOLD if handed else 0.0 if begun else HOLD
        while True:
            admission = self._admit(delivery, envelope, passage)
            if not isinstance(admission, Postpone) or admission.why is not Why.NOT_DUE:
                return admission
            wait = admission.until - self._clock.now()
            if wait <= most:
                await self._clock.sleep(wait)
            elif handed:
                handed, most = False, HOLD
                await self._clock.sleep(HOLD)
            else:
                return admission

    async def _turn(self, envelope: Envelope) -> Admission:
        """Let one suspect of crashing the process in at a time: nobody shall share its fate."""
        others = self.crowd.suspects - 1
        if others:
            return wait_turn(envelope, self._clock.now(), others)
        await self._clock.sleep(ALONE_PAUSE)
        return Proceed()

    def _admit(self, delivery: Delivery, envelope: Envelope, passage: Passage) -> Admission:
        held = self._destinations.held(passage.host)
        until, why = held or NOT_HELD
        arrival = Arrival(
            queue=delivery.queue,
            redeliveries=delivery.redeliveries,
            counted=delivery.counted,
            paused_until=until,
            paused_by=why,
            revoked=self.revocations.of(envelope, delivery.message),
        )
        queue = self._lanes[envelope.task.queue].settings
        admission = admit(envelope, arrival, queue, self._clock.now())
        if held and isinstance(admission, Postpone) and admission.why is why:
            return send_away(envelope, self._destinations.come_back(passage.host), why)
        return admission

    async def _attempt(
        self, run: Run, envelope: Envelope, lane: Lane, trial: Trial
    ) -> tuple[Envelope, Verdict]:
        now = self._clock.now()
        first = envelope.first_attempt_at or now
        started = replace(envelope, first_attempt_at=first, last_attempt_at=now)
        lane.lag = now - envelope.due_at
        self._observer.notice(AttemptStarted(started, lane.lag))
        outcome = await self._send(run, started, lane)
        now, queue = self._clock.now(), lane.settings
        self._destinations.end(
            trial,
            well=is_well(outcome, queue),
            gone=is_gone(outcome, queue),
            pause=destination_pause(outcome, queue, now),
        )
        return started, decide(started, outcome, queue, now, self._dice())

    async def _send(self, run: Run, envelope: Envelope, lane: Lane) -> Outcome:
        began = self._clock.monotonic()
        run.begin_sending()
        outcome: Outcome = Interrupted()
        try:
            request = request_for(
                envelope, lane.settings, lane.base_url, version=__version__, now=self._clock.now()
            )
            self.requests += 1
            try:
                outcome = await self._dispatcher.send(request, envelope)
            finally:
                self.requests -= 1
        except InvalidTaskError as error:
            outcome = Refused(error.reason, str(error))
        except asyncio.CancelledError:
            if not run.was_only_cut:
                raise
        finally:
            run.end_sending()
            seconds = self._clock.monotonic() - began
            self._observer.notice(AttemptFinished(envelope, outcome, seconds))
        return outcome

    def _unless_revoked(self, run: Run, envelope: Envelope, verdict: Verdict) -> Verdict:
        why = self.revocations.of(envelope, run.delivery.message)
        if why is None:
            return verdict
        settings, now = self._lanes[envelope.task.queue].settings, self._clock.now()
        return unless_cancelled(verdict, envelope, why, settings, now, sent=run.sent)

    async def _settle(self, run: Run, envelope: Envelope, verdict: Verdict) -> None:
        self.inflight.settling.add(run.task)
        run.envelope = envelope
        run.verdict = verdict = self._unless_revoked(run, envelope, verdict)
        if isinstance(verdict, Cancel):
            verdict = await self._redeliveries.unless_told(envelope, verdict)
        released = isinstance(verdict, Release)
        if not released and self._broker.is_lost(run.delivery):
            # It will be handed over again, here or elsewhere: who gets it carries the verdict out.
            run.left = verdict
            return
        with self._succession.making(verdict):
            settled = await self._settlement.settle(run.delivery, envelope, verdict)
        if released:
            self._redeliveries.forget(envelope)
        elif envelope.gen or not settled:
            run.left = SETTLED
