"""Publish single messages from outside the daemon: a command sends, and is gone."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPError, DeliveryError, PublishError

from webhook_runner.broker.amqp.library_line import hush_library
from webhook_runner.broker.amqp.line import CONNECT_TIMEOUT, address
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


async def _publish(channel: AbstractChannel, posting: Posting, limit: float) -> None:
    message = aio_pika.Message(
        posting.body,
        content_type="application/json",
        message_id=posting.id,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
    try:
        await channel.default_exchange.publish(message, posting.queue, timeout=limit)
    except PublishError as error:
        raise UnknownQueueError(f"the broker has no queue {posting.queue!r}") from error
    except DeliveryError as error:
        text = f"queue {posting.queue!r} refused the message {posting.id}: {error}"
        raise BrokerUnavailableError(text) from error
    except (AMQPError, ConnectionError, RuntimeError, TimeoutError) as error:
        words = str(error) or f"no confirm within {limit:g} s"
        raise BrokerUnavailableError(
            f"message {posting.id} may not have arrived: {words}"
        ) from error


@asynccontextmanager
async def _channel(
    servers: Sequence[str], settings: BrokerSettings
) -> AsyncIterator[AbstractChannel]:
    connection = await _connection(servers, settings)
    async with connection:
        # An unroutable message comes back as an error, not as a silent success.
        yield await connection.channel(publisher_confirms=True, on_return_raises=True)


async def _connection(servers: Sequence[str], settings: BrokerSettings) -> AbstractConnection:
    hush_library()
    problems: list[str] = []
    for server in servers:
        where = address(server, settings, "webhook-runner send")
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                return await aio_pika.connect(where.url, ssl_context=where.tls)
        except TimeoutError:
            problems.append(f"{where.text}: no answer within {CONNECT_TIMEOUT:g} s")
        except (AMQPError, OSError, RuntimeError) as error:
            problems.append(f"{where.text}: {' '.join(map(str, error.args))}")
    raise BrokerUnavailableError("; ".join(problems))
