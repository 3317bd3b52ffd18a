"""The public states of a task and the table of lawful changes."""

from enum import StrEnum


class TaskState(StrEnum):
    SCHEDULED = "scheduled"
    READY = "ready"
    RUNNING = "running"
    HELD = "held"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    INVALID = "invalid"

    @property
    def is_final(self) -> bool:
        return not LAWFUL[self]


LAWFUL: dict[TaskState, frozenset[TaskState]] = {
    TaskState.SCHEDULED: frozenset(
        {TaskState.READY, TaskState.EXPIRED, TaskState.CANCELLED, TaskState.FAILED}
    ),
    TaskState.READY: frozenset(
        {
            TaskState.RUNNING,
            TaskState.SCHEDULED,
            TaskState.HELD,
            TaskState.EXPIRED,
            TaskState.CANCELLED,
            TaskState.FAILED,
        }
    ),
    TaskState.RUNNING: frozenset(
        {
            TaskState.SUCCEEDED,
            TaskState.SCHEDULED,
            TaskState.READY,
            TaskState.FAILED,
            TaskState.EXPIRED,
            TaskState.CANCELLED,
        }
    ),
    TaskState.HELD: frozenset({TaskState.READY, TaskState.EXPIRED, TaskState.CANCELLED}),
    TaskState.SUCCEEDED: frozenset(),
    TaskState.FAILED: frozenset(),
    TaskState.EXPIRED: frozenset(),
    TaskState.CANCELLED: frozenset(),
    TaskState.INVALID: frozenset(),
}
