"""One of each event, made from the union itself, with canaries where secrets could hide."""

import json
from typing import get_args

from msgspec.structs import replace

from webhook_runner.task.event import (
    AttemptFinished,
    AttemptStarted,
    BreakerClosed,
    BreakerOpened,
    BrokerBlocked,
    BrokerConnected,
    BrokerLost,
    BrokerUnblocked,
    ConfigRefused,
    ConfigReloaded,
    ConsumingChanged,
    DaemonDraining,
    DaemonOnDefaults,
    DaemonReady,
    DaemonStarted,
    DaemonStopped,
    Event,
    QueueChanged,
    RetryScheduled,
    StoreFailed,
    StoreMended,
    TaskAccepted,
    TaskCancelled,
    TaskDropped,
    TaskFailed,
    TaskForwarded,
    TaskReceived,
    TaskRefused,
    TaskRejected,
    TaskReleased,
    TaskScheduled,
    TaskSucceeded,
    Warned,
)
from webhook_runner.task.model import Envelope, Failure, Kind, RollBack, Task
from webhook_runner.task.outcome import Responded, TimedOut, Trouble, Unreachable
from webhook_runner.task.worker_event import WorkerEnded, WorkerStarted

CANARY = "canary-7f3a"
SECRET = 'Kanari"en\\vogel €'
URL = f"https://me:{CANARY}-userinfo@host.example/path?token={CANARY}-query&{CANARY}-bare"
PAYLOAD = json.dumps({"card": f"{CANARY}-payload"}).encode()

TASK = Task(
    id="task-1",
    queue="default",
    url=URL,
    source=PAYLOAD,
    payload=PAYLOAD,
    body=PAYLOAD,
    headers={"Authorization": f"Bearer {CANARY}-header"},
    roll_back=RollBack(URL, headers={"X-Key": f"{CANARY}-undo"}),
    metadata=json.dumps({"order": 7, "note": f"see {URL}"}).encode(),
)
ENVELOPE = Envelope(
    TASK,
    first_at=1_700_000_000.0,
    due_at=1_700_000_010.5,
    attempt=2,
    last_status=503,
    last_error=f"bad header 'Bearer {CANARY}-header' for {URL}",
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)
ROLLBACK = Envelope(TASK, 1_700_000_000.0, 1_700_000_010.5, kind=Kind.ROLLBACK)
FAILURE = Failure("retries_exhausted", 3, last_status=503, last_error=f"reset by {URL}")
UNREACHABLE = Unreachable(Trouble.RESET, f"header 'Bearer {CANARY}-header' at {URL} with {SECRET}")
TEXT = f"cannot use {URL}\nsecond line with {SECRET}"

ONE_OF_EACH: tuple[Event, ...] = (
    TaskAccepted(ENVELOPE),
    TaskRefused("default", "bad_url", TEXT, "url"),
    TaskReceived(ENVELOPE),
    TaskReceived(replace(ENVELOPE, turn=3)),
    TaskRejected("default", "not_json", TEXT, "url", "task-1"),
    TaskForwarded(ENVELOPE, "routed"),
    TaskScheduled(ENVELOPE, 1_700_000_020.0, "not_due"),
    AttemptStarted(ENVELOPE, 0.012),
    AttemptFinished(ENVELOPE, UNREACHABLE, 0.25),
    AttemptFinished(ENVELOPE, TimedOut(60.0), 60.0),
    AttemptFinished(ENVELOPE, Responded(200, {"set-cookie": CANARY}, CANARY.encode()), 0.1),
    RetryScheduled(ENVELOPE, 10.0, "status"),
    TaskSucceeded(ENVELOPE),
    TaskSucceeded(ROLLBACK),
    TaskFailed(ENVELOPE, FAILURE, expired=False, rolled_back=True),
    TaskFailed(ENVELOPE, FAILURE, expired=True, rolled_back=False),
    TaskFailed(ROLLBACK, FAILURE, expired=False, rolled_back=False),
    TaskDropped(ENVELOPE, "duplicate"),
    TaskReleased(ENVELOPE),
    TaskCancelled(ENVELOPE, rolled_back=True),
    StoreFailed(TEXT, waits=True),
    StoreMended(3),
    QueueChanged("default", paused=True, limits=("concurrency: 5",)),
    BreakerOpened("host.example:443", "failures", 1_700_000_050.0, 24, 20),
    BreakerOpened("host.example:443", "request", None, 0, 0),
    BreakerClosed("host.example:443", forced=True),
    BrokerConnected("host:5672", "3.10.8"),
    BrokerLost(TEXT, 1.5),
    BrokerBlocked("low on memory"),
    BrokerUnblocked(),
    ConsumingChanged("default", consuming=True),
    ConsumingChanged("default", consuming=False, why="connection lost"),
    Warned("field colour", TEXT),
    ConfigReloaded((f"base_url: {URL}",), ("server",)),
    ConfigRefused((TEXT,)),
    DaemonStarted(
        "1.0", "/t.ini", f"amqp://me:{CANARY}@h/", f"postgres://me:{CANARY}@h/d", "", ("default",)
    ),
    DaemonOnDefaults("/var/lib/queue.db", "http://h:1/v1/tasks", "curl ...", "config example"),
    WorkerStarted(1, 4711),
    WorkerEnded(1, 4711, "signal 9 (SIGKILL)", 1.0),
    DaemonReady(),
    DaemonDraining(3, 30.0),
    DaemonStopped(0),
)


def kinds() -> frozenset[type]:
    return frozenset(get_args(Event))
