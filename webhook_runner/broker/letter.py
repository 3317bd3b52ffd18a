"""What is written on a message that is set aside: why a task is dead, why a message is invalid."""

from hashlib import blake2b

from webhook_runner.task.model import Envelope, HeaderValue, Message

SET_ASIDE = "wr-set-aside"
_DIED = "wr-died"
_TELLING = (_DIED, "wr-id", "wr-error")
_SUMMARY_LIMIT = 8192
_TEXT_LIMIT = 2048


def death_marks(envelope: Envelope, summary: bytes, died_at: float) -> dict[str, HeaderValue]:
    """Return the headers of a dead letter beside its progress; ``died_at`` in epoch seconds."""
    failure = envelope.failure
    marks: dict[str, HeaderValue] = {
        _DIED: round(died_at * 1000),
        "wr-attempts": failure.attempts if failure else envelope.attempt - 1,
        "wr-reason": failure.reason if failure else "",
        "wr-error": shortened(failure.last_error if failure else envelope.last_error),
        "wr-summary": summary[:_SUMMARY_LIMIT].decode("utf-8", "replace"),
    }
    status = failure.last_status if failure else envelope.last_status
    if status is not None:
        marks["wr-last-status"] = status
    return marks


def invalid_marks(
    queue: str, reason: str, explanation: str, field: str = ""
) -> dict[str, HeaderValue]:
    """Return the headers of an invalid message that came by ``queue``."""
    marks: dict[str, HeaderValue] = {
        "wr-error": reason,
        "wr-source": queue,
        "wr-explanation": shortened(explanation),
    }
    if field:
        marks["wr-field"] = shortened(field)
    return marks


def shortened(text: str) -> str:
    return text[:_TEXT_LIMIT]


def letter_of(message: Message) -> str:
    """Name what was set aside: the same 16 hex digits whenever it is looked at."""
    parts = [message.message_id.encode()]
    parts += [str(message.headers.get(name, "")).encode() for name in _TELLING]
    parts.append(message.body)
    # Each length goes before its part: no two letters are one by where a part ends.
    lengths = ",".join(str(len(part)) for part in parts).encode()
    return blake2b(lengths + b":" + b"".join(parts), digest_size=8).hexdigest()


def put_aside_at(message: Message) -> float:
    """Return when it was set aside, in epoch seconds; 0 when that is not written on it."""
    at = message.headers.get(_DIED, message.headers.get(SET_ASIDE))
    return at / 1000 if isinstance(at, int) else 0.0
