"""The HTTP API's steering part as a stand-in: answers by method and path, as the daemon would."""

import json
from collections import defaultdict
from typing import Self

from tests.parts.receiver import Answer, Receiver, Request
from tests.parts.tasks_api import PROBLEM, Message, problem

AT = "2026-01-31T08:30:00.125Z"


def said(document: object, status: int = 200) -> Answer:
    """Return an answer in JSON."""
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(document).encode())


def refused(status: int, detail: str, **headers: str) -> Answer:
    """Return a problem document as an answer."""
    return Answer(status, {**PROBLEM, **headers}, json.dumps(problem(status, detail)).encode())


def page(*items: Message, cursor: str | None = None) -> Answer:
    """Return one page of a list."""
    return said({"items": items, "next": cursor})


def lines(*documents: Message) -> Answer:
    """Return lines of JSON."""
    body = b"".join(json.dumps(each).encode() + b"\n" for each in documents)
    return Answer(200, {"Content-Type": "application/x-ndjson"}, body)


def events(*happened: tuple[str, Message]) -> Answer:
    """Return a stream of events that ends after these; their ids are e1, e2, ..."""
    told = [
        f"id: e{number}\nevent: {name}\ndata: {json.dumps(data)}\n\n"
        for number, (name, data) in enumerate(happened, 1)
    ]
    text = ": still here\n\n" + "".join(told)
    return Answer(200, {"Content-Type": "text/event-stream"}, text.encode())


def task(task_id: str = "a", **more: object) -> Message:
    """Return a task as the API tells it."""
    known = {
        "id": task_id,
        "run": 1,
        "queue": "mail",
        "url": "http://h/x",
        "method": "POST",
        "state": "scheduled",
        "retrying": True,
        "reason": None,
        "attempt": 2,
        "created_at": AT,
        "due_at": AT,
        "changed_at": AT,
        "started_at": None,
        "ended_at": None,
        "last_status": 503,
        "last_error": None,
        "eta": None,
        "expires": None,
        "max_retries": None,
        "kind": "task",
        "origin": None,
        "roll_back": {"url": "http://h/undo", "state": None},
        "metadata": {"n": None},
        "correlation_id": None,
    }
    return known | more


def attempt(number: int = 1, **more: object) -> Message:
    """Return an attempt as the API tells it."""
    answer = {"headers": {"x": "y"}, "body": "/w==", "base64": True, "truncated": False}
    known = {
        "attempt": number,
        "started_at": AT,
        "ended_at": AT,
        "seconds": 0.25,
        "outcome": "responded",
        "status": 503,
        "error": None,
        "detail": None,
        "response": answer,
    }
    return known | more


def queue(name: str = "mail", **more: object) -> Message:
    """Return a queue as the API tells it."""
    known = {
        "name": name,
        "paused": False,
        "condition": "consuming",
        "ready": 3,
        "running": 1,
        "scheduled": None,
        "dead": 2,
        "invalid": 0,
        "oldest_at": AT,
        "lag_seconds": 1.5,
        "limits": {"concurrency": 10, "rate": "unlimited", "bucket_size": 1},
        "changed": [],
    }
    return known | more


def destination(name: str = "h.test:443", **more: object) -> Message:
    """Return a destination as the API tells it."""
    known = {
        "destination": name,
        "state": "open",
        "until": AT,
        "requests": 24,
        "failures": 20,
        "held": 3,
        "forced": False,
    }
    return known | more


def letter(name: str = "l1", **more: object) -> Message:
    """Return a dead letter as the API tells it."""
    known = {
        "letter": name,
        "id": "a",
        "run": 1,
        "queue": "mail",
        "at": AT,
        "reason": "status",
        "field": None,
        "explanation": None,
        "url": "http://h/x",
        "method": "POST",
        "attempts": 3,
        "last_status": 500,
        "last_error": None,
        "kind": "task",
        "size": 42,
    }
    return known | more


class SteeringApi:
    """A receiver at ``url`` that answers what it was told to, and 404 to all else."""

    def __init__(self) -> None:
        self._answers: defaultdict[tuple[str, str], list[Answer]] = defaultdict(list)
        self.receiver = Receiver()
        self.url = self.receiver.url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.receiver.close()

    @property
    def requests(self) -> list[Request]:
        """All requests so far."""
        return self.receiver.requests

    def on(self, method: str, path: str, *answers: Answer) -> None:
        """Answer a path below /v1/ with these in order, the last of them again and again."""
        self._answers[method, f"/v1/{path}"] = list(answers)
        self.receiver.script(f"/v1/{path}", self._answer)

    def asked(self) -> list[tuple[str, str]]:
        """Return what was asked: method, and path with query."""
        return [
            (each.method, f"{each.path.removeprefix('/v1/')}?{each.query}".rstrip("?"))
            for each in self.requests
        ]

    def _answer(self, request: Request) -> Answer:
        answers = self._answers[request.method, request.path]
        if not answers:
            return refused(404, f"there is nothing at {request.path}")
        return answers.pop(0) if len(answers) > 1 else answers[0]
