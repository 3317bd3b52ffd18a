"""What do bad messages cost the good ones? One core, with and without 10 % of them, in turn.

``python -m bench.bad_input``: exit code 0 when good tasks lose less than 5 % of their rate.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from itertools import cycle
from pathlib import Path
from statistics import median

import pika

from bench.filling import QUEUE, body, fill
from bench.ground import config_for
from bench.rate import DAEMONS_CPU, OTHERS_CPU, WARM_UP, Pace, reached, until
from bench.received import Receiving
from bench.served import Served
from tests.parts.broker import HOW_TO_GET_ONE
from tests.parts.corpus import cases
from tests.parts.installation import Installation
from tests.parts.node import RabbitNode
from tests.parts.scene import add_vhost
from webhook_runner.broker.sqlite.batch import Entry

MOST_LOST = 0.05
ONE_IN = 10
BROKERS = ("embedded", "rabbitmq")
_LARGEST_BAD = 4096
Found = dict[tuple[str, bool], list[Pace]]


def messages(good: int, *, mixed: bool) -> Iterator[bytes]:
    """Yield so many good messages; when ``mixed``, so that every tenth of all is a bad one."""
    bad = cycle(
        case.body
        for case in cases()
        if not case.is_good and not case.rules and len(case.body) <= _LARGEST_BAD
    )
    for number in range(good):
        yield body(number)
        if mixed and number % (ONE_IN - 1) == 0:
            yield next(bad)


def embedded(directory: Path, good: int, *, mixed: bool) -> Pace:
    """Carry out what the queue file holds already."""
    fill(directory / "queue.db", (Entry(QUEUE, "{}", each) for each in messages(good, mixed=mixed)))
    return _carry(directory, f"embedded:{directory}/queue.db", good)


def rabbitmq(directory: Path, good: int, node: RabbitNode, *, mixed: bool) -> Pace:
    """Carry out what a work queue holds already, which a daemon has declared before."""
    url = node.vhost_url(add_vhost(node, directory.name))
    with Served(directory, config_for(url, "http://127.0.0.1:1")) as declaring:
        declaring.start()
        declaring.ready()
        declaring.terminate()
    with closing(pika.BlockingConnection(pika.URLParameters(url))) as connection:
        channel = connection.channel()
        properties = pika.BasicProperties(delivery_mode=2)  # type: ignore[no-untyped-call]
        for each in messages(good, mixed=mixed):
            channel.basic_publish("", QUEUE, each, properties)
    return _carry(directory, url, good)


def _carry(directory: Path, server: str, good: int) -> Pace:
    with Receiving(directory, cpus=(OTHERS_CPU,)) as receiver:
        config = config_for(server, receiver.url)
        with Served(directory, config, cpus=(DAEMONS_CPU,)) as daemon:
            daemon.start()
            began = reached(receiver, daemon, int(good * WARM_UP))
            return until(receiver, daemon, began, good)


def measure(
    directory: Path, ways: Mapping[str, Callable[..., Pace]], good: int, runs: int
) -> Found:
    """Measure all in turn, so that what disturbs one run does not disturb one way only."""
    found: Found = {}
    for number in range(runs):
        for broker, carry in ways.items():
            # The order changes, so that neither is always the one that comes second.
            for mixed in (False, True) if number % 2 else (True, False):
                place = directory / f"{broker}-{number}-{'mixed' if mixed else 'good'}"
                place.mkdir()
                pace = carry(place, good, mixed=mixed)
                found.setdefault((broker, mixed), []).append(pace)
                said = "with" if mixed else "without"
                print(f"{broker}, {said}: {pace.per_second:.0f} good/s", file=sys.stderr)
    return found


def told(found: Found, *, as_json: bool) -> bool:
    """Print medians and what is lost; whether it is little enough for every broker."""
    figures = {}
    for broker in dict.fromkeys(broker for broker, _ in found):
        without, beside = (
            median(pace.per_second for pace in found[broker, mixed]) for mixed in (False, True)
        )
        cpu = [median(p.cpu_us for p in found[broker, mixed]) for mixed in (False, True)]
        lost = 1 - beside / without
        figures[broker] = {
            "without_per_second": round(without),
            "with_per_second": round(beside),
            "lost": round(lost, 4),
            "cpu_us_without": round(cpu[0]),
            "cpu_us_with": round(cpu[1]),
            "holds": lost < MOST_LOST,
        }
        if not as_json:
            print(
                f"{broker:<10} {without:>6.0f} good/s without, {beside:>6.0f} with 10 % bad"
                f"   {cpu[0]:.0f} and {cpu[1]:.0f} us of CPU for each good one"
                f"   loss {lost:>6.1%} {'holds' if lost < MOST_LOST else 'MISSED'}"
            )
    if as_json:
        print(json.dumps(figures))
    return all(figure["holds"] for figure in figures.values())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.bad_input", description=__doc__)
    parser.add_argument("--tasks", type=int, default=20_000, help="good ones of each run")
    parser.add_argument("--runs", type=int, default=5, help="of each way")
    parser.add_argument("--broker", choices=BROKERS, help="one alone")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    chosen = parser.parse_args()
    os.sched_setaffinity(0, {OTHERS_CPU})
    ways: dict[str, Callable[..., Pace]] = {}
    if chosen.broker != "rabbitmq":
        ways["embedded"] = embedded
    node: RabbitNode | None = None
    if chosen.broker != "embedded":
        if Installation.find() is None:
            raise SystemExit(HOW_TO_GET_ONE)
        node = RabbitNode.start()
        ways["rabbitmq"] = lambda place, good, mixed: rabbitmq(place, good, node, mixed=mixed)
    try:
        with tempfile.TemporaryDirectory(prefix="wr-bad-") as name:
            found = measure(Path(name), ways, chosen.tasks, chosen.runs)
    finally:
        if node is not None:
            node.close()
    return 0 if told(found, as_json=chosen.json) else 1


if __name__ == "__main__":
    sys.exit(main())
