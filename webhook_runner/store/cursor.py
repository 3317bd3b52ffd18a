"""The cursor of a list: the last row of a page, as a word that callers hand back unread."""

import base64
import binascii
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from webhook_runner.task.record import TaskRecord

LARGEST_RUN = 2**63 - 1
"""What a column of either database holds."""


class Mark(Struct, frozen=True, array_like=True):
    """The place of a run in a list: youngest first, then by id and run."""

    created_at: float
    id: str
    run: Annotated[int, Meta(ge=1, le=LARGEST_RUN)]


def cursor_after(record: TaskRecord) -> str:
    raw = msgspec.json.encode(Mark(record.created_at, record.id, record.run))
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def read_cursor(cursor: str) -> Mark:
    """Read what ``cursor_after`` has written. Raises ValueError."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        return msgspec.json.decode(raw, type=Mark)
    except (binascii.Error, msgspec.MsgspecError, ValueError) as error:
        raise ValueError(f"{cursor[:60]!r} is no cursor of this list") from error
