"""From JSON to values. What is null or missing keeps its default; what is unknown is left out."""

from typing import TypeVar

import msgspec

from webhook_runner.client.answer import Reply, Unanswered
from webhook_runner.client.failure import failure

T = TypeVar("T")

Members = dict[str, object]


def read_one(reply: Reply, kind: type[T]) -> T:
    """Return the value of an answer. Raises UnexpectedAnswerError when it has another form."""
    return convert(_members(reply), kind, reply.address)


def read_items(reply: Reply, kind: type[T], name: str = "items") -> tuple[list[T], str]:
    """Return the values of a page, and the cursor of the next, "" at the end.

    Raises:
        UnexpectedAnswerError: it has another form.

    """
    page = _members(reply)
    items, cursor = page.get(name), page.get("next")
    if not isinstance(items, list):
        raise strange(reply.address, f"no {name}")
    values = [convert(each, kind, reply.address) for each in items]
    return values, cursor if isinstance(cursor, str) else ""


def convert(found: object, kind: type[T], address: str) -> T:
    """Return a value of ``kind`` for members of JSON. Raises UnexpectedAnswerError."""
    if not isinstance(found, dict):
        raise strange(address, f"no object of {kind.__name__}")
    known = {name: value for name, value in found.items() if value is not None}
    try:
        return msgspec.convert(known, kind)
    except msgspec.ValidationError as error:
        raise strange(address, str(error)) from error


def members(raw: bytes, address: str) -> Members:
    """Return the members of a JSON object. Raises UnexpectedAnswerError."""
    try:
        return msgspec.json.decode(raw, type=Members)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise strange(address, str(error)) from error


def strange(address: str, why: str) -> Exception:
    """Return the error for an answer that has not the form it should have."""
    said = f"{address} answered what this client does not understand ({why}); is it newer?"
    return failure(Unanswered(said, again=False, in_doubt=True))


def _members(reply: Reply) -> Members:
    return members(reply.body, reply.address)
