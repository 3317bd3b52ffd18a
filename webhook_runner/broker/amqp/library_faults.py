"""The errors of the AMQP library become ours."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from aiormq.exceptions import (
    AMQPError,
    ChannelAccessRefused,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    DeliveryError,
    PublishError,
)

from webhook_runner.broker.amqp.faults import LOST_AS, LostError, NackedError, ReturnedError

_CODES: Mapping[type[BaseException], int] = {
    ChannelAccessRefused: 403,
    ChannelNotFoundEntity: 404,
    ChannelPreconditionFailed: 406,
}


@contextmanager
def translated() -> Iterator[None]:
    """Raise the library's errors, and its cancelling of those who wait, as errors of ours."""
    try:
        yield
    except asyncio.CancelledError:
        # The library cancels whoever waits on a channel that closes; we were not asked to stop.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise LostError("the channel closed") from None
    except PublishError as error:
        raise ReturnedError(str(error)) from error
    except DeliveryError as error:
        raise NackedError(str(error)) from error
    except (AMQPError, ChannelInvalidStateError, ConnectionError, RuntimeError) as error:
        code = _CODES.get(type(error), 0)
        raise LOST_AS.get(code, LostError)(describe(error)) from error


def describe(error: BaseException | None) -> str:
    """Say in one line why something ended."""
    if error is None or isinstance(error, asyncio.CancelledError):
        return "closed"
    words = " ".join(str(part) for part in error.args if part not in (None, ""))
    return words or type(error).__name__
