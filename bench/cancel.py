"""Is what is called cancelled never called? Many tasks cancelled while several daemons carry them.

``python -m bench.cancel --tasks 10000 --daemons 3 --store postgresql``: exit code 1 when an answer
was not true.
"""

import argparse
import json
import random
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.parts.broker import HOW_TO_GET_ONE, obtain_broker
from tests.parts.daemon import Daemon
from tests.parts.ports import free_port
from tests.parts.postgresql import HOW_TO_GET_ONE as HOW_TO_GET_A_DATABASE
from tests.parts.postgresql import obtain_server, own_schema
from tests.parts.receiver import Answer, Receiver

SEED = 10
BATCH = 500
HANDED_IN = 50  # the first ones wait for the queues that hold delayed tasks to be declared
CALLERS = 4
DELAY_SECONDS = 45.0
ACQUAINTED_SECONDS = 7.0
_COME_AGAIN = 503
_CONFIG = """
server = "{broker}"
base_url = "{receiver}"
[api]
listen = "127.0.0.1:{port}"
[store]
url = "{store}"
[log]
level = "info"
format = "json"
[queues.hanging]
concurrency = 50
timeout = 600
[queues.busy]
concurrency = 20
rate = "20/s"
"""
KINDS: dict[str, dict[str, object]] = {
    "delayed": {"queue": "busy", "url": "/delayed", "countdown": DELAY_SECONDS},
    "hanging": {"queue": "hanging", "url": "/hanging"},
    "busy": {"queue": "busy", "url": "/busy"},
}


@dataclass(frozen=True, slots=True)
class Told:
    """What was answered of a task, and when the answer was there (monotonic seconds)."""

    word: str
    at: float


def main() -> int:
    """Run as a command. Returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--daemons", type=int, default=3)
    parser.add_argument("--store", choices=("postgresql", "none"), default="postgresql")
    options = parser.parse_args()
    with Receiver() as receiver, _places(options.store) as (broker, store):
        receiver.script("/hanging", [Answer(hang=True)])
        receiver.script("/busy", [Answer(delay=0.03)])
        ports = [free_port() for _ in range(options.daemons)]
        with _daemons(broker, receiver.url, store, ports):
            time.sleep(ACQUAINTED_SECONDS)
            names = _publish(ports[0], options.tasks)
            due = time.monotonic() + DELAY_SECONDS
            began = time.monotonic()
            told = _cancel_all(ports, names)
            seconds = time.monotonic() - began
            before = len(receiver.requests)
            print(f"{len(told)} answers in {seconds:.1f} s, {before} requests by then", flush=True)
            _let_surface(receiver, due)
            ended = _states(ports[0], names) if options.store != "none" else {}
            return _verdict(told, receiver, ended)


@contextmanager
def _places(store: str) -> Iterator[tuple[str, str]]:
    """Start a broker, and a database if one is wanted; name their addresses."""
    with ExitStack() as stack:
        broker = obtain_broker()
        if broker is None:
            raise SystemExit(HOW_TO_GET_ONE)
        stack.callback(broker.close)
        if store == "none":
            yield broker.url, store
            return
        server = obtain_server()
        if server is None:
            raise SystemExit(HOW_TO_GET_A_DATABASE)
        stack.callback(server.close)
        yield broker.url, stack.enter_context(own_schema(server.url))


@contextmanager
def _daemons(broker: str, receiver: str, store: str, ports: Sequence[int]) -> Iterator[None]:
    with ExitStack() as stack:
        for port in ports:
            text = _CONFIG.format(broker=broker, receiver=receiver, store=store, port=port)
            stack.enter_context(Daemon(text)).ready(60.0)
        yield


def _ask(port: int, path: str, body: object = None) -> object:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers)
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own
                found: object = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            print(f"{path}: {error.code} {error.read()[:200]!r}", flush=True)
            if error.code != _COME_AGAIN:
                raise
            time.sleep(1)


def _publish(port: int, tasks: int) -> list[str]:
    """Hand tasks in, a third of each kind; return their ids in any order."""
    kinds = list(KINDS)
    wanted = [(f"t{number}", kinds[number % len(kinds)]) for number in range(tasks)]
    # What is over soonest comes last, so that much of it is under way when it is cancelled.
    wanted.sort(key=lambda each: kinds.index(each[1]))
    for start in range(0, tasks, HANDED_IN):
        part = wanted[start : start + HANDED_IN]
        _ask(port, "/v1/tasks", [{"id": n, **KINDS[k]} for n, k in part])
    names = [name for name, _ in wanted]
    random.Random(SEED).shuffle(names)
    return names


def _cancel_all(ports: Sequence[int], names: Sequence[str]) -> dict[str, Told]:
    told: dict[str, Told] = {}

    def cancel(number: int) -> None:
        batch = names[number * BATCH : (number + 1) * BATCH]
        answer = _ask(ports[number % len(ports)], "/v1/tasks/cancel", {"ids": batch})
        at = time.monotonic()
        for each in answer["results"]:  # type: ignore[index]
            told[each["id"]] = Told(each.get("state") or _conflict(each["problem"]), at)

    with ThreadPoolExecutor(CALLERS) as callers:
        list(callers.map(cancel, range((len(names) + BATCH - 1) // BATCH)))
    return told


def _conflict(problem: dict[str, object]) -> str:
    """Return the last word of what a problem says: succeeded, as a rule."""
    words = str(problem.get("detail") or problem.get("title")).removesuffix(" meanwhile")
    return words.rpartition(" ")[2]


def _let_surface(receiver: Receiver, due: float) -> None:
    """Wait until the delayed tasks have been due for a while, and nothing arrives any more."""
    time.sleep(max(due + 5 - time.monotonic(), 0))
    seen = -1
    while seen != len(receiver.requests):
        seen = len(receiver.requests)
        time.sleep(5)


def _states(port: int, names: Sequence[str]) -> dict[str, str]:
    """Ask what the store says in the end."""

    def state(name: str) -> tuple[str, str]:
        return name, str(_ask(port, f"/v1/tasks/{name}")["state"])  # type: ignore[index]

    with ThreadPoolExecutor(CALLERS) as callers:
        return dict(callers.map(state, names))


def _verdict(told: dict[str, Told], receiver: Receiver, ended: dict[str, str]) -> int:
    """Print what was answered and what was not true; 0 when everything was."""
    arrived: dict[str, list[float]] = {}
    for request in receiver.requests:
        name = request.header("Idempotency-Key") or ""
        arrived.setdefault(name, []).append(request.arrived_monotonic)
    words = Counter(each.word for each in told.values())
    late = Counter(
        each.word for name, each in told.items() if max(arrived.get(name, [0.0])) > each.at
    )
    false_ends = [
        f"{name}: told {each.word}, is {ended[name]}"
        for name, each in told.items()
        if name in ended and each.word != "cancel_requested" and each.word != ended[name]
    ]
    unsent = [n for n, each in told.items() if each.word == "succeeded" and n not in arrived]
    repeated = sum(len(each) > 1 for each in arrived.values())
    count = len(receiver.requests)
    print(f"answers: {dict(words)}; requests: {count}, of one task twice: {repeated}")
    print(f"requests after the answer, by the answer: {dict(late)}; cut: {len(receiver.aborted)}")
    states = dict(Counter(ended.values()))
    print(f"in the end: {states}; not as told: {len(false_ends)} {false_ends[:3]}")
    good = not (late["cancelled"] or late["succeeded"] or false_ends or unsent)
    print("PASS: every answer was true" if good else "FAIL: an answer was not true")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
