"""The Python client of the HTTP API: what may be imported from here is public."""

from webhook_runner.client.answer import Accepted, Fault, Problem, Rejected
from webhook_runner.client.failure import (
    ClientError,
    InvalidTaskError,
    ServiceUnavailableError,
    UnexpectedAnswerError,
)
from webhook_runner.client.http import AsyncClient, Client
from webhook_runner.client.task import Task

__all__ = [
    "Accepted",
    "AsyncClient",
    "Client",
    "ClientError",
    "Fault",
    "InvalidTaskError",
    "Problem",
    "Rejected",
    "ServiceUnavailableError",
    "Task",
    "UnexpectedAnswerError",
]
