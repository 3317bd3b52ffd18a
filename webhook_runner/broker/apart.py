"""A message that has ended too many deliveries without an outcome is tried once more, alone."""

from uuid import uuid4

from msgspec.structs import replace

from webhook_runner.ports import Delivery
from webhook_runner.task.codec import Rules, decode
from webhook_runner.task.event import Warned
from webhook_runner.task.model import Envelope

DELIVERY_LIMIT = 50
"""So many redeliveries of one message are made; max_redeliveries is at most 40."""

WAIT_SECONDS = 60.0
# The door has judged it already, or will when it comes back.
_ANY = Rules(max_message_bytes=2**31, max_delay=1e11)


def set_apart(delivery: Delivery, now: float) -> Envelope:
    """Read the task again, as the same one, due after a wait. Raises InvalidTaskError."""
    found = decode(
        delivery.message, delivery.queue, now=now, rules=_ANY, make_id=lambda: uuid4().hex
    ).envelope
    return replace(
        found,
        alone=found.alone + 1,
        gen=found.gen + 1,
        due_at=max(found.due_at, now + WAIT_SECONDS * 2 ** min(found.alone, 3)),
    )


def warning(envelope: Envelope) -> Warned:
    return Warned(
        f"poison {envelope.task.id}",
        f"task {envelope.task.id} of queue {envelope.task.queue} has ended too many "
        "deliveries without an outcome: it is tried once more, alone",
    )
