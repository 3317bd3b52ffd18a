"""A daemon without descriptors, memory or processor, or whose loop stands still: it goes on."""

import http.client
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.parts.daemon import Daemon
from tests.parts.embedded_stage import EmbeddedStage, NotAcceptedError
from tests.parts.patient import LEAVE, QUEUE, Patient
from tests.parts.ports import free_port
from tests.parts.rabbit_stage import RabbitStage
from tests.parts.receiver import Answer
from tests.parts.scene import by_id, eventually
from tests.parts.stage import QUICK, Stage, wait_for_events

pytestmark = pytest.mark.system

TASKS = 60
FEW = 12
"""So many descriptors more than it holds when it is idle."""
LITTLE = 24_000_000
"""So many bytes of addresses more than it has when it is idle."""
SPIN = "while True: pass"


@contextmanager
def limited(daemon: Daemon, kind: int, most: int) -> Iterator[None]:
    """Limit a resource of a running process for a while."""
    before = resource.prlimit(daemon.pid, kind)
    resource.prlimit(daemon.pid, kind, (most, before[1]))
    try:
        yield
    finally:
        if daemon.returncode is None:
            resource.prlimit(daemon.pid, kind, before)


def served(stage: Stage, queue: str, top: str = "") -> Patient:
    """Start a daemon that can be asked how it is."""
    port = stage.port if isinstance(stage, EmbeddedStage) else free_port()
    daemon = stage.daemon({QUEUE: queue}, top=f'{top}[api]\nlisten = "127.0.0.1:{port}"\n')
    return Patient.admit(stage, daemon, port)


def test_p1_without_descriptors_it_tries_again_later_and_keeps_its_broker(
    either_stage: Stage,
) -> None:
    queue = f"concurrency = {TASKS}\nmin_backoff_seconds = 0.5\nmax_doublings = 0"
    patient = served(either_stage, queue)
    daemon, receiver = patient.daemon, patient.stage.receiver
    receiver.script("/held", [Answer(hang=True, headers=LEAVE)])
    names = [f"t{number}" for number in range(TASKS)]
    patient.publish(*({"url": "/held", "id": name, "countdown": 2} for name in names))
    wait_for_events(daemon, TASKS, "task.scheduled")
    with limited(daemon, resource.RLIMIT_NOFILE, patient.before.descriptors + FEW):
        wait_for_events(daemon, TASKS, "task.retry.scheduled", error="resource", timeout=20)
        assert 0 < len(receiver.received("/held")) <= 2 * FEW
    receiver.release()
    receiver.wait_for(TASKS, "/held", timeout=30)
    patient.stage.comes_to_rest()
    assert {name: len(all_) for name, all_ in by_id(receiver.received("/held")).items()} == (
        dict.fromkeys(names, 1)
    )
    assert "broker.lost" not in [each["event"] for each in daemon.events]
    patient.recovers()


def test_p2_without_memory_nothing_that_was_accepted_is_lost(stage: EmbeddedStage) -> None:
    patient = served(stage, f"{QUICK}\nconcurrency = 50")
    daemon, receiver = patient.daemon, stage.receiver
    status = f"/proc/{daemon.pid}/statm"
    with open(status) as file:  # noqa: PTH123 - a file of the kernel
        addresses = int(file.read().split()[0]) * resource.getpagesize()
    accepted, refused = [], 0
    with limited(daemon, resource.RLIMIT_AS, addresses + LITTLE):
        for number in range(TASKS):
            name = f"large-{number}"
            try:
                patient.publish({"url": "/large", "id": name, "payload": "x" * 900_000})
            except (OSError, NotAcceptedError, http.client.HTTPException):
                refused += 1
            else:
                accepted.append(name)
    assert refused
    if daemon.returncode is not None:
        mark = daemon.mark()
        daemon.restart()
        daemon.ready(after=mark)
    patient.publish({"url": "/large", "id": "last", "payload": "x" * 900_000})
    eventually(lambda: {*accepted, "last"} <= by_id(receiver.requests).keys(), 30)
    stage.comes_to_rest()


@pytest.mark.rabbitmq
def test_p5_p6_a_loop_that_stands_still_or_starves_is_not_taken_for_dead(
    rabbit_stage: RabbitStage,
) -> None:
    queue = f'{QUICK}\nextensions = ["tests.parts.extension:stand_still"]'
    patient = served(rabbit_stage, queue, "[broker]\nheartbeat = 4\n")
    daemon, receiver = patient.daemon, rabbit_stage.receiver
    patient.publish({"url": "/held-up", "metadata": 2.5}, {"url": "/next"})
    receiver.wait_for(1, "/held-up", timeout=20)
    receiver.wait_for(1, "/next")
    with starving(daemon.pid):
        patient.publish(*({"url": "/starved", "countdown": number % 6} for number in range(30)))
        receiver.wait_for(30, "/starved", timeout=60)
    rabbit_stage.comes_to_rest()
    assert {each.path: len(receiver.received(each.path)) for each in receiver.requests} == {
        "/warm": 31,
        "/held-up": 1,
        "/next": 1,
        "/starved": 30,
    }
    assert "broker.lost" not in [each["event"] for each in daemon.events]
    patient.recovers()


@contextmanager
def starving(pid: int) -> Iterator[None]:
    """Let a process share one processor with others that never rest and are preferred to it."""
    (first, *_) = os.sched_getaffinity(0)
    before = os.sched_getaffinity(pid)
    with ExitStack() as stack:
        for _ in range(2):
            spinner = subprocess.Popen([sys.executable, "-c", SPIN])
            stack.callback(spinner.wait)
            stack.callback(spinner.kill)
            os.sched_setaffinity(spinner.pid, {first})
        os.sched_setaffinity(pid, {first})
        os.setpriority(os.PRIO_PROCESS, pid, 10)
        yield
        os.setpriority(os.PRIO_PROCESS, pid, 0)
        os.sched_setaffinity(pid, before)
