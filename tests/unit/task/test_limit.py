"""Limit of retries: the task's wish, capped by its queue."""

from typing import Literal

import pytest

from webhook_runner.settings import QueueSettings
from webhook_runner.task.limit import retries_allowed, retries_of
from webhook_runner.task.model import Envelope, Kind, Task


@pytest.mark.parametrize(
    ("wish", "cap", "counts", "expected"),
    [
        (None, -1, "retries", None),
        (-1, -1, "retries", None),
        (None, 4, "retries", 4),
        (-1, 4, "retries", 4),
        (0, -1, "retries", 0),
        (0, 4, "retries", 0),
        (3, -1, "retries", 3),
        (3, 4, "retries", 3),
        (5, 4, "retries", 4),
        (3, 0, "retries", 0),
        (None, -1, "attempts", None),
        (3, -1, "attempts", 2),
        (1, -1, "attempts", 0),
        (0, -1, "attempts", 0),
        (None, 4, "attempts", 3),
    ],
)
def test_the_smaller_finite_limit_holds(
    wish: int | None, cap: int, counts: Literal["retries", "attempts"], expected: int | None
) -> None:
    queue = QueueSettings(retry_limit=cap, max_retries_counts=counts)

    assert retries_allowed(wish, queue) == expected


@pytest.mark.parametrize(("limit", "expected"), [(10, 10), (0, 0), (-1, None)])
def test_a_roll_back_has_a_limit_of_its_own(limit: int, expected: int | None) -> None:
    task = Task(id="a~rb", queue="q", url="/u", source=b"", max_retries=1)
    envelope = Envelope(task=task, first_at=0, due_at=0, kind=Kind.ROLLBACK)

    assert (
        retries_of(envelope, QueueSettings(retry_limit=2, rollback_retry_limit=limit)) == expected
    )


def test_a_task_on_its_way_keeps_its_own_limit() -> None:
    task = Task(id="a", queue="q", url="/u", source=b"", max_retries=1)
    envelope = Envelope(task=task, first_at=0, due_at=0)

    assert retries_of(envelope, QueueSettings(retry_limit=2)) == 1
    assert retries_of(envelope, QueueSettings(retry_limit=0)) == 0
