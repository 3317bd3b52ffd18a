"""Publish single messages from outside the daemon: a command sends, and is gone."""

import logging
import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import aio_pika
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import AMQPError, DeliveryError

from webhook_runner.errors import BrokerUnavailableError, UnknownQueueError
from webhook_runner.settings import BrokerSettings

_CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message for the queue of that name; ``id`` becomes its message_id."""

    queue: str
    id: str
    body: bytes


async def send(
    servers: Sequence[str], settings: BrokerSettings, messages: Iterable[Outgoing]
) -> AsyncIterator[Outgoing]:
    """Publish the messages one by one; yield each once the broker has confirmed it.

    Raises:
        BrokerUnavailableError: no server can be reached, or the connection is lost. The message
            that was not yielded may have arrived.
        UnknownQueueError: the broker has no queue of the name.

    """
    async with _channel(servers, settings) as channel:
        for message in messages:
            await _publish(channel, message, settings.confirm_timeout)
            yield message


async def _publish(channel: AbstractChannel, message: Outgoing, limit: float) -> None:
    outgoing = aio_pika.Message(
        message.body,
        message_id=message.id,
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
    try:
        await channel.default_exchange.publish(outgoing, message.queue, timeout=limit)
    except DeliveryError as error:
        if "NO_ROUTE" in str(getattr(error.frame, "reply_text", "")) or error.message is not None:
            raise UnknownQueueError(f"the broker has no queue {message.queue!r}") from error
        raise BrokerUnavailableError(f"the broker refused message {message.id}") from error
    except (AMQPError, OSError, TimeoutError) as error:
        raise BrokerUnavailableError(f"the broker did not confirm: {_words(error)}") from error


@asynccontextmanager
async def _channel(
    servers: Sequence[str], settings: BrokerSettings
) -> AsyncIterator[AbstractChannel]:
    # What the library logs of a failed attempt reaches us as an exception, and is told once.
    logging.getLogger("aiormq").setLevel(logging.CRITICAL + 1)
    problems: list[str] = []
    for server in servers:
        try:
            connection = await aio_pika.connect(
                _with_password(server, settings),
                ssl_context=_tls(server, settings),
                timeout=_CONNECT_SECONDS,
                client_properties={"connection_name": "webhook-runner send"},
            )
        except (AMQPError, OSError, TimeoutError) as error:
            problems.append(f"{_shown(server)}: {_words(error)}")
            continue
        async with connection:
            yield await connection.channel(publisher_confirms=True)
        return
    raise BrokerUnavailableError("; ".join(problems))


def _with_password(server: str, settings: BrokerSettings) -> str:
    parts = urlsplit(server)
    host = parts.netloc.rpartition("@")[2]
    user, password = parts.username or "guest", parts.password or "guest"
    if settings.password_file:
        password = quote(Path(settings.password_file).read_text(encoding="utf-8").strip(), safe="")
    query = f"auth={settings.auth}&heartbeat={settings.heartbeat}"
    return f"{parts.scheme}://{user}:{password}@{host}{parts.path}?{query}"


def _tls(server: str, settings: BrokerSettings) -> ssl.SSLContext | None:
    if not server.startswith("amqps:"):
        return None
    context = ssl.create_default_context(cafile=settings.ca_file or None)
    if settings.cert_file:
        context.load_cert_chain(settings.cert_file, settings.key_file or None)
    return context


def _shown(server: str) -> str:
    parts = urlsplit(server)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
