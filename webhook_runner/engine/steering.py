"""What operators have changed of queues at run time: on top of the file, until taken back."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct
from pydantic import ValidationError

from webhook_runner.errors import InvalidTaskError
from webhook_runner.settings import QueueSettings
from webhook_runner.task.notice import Notice

QUEUE = "queue:"
"""What the key of such a notice begins with; the name follows."""

LIMITS = (
    "concurrency",
    "rate",
    "bucket_size",
    "retry_limit",
    "min_backoff_seconds",
    "max_backoff_seconds",
    "max_doublings",
    "timeout",
    "success_codes",
)
"""The keys of a queue that may be changed at run time."""


class Steered(Struct, frozen=True):
    """How a queue is steered: ``limits`` as they were written, by their keys."""

    paused: bool = False
    limits: dict[str, Any] = {}


_STEERED = msgspec.json.Decoder(Steered)
_UNTOUCHED = Steered()


class Steering:
    """How each queue is steered. A queue that is not configured is remembered all the same.

    ``turned`` is set when something has changed.
    """

    def __init__(self) -> None:
        self.turned = asyncio.Event()
        self._queues: dict[str, Steered] = {}

    def of(self, name: str) -> Steered:
        return self._queues.get(name, _UNTOUCHED)

    def recall(self, notice: Notice) -> str:
        """Take a notice; return the name of its queue, or "" when nothing changes.

        Raises:
            msgspec.MsgspecError: it cannot be read.

        """
        name, steered = notice.key.removeprefix(QUEUE), _STEERED.decode(notice.word)
        if steered == self.of(name):
            return ""
        self._queues[name] = steered
        return name

    def effective(self, name: str, settings: QueueSettings) -> QueueSettings:
        """Return the settings of a queue as they are in force; what is of no use is left out."""
        wanted: dict[str, Any] = {}
        for key, value in self.of(name).limits.items():
            try:
                wanted |= _read({key: value})
            except InvalidTaskError:
                continue  # a later version may have written it
        return settings.model_copy(update=wanted)

    def changed(self, name: str, settings: QueueSettings, change: Mapping[str, Any]) -> Steered:
        """Return how the queue is steered after ``change``; None takes a key back to the file.

        Raises:
            InvalidTaskError: names the key, and what would be right.

        """
        before = self.of(name)
        limits = {
            key: value
            for key, value in {**before.limits, **change}.items()
            if value is not None or key not in LIMITS
        }
        check(settings.model_copy(update=_read(limits)))
        return Steered(before.paused, limits)


def notice_of(name: str, steered: Steered, at: float) -> Notice:
    """Return the notice that a queue is steered so from ``at`` (epoch seconds) on."""
    return Notice(QUEUE + name, at, msgspec.json.encode(steered))


def check(queue: QueueSettings) -> None:
    """Check what two keys must agree on. Raises InvalidTaskError."""
    low, high = queue.min_backoff_seconds, queue.max_backoff_seconds
    if high < 0 and high != -1:
        raise _bad("max_backoff_seconds", "write -1 for no limit, else 0 or more")
    if 0 <= high < low:
        text = f"{low:g} is above max_backoff_seconds = {high:g}; lower one or raise the other"
        raise _bad("min_backoff_seconds", text)
    if queue.timeout > queue.max_timeout:
        raise _bad("timeout", f"is above max_timeout = {queue.max_timeout:g}")
    if 0 < queue.bucket_size < 1:
        raise _bad("bucket_size", "would never hold a token; write 0 (rate / 5) or 1 or more")


def _read(limits: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that limits stand for. Raises InvalidTaskError."""
    for key in limits:
        if key not in LIMITS:
            known = ", ".join(LIMITS)
            raise _bad(key, f"cannot be changed at run time; what can is {known}")
    try:
        read = QueueSettings.model_validate(dict(limits))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        text = first["msg"].removeprefix("Value error, ")
        raise _bad(str(first["loc"][0]), text) from None
    return {key: getattr(read, key) for key in limits}


def _bad(key: str, text: str) -> InvalidTaskError:
    return InvalidTaskError("bad_limit", text, key[:60])
