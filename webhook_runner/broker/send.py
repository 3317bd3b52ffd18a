"""Publish single messages from outside the daemon: a command sends, and is gone."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from webhook_runner.broker.channel import (
    Channel,
    LostError,
    NackedError,
    Outgoing,
    ReturnedError,
)
from webhook_runner.broker.line import Line, address
from webhook_runner.errors import BrokerUnavailableError, UnknownQueueError
from webhook_runner.settings import BrokerSettings


@dataclass(frozen=True, slots=True)
class Posting:
    """A message for the queue of that name; ``id`` becomes its message_id."""

    queue: str
    id: str
    body: bytes


async def send(
    servers: Sequence[str], settings: BrokerSettings, postings: Iterable[Posting]
) -> AsyncIterator[Posting]:
    """Publish the messages one by one, persistent; yield each once the broker has confirmed it.

    Raises:
        BrokerUnavailableError: no server can be reached, or the connection is lost, or a message
            is refused. The one that was not yielded may have arrived.
        UnknownQueueError: the broker has no queue of the name.

    """
    async with _channel(servers, settings) as channel:
        for posting in postings:
            await _publish(channel, posting, settings.confirm_timeout)
            yield posting


async def _publish(channel: Channel, posting: Posting, limit: float) -> None:
    out = Outgoing("", posting.queue, posting.body, {}, content_type="application/json")
    try:
        async with asyncio.timeout(limit):
            await channel.publish(out, posting.id)
    except ReturnedError as error:
        raise UnknownQueueError(f"the broker has no queue {posting.queue!r}") from error
    except NackedError as error:
        text = f"queue {posting.queue!r} refused the message {posting.id}: {error}"
        raise BrokerUnavailableError(text) from error
    except (LostError, TimeoutError) as error:
        words = str(error) or f"no confirm within {limit:g} s"
        raise BrokerUnavailableError(
            f"message {posting.id} may not have arrived: {words}"
        ) from error


@asynccontextmanager
async def _channel(servers: Sequence[str], settings: BrokerSettings) -> AsyncIterator[Channel]:
    line = await _line(servers, settings)
    try:
        yield await line.channel(confirms=True)
    except LostError as error:
        raise BrokerUnavailableError(f"the connection was lost: {error}") from error
    finally:
        await line.close()


async def _line(servers: Sequence[str], settings: BrokerSettings) -> Line:
    problems: list[str] = []
    for server in servers:
        try:
            where = address(server, settings, "webhook-runner send")
            # A blocked broker shows as a confirm that does not come.
            return await Line.connect(where, lambda _: None, lambda: None)
        except BrokerUnavailableError as error:
            problems.append(str(error))
    raise BrokerUnavailableError("; ".join(problems))
