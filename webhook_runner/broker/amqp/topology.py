"""Every broker object of ours as data: names, arguments, bindings, and the export of them all."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from webhook_runner.broker.apart import DELIVERY_LIMIT
from webhook_runner.policy.delay import LEVELS, RING

Argument = str | int

# Big instead of -1 or nothing: -1 drops on 3.10 at the first return, nothing means 20 on 4.x.
# A walk through the dead letters counts as a delivery of each: so many walks they endure.
ENDLESS = 1_000_000

# Longer than the longest delay. What is too old goes by whole segments, so these are small.
KEPT: dict[str, Argument] = {"x-max-age": "400D", "x-stream-max-segment-size-bytes": 4_000_000}


@dataclass(frozen=True, slots=True)
class Exchange:
    name: str
    kind: str
    arguments: Mapping[str, Argument] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Binding:
    exchange: str
    queue: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable queue with the bindings it is useless without."""

    name: str
    arguments: Mapping[str, Argument]
    bindings: tuple[Binding, ...] = ()


@dataclass(frozen=True, slots=True)
class Topology:
    """The objects of one installation.

    Attributes:
        prefix: starts every name, so that installations can share a virtual host.
        queues: the configured work queues, which keep their own names.
        board: whether daemons tell each other anything.
        levels: how many rings the delay wheel has.
        ring: slots per level.

    """

    prefix: str
    queues: tuple[str, ...]
    levels: int = len(LEVELS)
    ring: int = RING
    board: bool = False

    @property
    def work(self) -> str:
        return f"{self.prefix}.work"

    @property
    def wait(self) -> str:
        return f"{self.prefix}.wait"

    @property
    def unrouted(self) -> str:
        return f"{self.prefix}.unrouted"

    @property
    def poison(self) -> str:
        return f"{self.prefix}.poison"

    @property
    def control(self) -> str:
        return f"{self.prefix}.control"

    @property
    def tombstones(self) -> str:
        return f"{self.prefix}.tombstones"

    def ear(self, unique: str) -> str:
        """Name the queue by which one connection of one daemon hears words."""
        return f"{self.prefix}.ctl.{unique}"

    @property
    def ours(self) -> frozenset[str]:
        """The exchanges whose messages carry headers of our own making."""
        return frozenset((self.work, self.wait))

    def dead(self, queue: str) -> str:
        return f"{self.prefix}.dead.{queue}"

    def invalid(self, queue: str) -> str:
        return f"{self.prefix}.invalid.{queue}"

    def exchanges(self) -> tuple[Exchange, ...]:
        """List the exchanges, each after the one that catches what it cannot route."""
        catch = {"alternate-exchange": self.unrouted}
        return (
            Exchange(self.unrouted, "fanout"),
            Exchange(self.poison, "fanout"),
            Exchange(self.work, "direct", catch),
            Exchange(self.wait, "direct", catch),
            *((Exchange(self.control, "direct"),) if self.board else ()),
        )

    def notices(self) -> Queue:
        """Describe the stream that keeps what every daemon has to know."""
        binding = Binding(self.control, self.tombstones, self.tombstones)
        return Queue(self.tombstones, {"x-queue-type": "stream", **KEPT}, (binding,))

    def catch_all(self) -> tuple[Queue, ...]:
        """List the queues behind the two fanouts."""
        return tuple(
            Queue(name, _quorum(ENDLESS), (Binding(name, name),))
            for name in (self.unrouted, self.poison)
        )

    def work_queue(self, name: str) -> Queue:
        arguments = _quorum(DELIVERY_LIMIT) | {
            "x-dead-letter-exchange": self.poison,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
        return Queue(name, arguments, (Binding(self.work, name, name),))

    def aside(self, name: str) -> tuple[Queue, ...]:
        """List where the dead letters and the invalid messages of a work queue are kept."""
        return tuple(
            Queue(aside, _quorum(ENDLESS), (Binding(self.work, aside, aside),))
            for aside in (self.dead(name), self.invalid(name))
        )

    def slot(self, level: int, position: int) -> Queue:
        key = slot_key(level, position)
        name = f"{self.wait}.{key}"
        return Queue(name, _quorum(ENDLESS), (Binding(self.wait, name, key),))

    def level(self, level: int) -> tuple[Queue, ...]:
        """List the ring of a level; whoever sees the last one may trust in all of them."""
        return tuple(self.slot(level, position) for position in range(self.ring))

    def own_queues(self) -> Iterator[Queue]:
        """List every queue but the work queues and the slots."""
        yield from self.catch_all()
        if self.board:
            yield self.notices()
        for name in self.queues:
            yield from self.aside(name)

    def every_queue(self) -> Iterator[Queue]:
        yield from self.own_queues()
        yield from map(self.work_queue, self.queues)
        for level in range(self.levels):
            yield from self.level(level)


def slot_key(level: int, position: int) -> str:
    return f"{level}.{position}"


def _quorum(limit: int) -> dict[str, Argument]:
    return {"x-queue-type": "quorum", "x-delivery-limit": limit}


def definitions(prefix: str, queues: tuple[str, ...], vhost: str = "/") -> dict[str, object]:
    """Return RabbitMQ definitions of everything, for the administrator of a locked-down vhost.

    Import them, then run with ``topology = "verify"``. ``permissions`` is a hint: the patterns
    that the daemon's user then needs, under a user name to be replaced.
    """
    topology = Topology(prefix, queues, board=True)
    every = tuple(topology.every_queue())
    return {
        "exchanges": [
            {"name": each.name, "vhost": vhost, "type": each.kind, **_durable(each.arguments)}
            | {"internal": False}
            for each in topology.exchanges()
        ],
        "queues": [
            {"name": each.name, "vhost": vhost, **_durable(each.arguments)} for each in every
        ],
        "bindings": [
            {
                "source": each.exchange,
                "vhost": vhost,
                "destination": each.queue,
                "destination_type": "queue",
                "routing_key": each.key,
                "arguments": {},
            }
            for queue in every
            for each in queue.bindings
        ],
        "permissions": [{"user": "webhook-runner", "vhost": vhost, **_permissions(topology)}],
    }


def _durable(arguments: Mapping[str, Argument]) -> dict[str, object]:
    return {"durable": True, "auto_delete": False, "arguments": dict(arguments)}


def _permissions(topology: Topology) -> dict[str, str]:
    own = _literal(topology.prefix)
    work = "|".join(_literal(name) for name in topology.queues)
    return {
        "configure": f"^{own}\\.ctl\\..+$",
        "write": f"^{own}\\.(work|wait|unrouted|control|ctl\\..+)$",
        "read": f"^({own}\\..+|{work})$",
    }


def _literal(name: str) -> str:
    # Names are [A-Za-z0-9._-] by the settings' own pattern.
    return name.replace(".", "\\.")
