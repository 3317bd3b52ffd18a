"""Extensions as an operator would write them, for daemons under test."""

import time
from dataclasses import replace

from webhook_runner.errors import Refuse
from webhook_runner.task.model import Task
from webhook_runner.task.request import Request


def refuse_the_poor(request: Request, task: Task) -> Request:
    """Refuse tasks whose metadata is the number 0."""
    if task.metadata == b"0":
        raise Refuse("no credit")
    return replace(request, headers={**request.headers, "X-Credit": "fine"})


def break_down(request: Request, task: Task) -> Request:
    """Fail at every task but those that ask for mercy."""
    if task.metadata != b'"mercy"':
        raise ValueError("a bug in an extension")
    return request


def stand_still(request: Request, task: Task) -> Request:
    """Let nothing else happen in the daemon for as many seconds as the metadata say."""
    time.sleep(float(task.metadata or b"0"))
    return request
