"""The HTTP API's intake as a stand-in: takes what is well formed, and can be told to be down."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Self

from tests.parts.receiver import Answer, Receiver, Request

PATH = "/v1/tasks"
PROBLEM = {"Content-Type": "application/problem+json"}
Message = dict[str, Any]


def problem(status: int, detail: str, **more: object) -> Message:
    """Return a problem document."""
    return {"type": "about:blank", "title": "No", "status": status, "detail": detail, **more}


def wrong(field: str, reason: str, detail: str) -> Message:
    """Return the answer to an invalid task of an array."""
    errors = [{"field": field, "reason": reason, "detail": detail}]
    return {"status": 422, "problem": problem(422, f"{field}: {detail}", errors=errors)}


def judge(message: Message) -> Message:
    """Return what an array's answer says of one message: a url that is a string is all it asks."""
    if not isinstance(message.get("url"), str):
        return wrong("url", "wrong_type", "must be a string")
    queue = message.get("queue", "default")
    return {
        "status": 202,
        "id": message["id"],
        "queue": queue,
        "location": f"{PATH}/{message['id']}",
    }


class TasksApi:
    """A receiver at ``url`` whose ``/v1/tasks`` answers as the daemon's does."""

    def __init__(self, judge: Callable[[Message], Message] = judge, port: int = 0) -> None:
        self._judge = judge
        self._instead: list[Answer | None] = []
        self.receiver = Receiver(port=port, scripts={PATH: self.answer})
        self.url = self.receiver.url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.receiver.close()

    def instead(self, *answers: Answer | None) -> None:
        """Give these answers first, one to each request; None is the usual one."""
        self._instead.extend(answers)

    def arrays(self) -> list[list[Message]]:
        """Return the messages of each request so far."""
        return [json.loads(request.body) for request in self.receiver.received(PATH)]

    def messages(self) -> list[Message]:
        """Return all messages so far."""
        return [message for array in self.arrays() for message in array]

    def answer(self, request: Request) -> Answer:
        """Return what is said to one request."""
        scripted = self._instead.pop(0) if self._instead else None
        if scripted is not None:
            return scripted
        results = [self._judge(message) for message in json.loads(request.body)]
        return array_answer(results)


def array_answer(results: list[Message], headers: Mapping[str, str] | None = None) -> Answer:
    """Return the answer to an array, with the status that it has as a whole."""
    statuses = {result["status"] for result in results}
    status = 202 if 202 in statuses else max(statuses)
    return Answer(status, dict(headers or {}), json.dumps({"results": results}).encode())
