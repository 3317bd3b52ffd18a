"""Queues as the API tells them, and the limits that may be changed while it runs."""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from webhook_runner.api.task_views import Time, instant
from webhook_runner.engine.queue_control import QueueView
from webhook_runner.engine.steering import LIMITS
from webhook_runner.settings import QueueSettings
from webhook_runner.values import rate_text

_WRITTEN: dict[str, dict[str, Any]] = {
    "rate": {
        "type": "string",
        "pattern": r"^(unlimited|[0-9]{0,6}[1-9](\.[0-9]{1,3})?/[smhd])$",
        "description": 'Tasks per time, such as "10/s" or "21.5/m"; "unlimited".',
    },
    "success_codes": {
        "type": "string",
        "pattern": r"^[1-5][0-9]{2}(,[1-5][0-9]{2})*$",
        "description": 'Statuses and ranges, such as "200-299,404".',
    },
}


class QueueBody(Struct, frozen=True):
    """A queue: what lies in it, and how it may be worked on. null: that cannot be told."""

    name: str
    paused: bool
    condition: Annotated[str, Meta(description='"ok", or why it is not worked on.')]
    ready: int | None
    running: Annotated[int | None, Meta(description="By this daemon.")]
    scheduled: int | None
    dead: int | None
    invalid: int | None
    oldest_at: Annotated[
        Time | None, Meta(description="When the oldest task came that has not ended.")
    ]
    lag_seconds: Annotated[
        float | None, Meta(description="How long what is due has waited for its turn.")
    ]
    limits: dict[str, str | int | float]
    changed: Annotated[
        list[str], Meta(description="Limits that were changed while it runs: the file's differ.")
    ]


class QueueList(Struct, frozen=True):
    items: list[QueueBody]
    next: None = None


class PurgedBody(Struct, frozen=True):
    """How many tasks were removed."""

    ready: int
    scheduled: int


def limit_schema() -> dict[str, Any]:
    """Return the JSON Schema of a change of limits: null takes one back to the file's."""
    told = QueueSettings.model_json_schema()["properties"]
    properties = {
        name: {"anyOf": [_WRITTEN.get(name) or _bounds(told[name]), {"type": "null"}]}
        for name in LIMITS
    }
    return {
        "title": "Limits",
        "type": "object",
        "additionalProperties": False,
        "minProperties": 1,
        "properties": properties,
    }


def _bounds(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name not in {"title", "default"}}


def queue_body(view: QueueView) -> QueueBody:
    limits = {name: getattr(view.settings, name) for name in LIMITS}
    limits |= {"rate": rate_text(view.settings.rate), "success_codes": str(limits["success_codes"])}
    return QueueBody(
        name=view.name,
        paused=view.paused,
        condition=view.condition,
        ready=view.ready,
        running=view.running,
        scheduled=view.scheduled,
        dead=view.dead,
        invalid=view.invalid,
        oldest_at=instant(view.oldest_at),
        lag_seconds=view.lag_seconds,
        limits=limits,
        changed=sorted(view.changed),
    )
