"""What the contract tests of dispatchers share: engines, requests, names that resolve as told."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from webhook_runner.dispatch.failure import AttemptError
from webhook_runner.dispatch.http import HttpDispatcher
from webhook_runner.task.model import Envelope, Task
from webhook_runner.task.outcome import Trouble
from webhook_runner.task.request import Request

ENGINES: dict[str, Callable[..., HttpDispatcher]] = {
    "lean": partial(HttpDispatcher, client="lean"),
    "httpx2": partial(HttpDispatcher, client="httpx2"),
}
ENVELOPE = Envelope(Task(id="t1", queue="q", url="/", source=b"{}"), first_at=1.6e9, due_at=1.6e9)


def post(url: str, **changes: object) -> Request:
    given: dict[str, object] = {"body": b'{"a": 1}', "timeout": 5.0, "connect_timeout": 2.0}
    return Request("POST", url, **{**given, **changes})  # type: ignore[arg-type]  # test rows


@dataclass(eq=False)
class TableResolver:
    """Resolves from a table; where a name has several answers, one after the other."""

    table: Mapping[str, Iterable[tuple[str, ...]]]
    asked: list[str] = field(default_factory=list)

    async def resolve(self, host: str) -> tuple[str, ...]:
        answers = list(self.table.get(host, [(host,)]))
        turn = self.asked.count(host)
        self.asked.append(host)
        if not answers:
            raise AttemptError(Trouble.DNS, f"{host}: Name or service not known")
        return answers[min(turn, len(answers) - 1)]
