"""What may be published and answered, and how queues may be set: strategies and their values."""

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.model.endpoint import Step
from tests.model.life import Plan
from webhook_runner.settings import QueueSettings
from webhook_runner.task.outcome import Outcome, Refused, Responded, TimedOut, Trouble, Unreachable

HANG = Step(None)
RATES = ("unlimited", 5.0, 0.1, 1 / 90)
CONCURRENCIES = (1, 2, 5)

OUTCOMES: tuple[Outcome, ...] = (
    Responded(200),
    Responded(204),
    Responded(500),
    Responded(404),
    Responded(302),
    Responded(429, {"retry-after": "7"}),
    Responded(503, {"retry-after": "2.5"}),
    Responded(503, {"webhook-runner-retry": "snooze=3"}),
    Responded(500, {"webhook-runner-retry": "after=2"}),
    Responded(500, {"webhook-runner-retry": "never"}),
    TimedOut(1.0),
    Unreachable(Trouble.RESET, sent=True),
    Unreachable(Trouble.CONNECT),
    Refused("egress"),
)

# Bytes that a task cannot be made of, whoever reads them.
BAD = (
    b"",
    b"\x00",
    b"{",
    b"[]",
    b"null",
    b'{"url": "/x"} {}',
    b'{"url": "/x", "url": "/y"}',
    b'{"countdown": 1}',
    b'{"url": "ftp://h/x"}',
    b'{"url": "/x", "countdown": "1"}',
    b'{"url": "/x", "countdown": -1}',
    b'{"url": "/x", "max_retries": 1.5}',
    b'{"url": "/x", "queue": "nowhere"}',
    b'{"url": "/x", "eta": 60}',
    b'{"url": "/x", "payload": NaN}',
    b'{"url": "/x", "roll_back": []}',
    b"\xff\xfe{}",
    b'{"url": "/x", "payload": ' + b"[" * 70 + b"]" * 70 + b"}",
)

PAYLOADS = (
    b"null",
    b'"as it is"',
    b'{"n": 1.50e+2, "b":[1,  2], "a":"\\u00e9"}',
    b"9007199254740993",
)


@dataclass(frozen=True)
class Wish:
    """A task as somebody wants it; times are seconds from now."""

    way: str = "broker"
    to: str = "a"
    named: str = "new"
    countdown: float | None = None
    eta: float | None = None
    expires: float | None = None
    retries: int | None = None
    undo: bool = False
    queue: str | None = None
    dedup: bool = False
    payload: bytes = b"null"
    answers: tuple[Step, ...] = ()
    undo_answers: tuple[Step, ...] = ()


answered = st.builds(Step, st.sampled_from(OUTCOMES), st.sampled_from([0.0, 0.0, 0.02, 3.0]))
scripts = st.lists(answered | answered | st.just(HANG), max_size=5).map(tuple)
wished = st.builds(
    Wish,
    way=st.sampled_from(["broker", "api"]),
    to=st.sampled_from("ab"),
    named=st.sampled_from(["new", "new", "", "old"]),
    countdown=st.sampled_from([None, None, None, 0, 0.5, 1.25, 1.3, 40]),
    eta=st.sampled_from([None, None, None, None, None, -5, 0.7, 20]),
    expires=st.sampled_from([None, None, None, None, None, 0.6, 3, 45]),
    retries=st.sampled_from([None, None, 1, 4, 0, -1]),
    undo=st.booleans(),
    queue=st.sampled_from([None, None, "a", "b"]),
    dedup=st.sampled_from([False, False, False, True]),
    payload=st.sampled_from(PAYLOADS),
    answers=scripts,
    undo_answers=scripts,
)


def queues(rate: float | str, concurrency: int, deaths: int) -> dict[str, QueueSettings]:
    """Two queues that differ in what they do about failures."""
    common: dict[str, Any] = {
        "concurrency": concurrency,
        "max_backoff_seconds": 8,
        "max_snoozes": 2,
        "rollback_retry_limit": 2,
    }
    other: dict[str, Any] = {
        "rate": rate,
        "jitter": 0.5,
        "max_redeliveries": deaths,
        "cancel_running": "finish",
        "rollback_on": ("failed", "expired", "cancelled"),
        "rollback_body": "payload",
    }
    a = QueueSettings(**common, jitter=0, retry_limit=3, max_redeliveries=40)
    return {"a": a, "b": QueueSettings(**common, **other)}


plans = st.builds(
    Plan,
    store=st.sampled_from(["strict", "none", "degraded"]),
    counts=st.booleans(),
    u=st.sampled_from([0.0, 0.5, 0.999]),
    turns=st.sampled_from([0, 2]),
    queues=st.builds(
        queues, st.sampled_from(RATES), st.sampled_from(CONCURRENCIES), st.sampled_from([2, 40])
    ),
    max_total=st.sampled_from([1000, 2]),
)
