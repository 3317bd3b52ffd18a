"""Patience with a queue that is being deleted under its consumers."""

import asyncio
import random
from collections.abc import Callable

LEAST_SECONDS, MOST_SECONDS = 0.2, 1.2


def when_deleted(again: Callable[[], None]) -> None:
    """Call this once a queue whose consumer the broker has cancelled is surely gone.

    Who declares and consumes it at once, or in the same moment as others, may lose the connection
    by that, and all that it was handed comes again: RabbitMQ 3.10 ends it with 541 INTERNAL_ERROR.
    """
    wait = random.uniform(LEAST_SECONDS, MOST_SECONDS)  # noqa: S311 - not a secret, a jitter
    asyncio.get_running_loop().call_later(wait, again)
