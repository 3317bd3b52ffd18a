"""A finished run as one line of JSON: everything that is known of it, its attempts included."""

import msgspec

from webhook_runner.task.record import Attempt, TaskRecord


def line_of(record: TaskRecord, attempts: list[Attempt]) -> dict[str, object]:
    """Return what JSON can hold. Times are epoch seconds; bodies and fingerprints are base64.

    ``source``, ``metadata`` and ``progress`` are JSON already and become its text.
    """
    line: dict[str, object] = msgspec.to_builtins(record)
    for name in ("source", "metadata", "progress"):
        value: bytes | None = getattr(record, name)
        line[name] = None if value is None else value.decode("utf-8", "replace")
    of_run = [msgspec.to_builtins(attempt) for attempt in attempts]
    for attempt in of_run:
        del attempt["id"], attempt["run"]
    return {**line, "attempts": of_run}
