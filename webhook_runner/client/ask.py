"""One request and what may come of it, and for how long it is repeated; no socket, no sleep."""

import random
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from webhook_runner.client.answer import Reply, Unanswered, read_refusal
from webhook_runner.client.failure import MissingError, failure, refused

ONE_TRY_SECONDS = 30.0

_LEAST_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0
DONE = range(200, 300)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ask:
    """Wait ``pause`` seconds, then send a request; give the answer at most ``limit`` seconds.

    ``target`` is the path below the API's address, with its query, percent-encoded. ``limit`` is
    None for what takes as long as it takes.
    """

    method: str
    target: str
    body: bytes = b""
    limit: float | None = ONE_TRY_SECONDS
    pause: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)


Talk = Generator[Ask, Reply | Unanswered, T]
"""Yields what is to be asked, is sent what came of it, and ends with an answer."""


class Patience:
    """How long something is repeated: ``seconds`` from now; 0 is one try."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self._pause = _FIRST_PAUSE_SECONDS

    @property
    def limit(self) -> float:
        """How many seconds the next try may take."""
        if self._seconds <= 0:
            return ONE_TRY_SECONDS
        return max(self._until - time.monotonic(), _LEAST_SECONDS)

    def pause(self, retry_after: float) -> float | None:
        """Return the seconds to wait before the next try, None when there is to be none."""
        jitter = 1 + random.random() / 4  # noqa: S311 - spreads clients, keeps no secret
        pause = max(self._pause * jitter, retry_after)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)
        return pause if time.monotonic() + pause < self._until else None


def answered(
    ask: Ask, seconds: float, *, missing: type[MissingError], repeatable: bool = True
) -> Talk[Reply]:
    """Ask until there is an answer other than a plea to wait, and return it.

    What is not ``repeatable`` is asked again only while it was certainly not done.

    Raises:
        AnswerError: it was refused; ``missing`` for 404.
        ServiceUnavailableError: no daemon could answer within ``seconds``.
        NotAllowedError: the token is missing, or does not allow it.
        UnexpectedAnswerError: what answers is not a daemon's API.

    """
    patience = Patience(seconds)
    pause = ask.pause
    while True:
        met = yield replace(ask, limit=patience.limit, pause=pause)
        if isinstance(met, Reply):
            if met.status in DONE:
                return met
            met = unanswered(met, missing)
        pause = next_pause(met, patience, repeatable=repeatable)


def next_pause(met: Unanswered, patience: Patience, *, repeatable: bool) -> float:
    """Return the seconds to wait before asking again. Raises the client's error for never."""
    pause = None
    if met.again and (repeatable or not met.in_doubt):
        pause = patience.pause(met.retry_after or 0.0)
    if pause is None:
        raise failure(met)
    return pause


def unanswered(reply: Reply, missing: type[MissingError]) -> Unanswered:
    """Return why there is no answer yet.

    Raises:
        AnswerError: there is one, a refusal.

    """
    met = read_refusal(reply)
    if isinstance(met, Unanswered):
        return met
    raise refused(met, missing)
