"""Messages are checked by the daemon's own rules, published or posted, and their ids printed."""

import asyncio
import os
import time
import uuid
from collections.abc import Sequence

import msgspec
import typer

from webhook_runner.broker.amqp.send import Posting, send
from webhook_runner.cli.call import Call
from webhook_runner.cli.post import post
from webhook_runner.cli.report import (
    NOTHING_SENT,
    CommandError,
    Exit,
    Output,
    print_json,
    print_table,
    warn,
)
from webhook_runner.config.loader import load
from webhook_runner.errors import InvalidTaskError
from webhook_runner.settings import QueueSettings, Settings
from webhook_runner.task.codec import Rules, decode
from webhook_runner.task.model import Message

_ANY = Rules(max_message_bytes=16_777_216, max_delay=float("inf"), body_on_get=True)
"""The loosest that a daemon can be configured to be."""


def send_all(call: Call, bodies: Sequence[bytes], queue: str | None) -> None:
    """Send messages and print their ids; a daemon named by its address judges them alone.

    Raises:
        CommandError, ConfigError, InvalidTaskError, BrokerUnavailableError, UnknownQueueError.

    """
    settings = None if call.api else load(call.config, os.environ).settings
    first = 1 if len(bodies) > 1 else 0
    numbered = enumerate(bodies, first)
    postings = [_checked(body, queue, settings, number) for number, body in numbered]
    if settings is not None and not settings.queue_file:
        asyncio.run(_send(settings, postings, call.output))
        return
    _post(call, postings, queue)


def _checked(body: bytes, queue: str | None, settings: Settings | None, number: int) -> Posting:
    """Return the message with its id and queue; the daemon's verdict on it comes first.

    Without settings the daemon is a foreign one, of whose limits nothing is known here.
    ``number`` is its place among many, 0 for the only one.
    """
    home = queue or _named_queue(body) or (settings.default_queue if settings else "")
    rules = _rules(settings, home) if settings else _ANY
    try:
        decoded = decode(
            Message(body), home, now=time.time(), rules=rules, make_id=lambda: str(uuid.uuid4())
        )
    except InvalidTaskError as error:
        if number == 0:
            raise
        raise CommandError(f"message {number}: {error}", NOTHING_SENT, Exit.USAGE) from error
    task = decoded.envelope.task
    warn(decoded.warnings)
    if settings and task.url.startswith("/") and not _base_url(settings, home):
        warn(["the url is a path and this configuration has no base_url; the daemon needs one"])
    return Posting(home, task.id, body)


def _rules(settings: Settings, queue: str) -> Rules:
    return Rules(
        max_message_bytes=settings.max_message_bytes,
        max_delay=settings.max_delay,
        strict=settings.strict,
        body_on_get=settings.queues.get(queue, QueueSettings()).body_on_get,
    )


def _base_url(settings: Settings, queue: str) -> str:
    return settings.queues.get(queue, QueueSettings()).base_url or settings.base_url


def _named_queue(body: bytes) -> str | None:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    name = found.get("queue") if isinstance(found, dict) else None
    return name if isinstance(name, str) and name else None


async def _send(settings: Settings, postings: Sequence[Posting], output: Output) -> None:
    sent: list[Posting] = []
    try:
        async for each in send(settings.servers, settings.broker, postings):
            sent.append(each)  # noqa: PERF401 - what was sent before an error is told
    finally:
        _tell(sent, postings, output)


def _post(call: Call, postings: Sequence[Posting], queue: str | None) -> None:
    sent, error = post(call, [(each.id, each.body) for each in postings], queue)
    _tell([Posting(each.queue, each.id, b"") for each in sent], postings, call.output)
    if error is not None:
        raise error


def _tell(sent: Sequence[Posting], postings: Sequence[Posting], output: Output) -> None:
    _print(sent, output)
    if sent and len(sent) < len(postings):
        warn([f"{len(sent)} of {len(postings)} messages were sent"])


def _print(sent: Sequence[Posting], output: Output) -> None:
    if output is Output.JSON:
        print_json([{"id": each.id, "queue": each.queue} for each in sent])
    elif len(sent) == 1:
        typer.echo(sent[0].id)
    elif sent:
        print_table(("id", "queue"), [(each.id, each.queue) for each in sent])
