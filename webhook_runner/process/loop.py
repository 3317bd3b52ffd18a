"""The event loop: uvloop where it is installed."""

import asyncio
import importlib
import importlib.util
from collections.abc import Callable, Coroutine
from typing import Any


def run_in_loop(main: Coroutine[Any, Any, int]) -> int:
    """Run it to its end, and return its exit code."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if importlib.util.find_spec("uvloop"):
        factory = importlib.import_module("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)
