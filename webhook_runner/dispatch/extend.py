"""Operators' extensions: each may change the request or refuse it; none may hurt anything else."""

import asyncio
import inspect
from collections.abc import Mapping

from webhook_runner.dispatch.failure import AttemptError, outcome_of
from webhook_runner.dispatch.wellformed import check_request
from webhook_runner.errors import Refuse, RefusedError
from webhook_runner.ports import Dispatcher, Extension
from webhook_runner.task.model import Envelope, Task
from webhook_runner.task.outcome import Outcome, Trouble
from webhook_runner.task.request import Request


class ExtendingDispatcher:
    """Applies the extensions of the task's queue, in their order, and then sends.

    A ``Refuse`` ends the task. Any other error, an answer that is no request, or none within
    the request's timeout is a failed attempt, tried again like any other.
    """

    def __init__(self, inner: Dispatcher, extensions: Mapping[str, tuple[Extension, ...]]) -> None:
        self._inner = inner
        self._extensions = extensions

    def adopt(self, extensions: Mapping[str, tuple[Extension, ...]]) -> None:
        """Apply these from the next request on."""
        self._extensions = extensions

    async def send(self, request: Request, envelope: Envelope) -> Outcome:
        extensions = self._extensions.get(envelope.task.queue)
        if not extensions:
            return await self._inner.send(request, envelope)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            for extension in extensions:
                request = await _apply(extension, request, envelope.task)
        except (AttemptError, RefusedError) as error:
            return outcome_of(error, sent=False, seconds=loop.time() - began)
        return await self._inner.send(request, envelope)

    async def close(self) -> None:
        await self._inner.close()


async def _apply(extension: Extension, request: Request, task: Task) -> Request:
    """Apply one extension.

    Raises:
        RefusedError: it refused, or what it made of the request must not be sent.
        AttemptError: it failed.

    """
    try:
        async with asyncio.timeout(request.timeout):
            changed = await _called(extension, request, task)
    except Refuse:
        raise
    except asyncio.CancelledError:
        if _is_being_cancelled():
            raise
        raise _failed(extension, "CancelledError") from None
    except Exception as error:
        raise _failed(extension, type(error).__name__) from error
    if not isinstance(changed, Request):
        raise _failed(extension, f"it returned {type(changed).__name__} instead of a Request")
    try:
        check_request(changed)
    except RefusedError as error:
        raise RefusedError(error.rule, f"after extension {_name(extension)}: {error}") from None
    return changed


async def _called(extension: Extension, request: Request, task: Task) -> object:
    answer = extension(request, task)
    return await answer if inspect.isawaitable(answer) else answer


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _failed(extension: Extension, words: str) -> AttemptError:
    return AttemptError(Trouble.INTERNAL, f"extension {_name(extension)}: {words}")


def _name(extension: Extension) -> str:
    named = extension if hasattr(extension, "__qualname__") else type(extension)
    return f"{named.__module__}:{named.__qualname__}"
