"""Does faults to daemons, to their broker and to the line between them, and notes when."""

import random
import time
from collections.abc import Callable, Sequence
from subprocess import TimeoutExpired

from bench.doors import AmqpDoor
from bench.faults import Event, Kind, Tempo, duration
from bench.feeding import hand_in
from bench.fleet import Fleet, sleep_until
from bench.ledger import Ledger
from bench.script import SPARE, SPARE_QUEUE, Recipe
from bench.served import ServeError
from bench.terrain import Rabbit
from tests.parts.node import NodeError
from tests.parts.proxy import Side

SPARE_TASKS = 20
LONGEST_REST = 30.0
YOUNG_SECONDS = 2.0
"""RabbitMQ 3.10 forgets a quorum queue when it is killed within a second of its declaration."""
KILLED_WHILE_STARTING = 0.1
LONGEST_START = 1.5
SHUTDOWN_SECONDS = 31.0


class Nemesis:
    """What can be done to daemons; ``troubles`` is what should not have come of it."""

    def __init__(self, fleet: Fleet, tempo: Tempo, seed: int) -> None:
        self.events: list[Event] = []
        self.troubles: list[str] = []
        self.fleet = fleet
        self.tempo = tempo
        self.dice = random.Random(f"{seed}/nemesis")
        self.deeds: dict[Kind, Callable[[], str]] = {
            "kill": self._kill,
            "freeze": self._freeze,
            "restart": self._restart,
        }

    def do(self, kind: Kind) -> None:
        """Do one fault, and see to it that all daemons run again, most times until ready."""
        began, daemon = time.time(), ""
        try:
            daemon = self.deeds[kind]()
        except (ServeError, NodeError, TimeoutExpired) as error:
            self.troubles.append(f"{kind}: {error}")
        self.events.append(Event(kind, began, time.time(), daemon))
        if kind == "kill" and self.dice.random() < KILLED_WHILE_STARTING:
            time.sleep(self.dice.uniform(0, LONGEST_START))
            return
        try:
            self.fleet.ready()
        except ServeError as error:
            self.troubles.append(f"after {kind}: {error}")

    def _any(self) -> int:
        return self.dice.randrange(len(self.fleet.daemons))

    def _kill(self) -> str:
        number = self._any()
        daemon = self.fleet.daemons[number]
        daemon.kill()
        daemon.start()
        return str(number)

    def _freeze(self) -> str:
        number = self._any()
        self.fleet.daemons[number].freeze()
        time.sleep(duration(self.dice, self.tempo.freeze))
        self.fleet.daemons[number].thaw()
        return str(number)

    def _restart(self) -> str:
        number = self._any()
        daemon = self.fleet.daemons[number]
        began = time.monotonic()
        code = daemon.terminate()
        seconds = time.monotonic() - began
        if code or seconds > SHUTDOWN_SECONDS:
            said = f"daemon {number} ended with {code} after {seconds:.1f} s"
            self.troubles.append(f"{said}:\n{daemon.tail()}")
        daemon.start()
        return str(number)


class BrokerNemesis(Nemesis):
    """Besides, what can be done to a RabbitMQ and to the line."""

    def __init__(
        self,
        fleet: Fleet,
        tempo: Tempo,
        seed: int,
        rabbit: Rabbit,
        ledger: Ledger,
    ) -> None:
        super().__init__(fleet, tempo, seed)
        self._node, self._proxy, self._vhost = rabbit.node, rabbit.proxy, rabbit.vhost
        self._url = rabbit.url
        self._ledger = ledger
        self._recipe = Recipe(seed)
        self._spare = SPARE
        self.deeds |= {
            "broker-kill": self._kill_broker,
            "pause": self._pause_broker,
            "memory-alarm": lambda: self._alarm("memory_alarm"),
            "disk-alarm": lambda: self._alarm("disk_alarm"),
            "close": self._close,
            "deletion": self._delete,
            "cut": self._cut,
            "refuse": lambda: self._disturb(self._proxy.refuse, self.tempo.trouble),
            "black-hole": lambda: self._disturb(self._proxy.black_hole, self.tempo.silence),
            "half-open": lambda: self._disturb(self._hold, self.tempo.silence),
            "half-close": lambda: self._disturb(self._half_close, self.tempo.trouble),
            "latency": lambda: self._disturb(self._slow, self.tempo.trouble),
        }

    def _kill_broker(self) -> str:
        self._node.kill()
        time.sleep(self.dice.uniform(0, 1))
        self._node.restart()
        return ""

    def _pause_broker(self) -> str:
        self._node.pause()
        time.sleep(duration(self.dice, self.tempo.pause))
        self._node.resume()
        return ""

    def _alarm(self, name: str) -> str:
        switch = getattr(self._node, name)
        switch(on=True)
        time.sleep(duration(self.dice, self.tempo.trouble))
        switch(on=False)
        return ""

    def _close(self) -> str:
        self._node.close_all_connections()
        return ""

    def _cut(self) -> str:
        self._proxy.cut()
        return ""

    def _disturb(self, how: Callable[[], None], span: Sequence[float]) -> str:
        how()
        time.sleep(duration(self.dice, span))
        self._proxy.pass_through()
        return ""

    def _hold(self) -> None:
        self._proxy.hold(self.dice.choice(list(Side)))

    def _half_close(self) -> None:
        self._proxy.half_close(self.dice.choice(list(Side)))

    def _slow(self) -> None:
        self._proxy.slow(delay=0.3, jitter=0.3)

    def _delete(self) -> str:
        """Delete an empty queue under its consumers, and see that it takes tasks again."""
        door = AmqpDoor(self._url)
        self._hand_in_spare(door)
        if sleep_until(self._spare_is_empty, LONGEST_REST, 0.5):
            self._node.delete_queue(SPARE_QUEUE, self._vhost)
            if not sleep_until(lambda: self._hand_in_spare(door), LONGEST_REST, 0.2):
                self.troubles.append("the deleted queue did not come back")
            time.sleep(YOUNG_SECONDS)
        else:
            self.troubles.append("the queue to be deleted did not become empty")
        door.close()
        return ""

    def _hand_in_spare(self, door: AmqpDoor) -> bool:
        numbers = range(self._spare, self._spare + SPARE_TASKS)
        self._spare = numbers.stop
        entries = hand_in(door, self._recipe, numbers)
        self._ledger.write(entries)
        return all(entry.accepted for entry in entries)

    def _spare_is_empty(self) -> bool:
        # Nothing but plain tasks is ever in it, so that nothing comes back to it by a wait.
        return self._node.queue_depths(self._vhost).get(SPARE_QUEUE) == (0, 0)
