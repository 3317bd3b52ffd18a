"""What can happen to a channel, in our words: the library's errors become these."""

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


class LostError(Exception):
    """The channel is gone, and with it every delivery that came by it."""


class MissingError(LostError):
    """The object does not exist (404)."""


class ForbiddenError(LostError):
    """The user may not do that (403)."""


class DiffersError(LostError):
    """The object exists with other properties, or the broker refused the value (406)."""


class ReturnedError(Exception):
    """The publish found no queue, not even by the alternate exchange."""


class NackedError(Exception):
    """The queue refused the publish, or could not replicate it."""


_LOST_AS: Mapping[type[BaseException], type[LostError]] = {
    ChannelNotFoundEntity: MissingError,
    ChannelAccessRefused: ForbiddenError,
    ChannelPreconditionFailed: DiffersError,
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
        raise _LOST_AS.get(type(error), LostError)(describe(error)) from error


def describe(error: BaseException | None) -> str:
    """Say in one line why something ended."""
    if error is None or isinstance(error, asyncio.CancelledError):
        return "closed"
    words = " ".join(str(part) for part in error.args if part not in (None, ""))
    return words or type(error).__name__
