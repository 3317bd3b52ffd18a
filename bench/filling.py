"""Fill the embedded broker's file while no daemon has it: with its own writer, many at a time."""

import asyncio
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from msgspec.structs import replace

from webhook_runner.broker.sqlite.batch import Batch, Entry
from webhook_runner.broker.sqlite.queue_file import QueueFile
from webhook_runner.task.codec import Rules, decode
from webhook_runner.task.model import Message
from webhook_runner.task.progress import due_milliseconds, progress_headers

QUEUE = "default"
_BATCH = 10_000


def body(number: int) -> bytes:
    """Return the message of a task that succeeds: about 500 bytes, as webhooks often have."""
    payload = {"number": number, "text": "x" * 400}
    task = {"url": f"/ok/{number}", "id": f"task-{number}", "payload": payload}
    return json.dumps(task).encode()


def queued(numbers: Iterable[int]) -> Iterator[Entry]:
    """Return tasks as an application publishes them, to be done at once."""
    for number in numbers:
        yield Entry(QUEUE, "{}", body(number))


def scheduled(dues: Iterable[tuple[int, float]], now: float) -> Iterator[Entry]:
    """Return tasks that wait, by number and due time (epoch seconds)."""
    rules = Rules(max_message_bytes=1_048_576, max_delay=31_536_000, strict=False)
    example = decode(Message(body(0)), QUEUE, now=now, rules=rules, make_id=lambda: "").envelope
    for number, due in dues:
        written = body(number)
        task = replace(example.task, id=f"task-{number}", source=written)
        envelope = replace(example, task=task, due_at=due, gen=1)
        headers = json.dumps(progress_headers(envelope))
        yield Entry(QUEUE, headers, written, due=due_milliseconds(due))


def fill(path: Path, entries: Iterator[Entry]) -> None:
    """Write them all."""
    loop = asyncio.new_event_loop()
    file = QueueFile.open(str(path))
    while batch := list(islice(entries, _BATCH)):
        file.write(Batch({loop.create_future(): entry for entry in batch}))
    file.close()
    loop.close()
