"""The event loop: uvloop where it is installed; and a garbage collector that seldom looks."""

import asyncio
import gc
import importlib
import importlib.util
from collections.abc import Callable, Coroutine
from typing import Any

_BETWEEN_COLLECTIONS = 20_000


def run_in_loop(main: Coroutine[Any, Any, int]) -> int:
    """Run it to its end, and return its exit code."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if importlib.util.find_spec("uvloop"):
        factory = importlib.import_module("uvloop").new_event_loop
    # What is there by now stays: no collection need look at it again. Tasks leave few cycles.
    gc.freeze()
    gc.set_threshold(_BETWEEN_COLLECTIONS, 50, 100)
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)
