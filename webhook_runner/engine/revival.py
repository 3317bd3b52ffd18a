"""What has ended, or waits, made a task on its way again: from its record, or from its letter."""

import msgspec
from msgspec.structs import replace

from webhook_runner.engine.reception import Reception
from webhook_runner.engine.revocations import Revocations
from webhook_runner.errors import ConflictError
from webhook_runner.ports import Clock
from webhook_runner.task.document import read_document
from webhook_runner.task.fields import read_fields
from webhook_runner.task.instant import parse_instant
from webhook_runner.task.mark import Mark
from webhook_runner.task.merge_patch import patched, without
from webhook_runner.task.model import Envelope, Kind, Message, Task
from webhook_runner.task.notice import Aside, PutAside
from webhook_runner.task.progress import progress_headers, read_progress
from webhook_runner.task.record import TaskRecord, gen_of


class Revival:
    """Makes envelopes; publishes nothing.

    A new run is due now, whatever countdown or eta the message has, and an ``expires`` that has
    passed is left out of it. It comes in by the same door as any task.
    """

    def __init__(self, reception: Reception, revocations: Revocations, clock: Clock) -> None:
        self._reception = reception
        self._revocations = revocations
        self._clock = clock

    def of_record(self, record: TaskRecord) -> Envelope:
        """Return a new run of a task that has ended.

        Raises:
            ConflictError: its message is not kept.
            InvalidTaskError: it is no task by the rules of today.

        """
        message = Message(
            source_of(record),
            headers=_first_headers(record),
            correlation_id=record.correlation_id,
            traceparent=record.traceparent,
        )
        return self._anew(message, record.id, record.queue, record.run + 1)

    def of_letter(self, item: PutAside, mark: Mark, edit: bytes | None, to_queue: str) -> Envelope:
        """Return a new run of a dead letter, or of an invalid message that is a task by now.

        Raises:
            InvalidTaskError: it is none; says why.

        """
        message = item.message
        if edit is not None:
            message = replace(message, body=patched(message.body, edit))
        if item.aside is Aside.INVALID:
            return self._anew(replace(message, headers={}), "", to_queue or item.queue, 1)
        queue = to_queue or mark.queue or item.queue
        if mark.kind is Kind.TASK:
            message = _as_published(message)
        return self._anew(message, mark.id, queue, (mark.run or 0) + 1, moved=bool(to_queue))

    def hurried(self, record: TaskRecord) -> Envelope:
        """Return the next copy of a task that waits, due now, as far as it has come.

        Raises:
            ConflictError: its message is not kept.
            InvalidTaskError: it cannot be read.

        """
        now, source = self._clock.now(), source_of(record)
        copy = Envelope(
            Task(record.id, record.queue, record.url, source),
            first_at=record.created_at,
            due_at=now,
            run=record.run,
            correlation_id=record.correlation_id,
            traceparent=record.traceparent,
        )
        headers = _first_headers(record) or progress_headers(copy)
        envelope = self._reception.again(Message(source, headers=headers), record.queue)
        return replace(
            envelope,
            run=record.run,
            gen=gen_of(record.seq) + 1,
            attempt=record.attempt + 1,
            first_at=record.created_at,
            due_at=now,
            first_attempt_at=record.started_at,
            last_attempt_at=record.started_at,
            last_status=record.last_status,
            last_error=record.last_error,
        )

    def _anew(
        self, message: Message, name: str, queue: str, least_run: int, *, moved: bool = True
    ) -> Envelope:
        now = self._clock.now()
        if message.headers:
            envelope = self._reception.again(message, queue)
            if moved:
                envelope = replace(envelope, task=replace(envelope.task, queue=queue))
        else:
            body = _timely(message.body, now)
            if name:
                # Where it went to is known better than by its own word, which a rule may have bent.
                body = without(body, "queue")
                message = replace(message, message_id=name)
            envelope = self._reception.admit(replace(message, body=body), queue)
        least_run = max(least_run, self._revocations.run_after(envelope.task.id))
        run = self._reception.later_run(envelope.run, least_run)
        return _from_the_start(envelope, run, now)


def source_of(record: TaskRecord) -> bytes:
    """Return the message as published. Raises ConflictError."""
    if record.source is None:
        text = f"the message of task {record.id} is not kept: it takes [store] payloads = true"
        raise ConflictError(text)
    return record.source


def _first_headers(record: TaskRecord) -> dict[str, str | int]:
    """Return the headers of the first copy of a roll-back; of a task there are none."""
    if record.progress is None:
        return {}
    headers: dict[str, str | int] = msgspec.json.decode(record.progress)
    return headers


def _as_published(message: Message) -> Message:
    """Return the message of a dead letter without how far it had come."""
    progress = read_progress(message.headers)
    if progress is None:
        return message
    return replace(
        message,
        headers={},
        correlation_id=progress.correlation_id,
        traceparent=progress.traceparent,
    )


def _timely(body: bytes, now: float) -> bytes:
    """Return the message without an ``expires`` that has passed. Raises InvalidTaskError."""
    expires = read_fields(read_document(body)).expires
    if expires is None or parse_instant(expires, "expires", round_up=False) > now:
        return body
    return without(body, "expires")


def _from_the_start(envelope: Envelope, run: int, now: float) -> Envelope:
    return replace(
        envelope,
        run=run,
        gen=1,
        attempt=1,
        first_at=now,
        due_at=now,
        named=True,
        doubtful=False,
        again=False,
        snoozes=0,
        uncounted=0,
        deaths=0,
        alone=0,
        turn=0,
        first_attempt_at=None,
        last_attempt_at=None,
        last_status=None,
        last_error="",
    )
