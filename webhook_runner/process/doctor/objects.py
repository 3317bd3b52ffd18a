"""The exchanges and queues in RabbitMQ: what is missing, differs, or lies where it should not."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from webhook_runner.broker.amqp.probe import Probe, Standing
from webhook_runner.broker.amqp.topology import Topology
from webhook_runner.process.doctor.check import Check, note, ok, problem, warning
from webhook_runner.settings import Settings

_IMPORT = (
    "`webhook-runner topology --output json > d.json && rabbitmqctl import_definitions d.json`"
)
_SHOWN = 3


@dataclass(slots=True)
class Found:
    """What is there, by name.

    Attributes:
        rings: how many slots of each level there are.
        waiting: messages in all slots.
        forbidden: rights that are wanting, in words.

    """

    queues: dict[str, Standing] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    rings: dict[int, int] = field(default_factory=dict)
    waiting: int = 0
    forbidden: list[str] = field(default_factory=list)


async def check_objects(probe: Probe, settings: Settings) -> list[Check]:
    """Look at every object of ours. Raises LostError."""
    topology = Topology(settings.broker.prefix, tuple(settings.queues), board=True)
    found = await _look(probe, topology)
    await _try_to_configure(probe, topology, found, makes_all=settings.broker.topology == "declare")
    await _try_to_use(probe, topology, found)
    return list(judge_objects(found, topology, settings.broker.topology))


async def _look(probe: Probe, topology: Topology) -> Found:
    found = Found()
    for exchange in topology.exchanges():
        if not await probe.has_exchange(exchange.name):
            found.missing.append(exchange.name)
    for queue in (*map(topology.work_queue, topology.queues), *topology.own_queues()):
        seen = await probe.standing(queue)
        if seen is None:
            found.missing.append(queue.name)
        else:
            found.queues[queue.name] = seen
    for level in range(topology.levels):
        counts = [await probe.count(slot.name) for slot in topology.level(level)]
        found.rings[level] = sum(count is not None for count in counts)
        found.waiting += sum(count or 0 for count in counts)
    return found


async def _try_to_configure(
    probe: Probe, topology: Topology, found: Found, *, makes_all: bool
) -> None:
    """Each connection of a daemon has a queue of its own; else it makes only what is missing."""
    names = [f"{topology.prefix}.ctl.doctor"]
    if makes_all:
        names.append(topology.slot(0, 0).name)
        names += (name for name in topology.queues if name in found.missing)
    for name in names:
        if not await probe.may_configure(name):
            found.forbidden.append(f"configure {name}")


async def _try_to_use(probe: Probe, topology: Topology, found: Found) -> None:
    catch = (topology.poison, topology.unrouted, topology.tombstones)
    read = (*topology.queues, topology.slot(0, 0).name, *catch)
    aside = [topology.dead(name) for name in topology.queues]
    found.forbidden += [
        f"read {name}" for name in (*read, *aside) if not await probe.may_read(name)
    ]
    for exchange in (topology.work, topology.wait, topology.control):
        if not await probe.may_write(exchange):
            found.forbidden.append(f"write to {exchange}")


def judge_objects(found: Found, topology: Topology, mode: str) -> Iterator[Check]:
    """Say what to do about what was found; ``mode`` is ``[broker] topology``."""
    yield _rights(found.forbidden)
    if found.missing:
        yield _missing(found.missing, mode)
    for name in topology.queues:
        if name in found.queues:
            yield from _work_queue(name, found.queues[name])
    yield from _own_queues(found.queues, topology)
    yield from _rings(found, topology, mode)


def _rights(forbidden: Sequence[str]) -> Check:
    if not forbidden:
        return ok("rights", "the user may do what the daemon does, as far as that can be tried")
    text = f"the user may not {', '.join(forbidden[:_SHOWN])}{_more(forbidden)}"
    return problem("rights", text, "`webhook-runner topology` prints the patterns to grant")


def _missing(names: Sequence[str], mode: str) -> Check:
    text = f"missing: {', '.join(names[:_SHOWN])}{_more(names)}"
    if mode == "declare":
        return note("objects", f"{text}; the daemon makes them at its start")
    return problem("objects", text, _IMPORT)


def _more(names: Sequence[str]) -> str:
    return f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""


def _work_queue(name: str, seen: Standing) -> Iterator[Check]:
    area = f"queue {name}"
    text = f"{seen.ready} messages ready, {seen.consumers} consumers"
    if seen.differs:
        remedy = "live with it, or let it run empty, delete it, and the daemon makes it anew"
        yield warning(area, f"{text}; used as it is: {seen.differs}", remedy)
    elif seen.ready and not seen.consumers:
        yield warning(area, f"{text}: nobody takes them", "start the daemon, or resume the queue")
    else:
        yield ok(area, text)
    if not seen.compared:
        yield note(area, "its arguments could not be compared: that takes the right to configure")


def _own_queues(queues: Mapping[str, Standing], topology: Topology) -> Iterator[Check]:
    for name, seen in queues.items():
        if seen.differs and name not in topology.queues:
            yield warning(
                "objects", f"{name}: {seen.differs}", "what it keeps may be dropped: see who set it"
            )
    if stray := _ready(queues, topology.unrouted):
        yield warning(
            "objects",
            f"{stray} messages found no queue and lie in {topology.unrouted}",
            "configure their queues, or name the right ones: they are sent on within a minute",
        )
    if alone := _ready(queues, topology.poison):
        yield note("objects", f"{alone} messages ended their daemon too often, and will run alone")
    for name in topology.queues:
        dead, invalid = (_ready(queues, each.name) for each in topology.aside(name))
        if dead or invalid:
            text = f"{dead} dead and {invalid} invalid messages are kept"
            remedy = f"`webhook-runner dead list {name}`, `webhook-runner invalid list {name}`"
            yield note(f"queue {name}", text, remedy)


def _ready(queues: Mapping[str, Standing], name: str) -> int:
    return queues[name].ready if name in queues else 0


def _rings(found: Found, topology: Topology, mode: str) -> Iterator[Check]:
    whole = True
    for level, there in found.rings.items():
        wanted = topology.ring if mode != "declare" else there and topology.ring
        if there != wanted:
            whole = False
            text = f"{topology.wait}.{level}.*: {there} of {topology.ring} waiting queues are there"
            yield problem("delays", f"{text}; a task that is due in a missing one is late", _IMPORT)
    if whole:
        yield ok("delays", f"{found.waiting} tasks wait for their time")
