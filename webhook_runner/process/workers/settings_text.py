"""Settings on their way to a worker."""

import json

from webhook_runner.settings import Settings


def written(settings: Settings) -> bytes:
    """Return settings as JSON: what has a short form of its own stands in that."""
    tree = settings.model_dump()
    for name, queue in settings.queues.items():
        tree["queues"][name]["success_codes"] = str(queue.success_codes)
    return json.dumps(tree).encode()


def read(text: bytes) -> Settings:
    """Return settings that were ``written``."""
    return Settings.model_validate_json(text)
