"""Who does the work of a daemon: it alone, or workers."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from webhook_runner.settings import Settings


class Workforce(Protocol):
    """The workers of a daemon, as it sees them."""

    async def run(self) -> None:
        """Have them work, until cancelled."""

    def adopt(self, settings: Settings) -> None:
        """Give them new settings."""

    def divide(self) -> None:
        """Divide the limits of queues anew: they may have changed."""

    def pause(self, *, paused: bool) -> None:
        """Have them take nothing, or take again."""

    def troubles(self) -> Mapping[str, str]:
        """Return what keeps the daemon from being ready, by part."""

    async def drain(self, hurry: asyncio.Event) -> int:
        """Have them finish and end; how many attempts they cut off."""


class Alone:
    """There are no workers. See ``Workforce``."""

    async def run(self) -> None:
        await asyncio.get_running_loop().create_future()

    def adopt(self, settings: Settings) -> None:
        """Do nothing."""

    def divide(self) -> None:
        """Do nothing."""

    def pause(self, *, paused: bool) -> None:
        """Do nothing."""

    def troubles(self) -> Mapping[str, str]:
        return {}

    async def drain(self, hurry: asyncio.Event) -> int:  # noqa: ARG002 - there is nobody to hurry
        return 0
