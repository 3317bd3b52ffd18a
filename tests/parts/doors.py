"""Every way by which a message can come to a daemon, and what became of each case of the corpus."""

import http.client
import json
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.parts.corpus import Case
from tests.parts.daemon import Daemon
from tests.parts.ports import free_port
from tests.parts.receiver import Receiver
from tests.parts.scene import eventually

ENDS = {
    "task.succeeded": "succeeded",
    "task.failed": "failed",
    "task.expired": "expired",
    "task.scheduled": "scheduled",
}
GOOD = "good-"
QUEUE = "default"
_SECONDS = 60.0
_ARRAY = 50
# Requests go to the receiver as a proxy: whatever host a case names, nobody else is called.
_CONFIG = """
server = "{server}"
{top}
[store]
url = "sqlite:{directory}/state.db"
[egress]
proxy = "{receiver}"
[api]
listen = "127.0.0.1:{port}"
[log]
level = "debug"
format = "json"
"""
_BASE = 'base_url = "http://app.test"\n'
_QUEUES = {
    QUEUE: _BASE,
    "other": _BASE,
    "mail.slow-1_x": _BASE,
    "walled": _BASE + 'allow_hosts = ["api.example.com", "*.example.org", "localhost:8000"]\n',
    "baseless": "",
}
_POLICY = "retry_limit = 0\nconcurrency = 50\ndedup_window = 0.001\n"


@dataclass(frozen=True, slots=True)
class Found:
    """What a door made of one case; ``ends`` are those of the tasks that it became.

    ``status`` is that of HTTP, 0 where nobody was answered; ``kept`` are the bytes put aside.
    """

    accepted: bool
    reason: str = ""
    field: str = ""
    status: int = 0
    id: str = ""
    kept: bytes | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """A message in the invalid queue."""

    tag: str
    body: bytes
    headers: Mapping[str, Any]

    @property
    def found(self) -> Found:
        reason, field = self.headers["wr-error"], self.headers.get("wr-field", "")
        return Found(accepted=False, reason=reason, field=field, kept=self.body)


class Doors(ABC):
    """A daemon on one broker, started for each set of rules; it ends with the block."""

    def __init__(self, server: str, directory: Path, receiver: Receiver) -> None:
        self.port = free_port()
        self.receiver = receiver
        self.letters: list[Letter] = []
        self.taken: set[str] = set()
        self._server = server
        self._directory = directory
        self.daemon = Daemon(self._config({}))

    def run(self, rules: Mapping[str, Any], cases: list[Case]) -> dict[str, dict[str, Found]]:
        """Hand in cases through every door; return what became of each, by door and tag."""
        self.daemon.configure(self._config(rules))
        mark = self.daemon.mark()
        self._before(cases)
        self.daemon.start()
        self.daemon.ready(after=mark)
        self._after(cases)
        http_cases = [case for case in cases if self.carries(case) and not case.is_amqp]
        found = {
            "alone": {case.tag: self._alone(case) for case in http_cases},
            "among": self._among(http_cases),
        }
        self._settle(mark, cases, found)
        found["broker"] = self._by_broker(mark, cases)
        if self.daemon.terminate() != 0:
            raise AssertionError(self.daemon.tail())
        return found

    def ends(self, after: int = 0) -> dict[str, set[str]]:
        """Return how tasks have ended, by their ids and by their correlation ids."""
        ends: dict[str, set[str]] = defaultdict(set)
        for event in self.daemon.events[after:]:
            end = ENDS.get(str(event["event"]))
            for name in ("task_id", "correlation_id"):
                if end and name in event:
                    ends[str(event[name])].add(end)
        return ends

    @abstractmethod
    def carries(self, case: Case) -> bool:
        """Whether a case can come by the broker, and is tried on it."""

    @abstractmethod
    def _before(self, cases: list[Case]) -> None: ...

    @abstractmethod
    def _after(self, cases: list[Case]) -> None: ...

    @abstractmethod
    def _count(self) -> int:
        """Return how many letters there are that `_new_letters` has not given."""

    @abstractmethod
    def _new_letters(self) -> Iterator[Letter]: ...

    def _config(self, rules: Mapping[str, Any]) -> str:
        top = "".join(f"{key} = {json.dumps(rules[key])}\n" for key in rules if key == "strict")
        body = f"body_on_get = {json.dumps(rules.get('body_on_get', False))}\n"
        head = _CONFIG.format(
            server=self._server,
            top=top,
            directory=self._directory,
            receiver=self.receiver.url,
            port=self.port,
        )
        tables = (f'[queues."{name}"]\n{_POLICY}{body}{own}' for name, own in _QUEUES.items())
        return head + "".join(tables)

    def _alone(self, case: Case) -> Found:
        return _judged(*self._post(case, case.body))

    def _among(self, cases: list[Case]) -> dict[str, Found]:
        """Post cases in arrays; those that make an array unreadable have one each."""
        apart = [case for case in cases if case.breaks_arrays]
        rest = [case for case in cases if not case.breaks_arrays]
        found: dict[str, Found] = {}
        for some in [[case] for case in apart] + [
            rest[first : first + _ARRAY] for first in range(0, len(rest), _ARRAY)
        ]:
            found |= self._array(some)
        return found

    def _array(self, cases: list[Case]) -> dict[str, Found]:
        good = json.dumps({"url": "/good", "id": GOOD + cases[-1].tag}).encode()
        bodies = b",".join([*(case.body for case in cases), good])
        status, document = self._post(cases[0], b"[%s]" % bodies)
        if "results" not in document:
            return {case.tag: _judged(status, document) for case in cases}
        *mine, other = document["results"]
        if other["status"] != 202:
            raise AssertionError(f"{cases[-1].name} has cost its neighbour: {other}")
        pairs = zip(cases, mine, strict=True)
        return {case.tag: _judged(e["status"], e.get("problem", e)) for case, e in pairs}

    def _post(self, case: Case, body: bytes) -> tuple[int, dict[str, Any]]:
        told = case.message
        headers = {"Content-Type": told.get("content_type", "application/json")}
        if "content_encoding" in told:
            headers["Content-Encoding"] = told["content_encoding"]
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request("POST", "/v1/tasks", body, headers)
            answer = connection.getresponse()
            document = json.loads(answer.read())
        results = document.get("results", [document])
        self.taken |= {each["id"] for each in results if "id" in each}
        return answer.status, document

    def _settle(
        self, mark: int, cases: list[Case], answered: Mapping[str, Mapping[str, Found]]
    ) -> None:
        """Wait for what has to come; what does not is for the tests to tell."""
        brought = [case for case in cases if self.carries(case)]
        wanted = {case.tag: case.ends for case in brought if case.expected().accepted}
        for door in answered.values():
            wanted |= {door[case.tag].id: case.ends for case in cases if case.tag in door}
        wanted.pop("", None)
        refused = sum(not case.expected().accepted for case in brought)

        def settled() -> bool:
            ends = self.ends(mark)
            return self._count() >= refused and all(
                end in ends.get(name, ()) for name, end in wanted.items()
            )

        with suppress(TimeoutError):
            eventually(settled, _SECONDS)

    def _by_broker(self, mark: int, cases: Iterable[Case]) -> dict[str, Found]:
        fresh = list(self._new_letters())
        self.letters += fresh
        found = {letter.tag: letter.found for letter in fresh}
        ids = {
            str(event["correlation_id"]): str(event["task_id"])
            for event in self.daemon.events[mark:]
            if "correlation_id" in event and "task_id" in event
        }
        for case in cases:
            if case.tag in ids and case.tag not in found:
                found[case.tag] = Found(accepted=True, id=ids[case.tag])
        return found


def _judged(status: int, document: Mapping[str, Any]) -> Found:
    if "id" in document:
        return Found(accepted=True, status=status, id=document["id"])
    error = (document.get("errors") or [{}])[0]
    reason, field = error.get("reason", ""), error.get("field", "")
    return Found(accepted=False, reason=reason, field=field, status=status)
