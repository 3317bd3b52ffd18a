"""Settings on their way to a worker."""

import json

from webhook_runner.policy.division import parts
from webhook_runner.settings import Settings

LEAST_WHEEL = 1_048_576


def written(settings: Settings) -> bytes:
    """Return settings as JSON: what has a short form of its own stands in that."""
    tree = settings.model_dump()
    for name, queue in settings.queues.items():
        tree["queues"][name]["success_codes"] = str(queue.success_codes)
    return json.dumps(tree).encode()


def part_of(settings: Settings, number: int, count: int) -> Settings:
    """Return the settings of one of ``count`` workers: its part of what all queues share."""
    wheel = parts(settings.broker.wheel_memory_bytes, count)[number]
    broker = settings.broker.model_copy(update={"wheel_memory_bytes": max(LEAST_WHEEL, wheel)})
    total = parts(settings.max_total, count)[number]
    return settings.model_copy(update={"max_total": total, "broker": broker})


def read(text: bytes) -> Settings:
    """Return settings that were ``written``."""
    return Settings.model_validate_json(text)
