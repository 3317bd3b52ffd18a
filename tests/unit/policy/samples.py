"""Tasks, envelopes and answers that the tests of policy start from."""

import json
from typing import Any

from webhook_runner.policy.retry import decide
from webhook_runner.policy.verdict import Retry
from webhook_runner.settings import QueueSettings
from webhook_runner.task.model import Envelope, Kind, RollBack, Task
from webhook_runner.task.outcome import Outcome, Responded

NOW = 1_800_000_000.0
UNDO = RollBack("http://app.test/undo")


def task(**fields: Any) -> Task:
    url = "http://app.test/x"
    source = json.dumps({"url": url}).encode()
    known: dict[str, Any] = {"id": "t", "queue": "q", "url": url, "source": source}
    return Task(**(known | fields))


def envelope(*, of: Task | None = None, **progress: Any) -> Envelope:
    known: dict[str, Any] = {"first_at": NOW - 100, "due_at": NOW - 1}
    return Envelope(task=of or task(), **(known | progress))


def rollback_of(of: Task | None = None, **progress: Any) -> Envelope:
    return envelope(of=of or task(id="t~rb"), kind=Kind.ROLLBACK, origin="t", **progress)


def queue(**settings: Any) -> QueueSettings:
    return QueueSettings(**({"jitter": 0} | settings))


def answer(status: int = 500, /, **headers: str) -> Responded:
    return Responded(status, {name.replace("_", "-"): value for name, value in headers.items()})


def after(outcome: Outcome, settings: QueueSettings | None = None, **progress: Any) -> Any:
    return decide(envelope(**progress), outcome, settings or queue(), NOW, 0.0)


def delay_after(outcome: Outcome, settings: QueueSettings | None = None, u: float = 0.0) -> float:
    verdict = decide(envelope(), outcome, settings or queue(), NOW, u)
    assert isinstance(verdict, Retry)
    assert verdict.next.due_at == NOW + verdict.delay
    return verdict.delay
