"""The others: how their workers are started, and the messages that their clients would publish."""

import json
from pathlib import Path

from bench.race.built import BIN, PLACE
from bench.race.contender import (
    IN_FLIGHT,
    PAYLOAD,
    QUEUE,
    Command,
    Contender,
    Ground,
    Message,
    identifier,
    plain,
    properties,
)

RIVALS = Path(__file__).resolve().parents[1] / "rivals"
VENV = PLACE / "venv/bin"
GO = "Go"
_DEAD_TO_TASKIQ = {
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": "taskiq.dead_letter",
}
_DEAD_TO_XQ = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": f"{QUEUE}.XQ"}


def _environment(ground: Ground, **more: str) -> dict[str, str]:
    return {
        "RACE_BROKER": ground.broker,
        "RACE_KIND": ground.kind,
        "PYTHONPATH": str(RIVALS),
        **more,
    }


def _celery(ground: Ground) -> Command:
    quiet = ("--loglevel", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat")
    worker = ("-A", "celery_worker", "worker", "--pool", "prefork", "--concurrency", "4")
    environment = _environment(ground, C_FORCE_ROOT="1")
    return Command((str(VENV / "celery"), *worker, *quiet), environment)


def _celery_message(url: str) -> Message:
    name = identifier()
    headers = {
        "lang": "py",
        "task": "call",
        "id": name,
        "root_id": name,
        "parent_id": None,
        "group": None,
        "retries": 0,
        "timelimit": [None, None],
        "eta": None,
        "expires": None,
        "origin": "bench",
    }
    nothing = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    body = json.dumps([[url, PAYLOAD], {}, nothing]).encode()
    return Message(
        body,
        properties(headers=headers, correlation_id=name, content_encoding="utf-8"),
    )


def _dramatiq(ground: Ground) -> Command:
    worker = ("--processes", "2", "--threads", "8", "dramatiq_worker")
    environment = _environment(ground, dramatiq_queue_prefetch="100")
    return Command((str(VENV / "dramatiq"), *worker), environment)


def _dramatiq_message(url: str) -> Message:
    message = {
        "queue_name": QUEUE,
        "actor_name": "call",
        "args": [url, PAYLOAD],
        "kwargs": {},
        "options": {},
        "message_id": identifier(),
        "message_timestamp": 1_700_000_000_000,
    }
    return Message(json.dumps(message).encode(), properties(priority=0))


def _taskiq(ground: Ground) -> Command:
    worker = ("worker", "--workers", "2", "--max-async-tasks", str(IN_FLIGHT))
    more = ("--max-prefetch", str(IN_FLIGHT), "--log-level", "WARNING", "taskiq_worker:broker")
    return Command((str(VENV / "taskiq"), *worker, *more), _environment(ground))


def _taskiq_message(url: str) -> Message:
    name = identifier()
    message = {
        "task_id": name,
        "task_name": "call",
        "labels": {},
        "labels_types": {},
        "args": [url, PAYLOAD],
        "kwargs": {},
    }
    headers = {"task_id": name, "task_name": "call"}
    return Message(json.dumps(message).encode(), properties(headers=headers, message_id=name))


def _faststream(ground: Ground) -> Command:
    run = ("run", "faststream_worker:app", "--workers", "2", "--log-level", "error")
    return Command((str(VENV / "faststream"), *run), _environment(ground))


def go(name: str, cpus: tuple[int, ...], tasks: int = 60_000) -> Contender:
    """Return the consumer that was written by hand, on these processors; empty: on all."""

    def command(ground: Ground) -> Command:
        where = ("-url", ground.broker, "-queue", QUEUE, "-concurrency", str(IN_FLIGHT))
        environment = {"GOMAXPROCS": str(len(cpus))} if cpus else {}
        return Command((str(BIN / "consumer"), *where), environment)

    return Contender(name, tasks, command, plain, cpus=cpus)


CELERY = Contender("celery", 8_000, _celery, _celery_message)
DRAMATIQ = Contender("dramatiq", 8_000, _dramatiq, _dramatiq_message, lambda _: _DEAD_TO_XQ)
TASKIQ = Contender("taskiq", 20_000, _taskiq, _taskiq_message, lambda _: _DEAD_TO_TASKIQ)
FASTSTREAM = Contender("faststream", 20_000, _faststream, plain)
PYTHON = (CELERY, DRAMATIQ, TASKIQ, FASTSTREAM)
