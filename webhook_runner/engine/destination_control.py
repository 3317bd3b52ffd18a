"""What a person may see and decide of destinations, for all daemons that share the broker."""

from collections.abc import Awaitable, Callable, Iterable

from webhook_runner.engine.destination import Standing, State, together
from webhook_runner.engine.destinations import Destinations, decree
from webhook_runner.engine.fellows import Fellows
from webhook_runner.policy.mixture import Host
from webhook_runner.ports import Clock
from webhook_runner.task.url import NOWHERE, destination_named

LEAST_LATER = 0.001
"""Seconds by which a decree is later than the one before it, whatever the clocks say."""


class DestinationControl:
    """Destinations by their name, such as ``example.com:443``.

    ``elsewhere`` returns how they stand with the workers of this daemon.

    All that name one raise InvalidTaskError for what is no name; what changes something raises
    BrokerUnavailableError.
    """

    def __init__(self, destinations: Destinations, fellows: Fellows, clock: Clock) -> None:
        self._destinations = destinations
        self._fellows = fellows
        self._clock = clock
        self.elsewhere: Callable[[], Awaitable[list[Standing]]] = _nowhere

    async def page(self, state: State | None, limit: int, after: str) -> tuple[list[Standing], str]:
        """Return how destinations stand with this daemon, and after which one it goes on."""
        found: list[Standing] = []
        for each in await self._standings(destination_named(after) if after else NOWHERE):
            if state is not None and each.state is not state:
                continue
            if len(found) == limit:
                return found, found[-1].name
            found.append(each)
        return found, ""

    async def open(self, name: str) -> Standing:
        """Have no daemon call it until ``close``, also after restarts."""
        return await self._decide(destination_named(name), State.OPEN)

    async def close(self, name: str, *, keep: bool = False) -> Standing:
        """Have it called again, now; with ``keep`` whatever it answers, also after restarts."""
        return await self._decide(destination_named(name), State.CLOSED if keep else "")

    async def _standings(self, after: Host) -> Iterable[Standing]:
        here, elsewhere = self._destinations.standings(after), await self.elsewhere()
        if not elsewhere:
            return here
        known: dict[Host, Standing] = {}
        for each in (*here, *elsewhere):
            host = destination_named(each.name)
            if host > after:
                known[host] = together(known[host], each) if host in known else each
        return [known[host] for host in sorted(known)]

    async def _decide(self, host: Host, forced: str) -> Standing:
        at = max(self._clock.now(), self._destinations.decreed_at(host) + LEAST_LATER)
        notice = decree(host, forced, at)
        await self._fellows.post([notice])
        self._destinations.recall(notice)  # who asked sees it at once, wherever the notice is
        return self._destinations.standing(host)


async def _nowhere() -> list[Standing]:
    return []
