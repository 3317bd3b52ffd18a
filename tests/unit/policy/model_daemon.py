"""A small model of a daemon that turns the wheel by asking the real `policy.delay`."""

from collections.abc import Callable
from functools import partial

from tests.unit.policy.model_broker import WORK, Broker, Consumer, Key, Link, Loop, Message
from tests.unit.policy.model_rules import LOOK_ON, SWEEP_SECONDS, Delivery, Executed, Limits, Rules
from webhook_runner.policy.delay import HandOver, Hold, Park, Slot


class Daemon:
    def __init__(
        self,
        loop: Loop,
        broker: Broker,
        rules: Rules,
        limits: Limits,
        executed: Executed,
        offset: float,
    ) -> None:
        self.loop, self.broker, self.rules, self.limits = loop, broker, rules, limits
        self.wheel = rules.wheel
        self.executed, self.offset = executed, offset
        self.kept_aside = 0
        self.link = Link(alive=False)
        broker.landed.append(self._notice)

    # -- life

    def start(self) -> None:
        if self.link.alive:
            return
        self.link = Link()
        self.open: dict[Key, tuple[Slot, Consumer]] = {}
        self.slots: dict[Consumer, Slot] = {}
        self.held: dict[tuple[Consumer, int], Delivery] = {}
        self.ready: list[Delivery] = []
        self.running = 0
        self.throttled = False
        self.next_turn = self.next_sweep = float("inf")
        self.broker.consume(Consumer(self.link, WORK, self.limits.prefetch, self._deliver))
        self.sweep()
        self.turn()

    def kill(self) -> None:
        if self.link.alive:
            self.broker.drop(self.link)

    def step_clock(self, seconds: float) -> None:
        """Set the wall clock; the jump against the monotonic clock is noticed within a second."""
        self.offset += seconds
        link = self.link
        self.loop.after(1.0, lambda: self._jumped(link))

    def _jumped(self, link: Link) -> None:
        if link.alive:
            for delivery in list(self.held.values()):
                if not delivery.busy:
                    delivery.aside = False
                    self._arrive(delivery)
            self.turn()
            self.sweep()

    @property
    def now(self) -> float:
        return self.loop.now + self.offset

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        link = self.link
        self.loop.after(max(seconds, 0.0), lambda: call() if link.alive else None)

    def _key(self, slot: Slot) -> Key:
        return slot.level, slot.index % self.wheel.ring

    # -- turn: consuming an empty queue does nothing, so only queues with messages are looked at

    def turn(self) -> None:
        self._close()
        if not self.throttled:
            for slot in sorted(self.wheel.open_slots(self.now)):
                self._open(slot)
        self._plan_turn()

    def _open(self, slot: Slot) -> None:
        key = self._key(slot)
        if key in self.open:
            self.open[key] = (slot, self.open[key][1])
            self.slots[self.open[key][1]] = slot
        elif self.broker.queues.get(key):
            consumer = Consumer(self.link, key, self.limits.prefetch, self._deliver)
            self.open[key] = (slot, consumer)
            self.slots[consumer] = slot
            self.broker.consume(consumer)

    def _close(self) -> None:
        now = self.now
        for key, (slot, consumer) in list(self.open.items()):
            if self.wheel.is_open(slot, now):
                continue
            mine = [each for each in self.held.values() if each.consumer is consumer]
            aside = [each for each in mine if each.aside]
            drained = not self.broker.queues.get(key) and not consumer.unacked
            if drained or aside or now < self.wheel.opens_at(slot):
                self._cancel(key, aside)

    def _cancel(self, key: Key, back: list[Delivery]) -> None:
        _, consumer = self.open.pop(key)
        for each in back:
            self._forget(each)
        tags = [each.tag for each in back]
        self.broker.command(self.link, lambda: self.broker.cancel(consumer))
        self.broker.command(self.link, lambda: self.broker.give_back(consumer, tags))

    def _plan_turn(self) -> None:
        now = self.now
        waits = [self._opens_in(key) for key, queue in self.broker.queues.items() if queue]
        waits += [max(self.wheel.closes_at(slot) - now, 1.0) for slot, _ in self.open.values()]
        if self.throttled:
            waits.append(0.1)
        self._turn_in(min(waits, default=float("inf")))

    def _opens_in(self, key: Key) -> float:
        """Seconds until the next opening of the queue's slot, from now on."""
        if key == WORK or key in self.open:
            return float("inf")
        return self.rules.opens_next(key, self.now) - self.now + 1e-6

    def _turn_in(self, seconds: float) -> None:
        moment = self.loop.now + seconds
        if moment < self.next_turn:
            self.next_turn = moment
            self._later(seconds, lambda: self._turned(moment))

    def _turned(self, moment: float) -> None:
        if moment == self.next_turn:
            self.next_turn = float("inf")
            self.turn()

    def _notice(self, key: Key, message: Message) -> None:
        if not self.link.alive or key == WORK:
            return
        if key not in self.open:
            self._turn_in(0.0 if self.rules.is_open(key, self.now) else self._opens_in(key))
        self._sweep_by(message.due - self.now)

    # -- arrive

    def _deliver(self, consumer: Consumer, tag: int, message: Message) -> None:
        delivery = Delivery(consumer, tag, message)
        self.held[consumer, tag] = delivery
        self._arrive(delivery)
        if len(self.held) > self.limits.budget:
            self._throttle()

    def _throttle(self) -> None:
        self.throttled = True
        for key in list(self.open):
            consumer = self.open[key][1]
            held = [each for each in self.held.values() if each.consumer is consumer]
            self._cancel(key, [each for each in held if each.aside])
        self._turn_in(0.1)

    def _arrive(self, delivery: Delivery) -> None:
        if delivery.settled or delivery.busy or delivery.aside:
            return
        message = delivery.message
        match self.wheel.arrive(message.due, self.now, handed=message.handed):
            case HandOver():
                self._hand_over(delivery)
            case Hold(until):
                early = self.broker.dice.uniform(0, self.rules.margin_of_timers)
                wait = max(until - self.now - early, 0.0) + 1e-4
                self._later(wait, lambda: self._arrive(delivery))
            case Park(slot):
                self._park(delivery, slot)

    def _park(self, delivery: Delivery, slot: Slot) -> None:
        message, consumed = delivery.message, self.slots.get(delivery.consumer)
        if (
            self.rules.keeps_next_lap
            and consumed is not None
            and self.wheel.would_return(consumed, message.due, self.now)
        ):
            self._keep_aside(delivery)
            return
        if message.handed and self.rules.pauses and not delivery.paused:
            delivery.paused = True
            self._later(self.wheel.hold, lambda: self._arrive(delivery))
            return
        self._publish(delivery, slot, message.copy(hops=message.hops + 1, handed=False))

    def _keep_aside(self, delivery: Delivery) -> None:
        """Giving back to a queue that is still consumed would bring it straight back."""
        self.kept_aside += 1
        delivery.aside = True
        consumer, tag = delivery.consumer, delivery.tag
        if consumer.key in self.open and self.open[consumer.key][1] is consumer:
            self._turn_in(0.0)
        else:
            self._forget(delivery)
            self.broker.command(self.link, lambda: self.broker.give_back(consumer, [tag]))

    def _publish(self, delivery: Delivery, slot: Slot, message: Message) -> None:
        delivery.busy = True

        def confirmed() -> None:
            if self.rules.sweeps and self.now >= self.wheel.closes_at(slot):
                self._sweep_queue(self._key(slot))
            self._ack(delivery)

        self.broker.publish(self.link, self._key(slot), message, confirmed)

    # -- hand over and execute

    def _hand_over(self, delivery: Delivery) -> None:
        message = delivery.message
        from_work = delivery.consumer.key == WORK
        free = self.running + len(self.ready) < self.limits.executors and not message.returns
        delivery.busy = True
        if from_work or free:
            self.ready.append(delivery)
            self._execute_next()
            return
        copy = message.copy(hops=message.hops, handed=True)
        self.broker.publish(self.link, WORK, copy, lambda: self._ack(delivery))

    def _execute_next(self) -> None:
        while self.ready and self.running < self.limits.executors:
            delivery = self.ready.pop(0)
            if delivery.message.due > self.now:  # the clock was set back while it stood in line
                delivery.busy = False
                self._arrive(delivery)
                continue
            self.running += 1
            self.executed(delivery.message, self.now)
            self._later(self.limits.request_seconds, partial(self._finish, delivery))

    def _finish(self, delivery: Delivery) -> None:
        self.running -= 1
        message = delivery.message
        if message.attempt < 3 and self.broker.dice.random() < self.limits.failures:
            wait = self.broker.dice.choice((0.1, 1.0, 5.0, 40.0))
            retry = Message(message.task, message.attempt + 1, self.now + wait, hops=1)
            slot = self.wheel.place_next(retry.due, self.now)
            self._publish(delivery, slot, retry)
        else:
            self._ack(delivery)
        self._execute_next()

    def _ack(self, delivery: Delivery) -> None:
        self._forget(delivery)
        consumer, tag = delivery.consumer, delivery.tag
        self.broker.command(self.link, lambda: self.broker.ack(consumer, tag))
        if self.throttled and len(self.held) <= self.limits.budget // 2:
            self.throttled = False
            self._turn_in(0.0)

    def _forget(self, delivery: Delivery) -> None:
        delivery.settled = True
        self.held.pop((delivery.consumer, delivery.tag), None)

    # -- sweep: one that could only find future tasks is left out, for speed

    def sweep(self, soon: float = 0.0) -> None:
        """Look into the closed slots, but for those that open within so many seconds."""
        if self.rules.sweeps:
            opened = {self._key(slot) for slot in self.wheel.open_slots(self.now)}
            for key in sorted(self.broker.queues):
                if key != WORK and key not in opened and self._opens_in(key) > soon:
                    self._sweep_queue(key)
        self.next_sweep = float("inf")
        waiting = [m.due for key, queue in self.broker.queues.items() if key != WORK for m in queue]
        if waiting:
            self._sweep_by(max(min(waiting) - self.now, SWEEP_SECONDS))

    def _sweep_by(self, seconds: float) -> None:
        seconds = max(seconds, SWEEP_SECONDS)
        moment = self.loop.now + seconds
        if moment < self.next_sweep:
            self.next_sweep = moment
            self._later(seconds, lambda: self._swept(moment))

    def _swept(self, moment: float) -> None:
        if moment == self.next_sweep:
            self.sweep(self.wheel.lap)

    def _sweep_queue(self, key: Key) -> None:
        consumer = Consumer(self.link, key, 0, self._deliver)
        self.link.consumers.append(consumer)
        future: list[int] = []
        while len(future) < LOOK_ON and (got := self.broker.get(consumer)):
            tag, message = got
            if message.due > self.now:
                future.append(tag)
            else:
                delivery = Delivery(consumer, tag, message)
                self.held[consumer, tag] = delivery
                message.returns += 1
                self._hand_over(delivery)
        if future:
            self.broker.command(self.link, lambda: self.broker.give_back(consumer, future))
