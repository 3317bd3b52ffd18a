"""A queue as the engine sees it: its policy, its gate, the address its paths are joined to."""

from collections.abc import Mapping

from webhook_runner.engine.limits import Gate
from webhook_runner.errors import InvalidTaskError
from webhook_runner.policy.mixture import Host
from webhook_runner.ports import Clock
from webhook_runner.settings import QueueSettings
from webhook_runner.task.url import NOWHERE, absolute, host_of


class Lane:
    """One configured queue. ``settings`` is replaced whole by a reload.

    ``lag`` is how late its last attempt here began, in seconds; None before the first.
    ``elsewhere`` is how many attempts of it run in the workers of this process.
    """

    def __init__(self, name: str, settings: QueueSettings, base_url: str, clock: Clock) -> None:
        self.name = name
        self.settings = settings
        self.base_url = settings.base_url or base_url
        self.gate = Gate(settings, clock)
        self.lag: float | None = None
        self.elsewhere = 0

    @property
    def running(self) -> int:
        """How many attempts of it run here, or in workers."""
        return self.gate.used + self.elsewhere

    def destination_of(self, url: str) -> Host:
        """Return the host and port that a task of this queue calls; ``NOWHERE`` for a bad url."""
        try:
            return host_of(absolute(url, self.base_url))
        except InvalidTaskError:
            return NOWHERE  # its attempt will be refused

    def expect(self, url: str) -> None:
        """Know of a task that comes: one behind a backlog of another destination is to be met."""
        self.gate.note(self.destination_of(url))

    def reconfigure(self, settings: QueueSettings, base_url: str) -> None:
        self.settings = settings
        self.base_url = settings.base_url or base_url
        self.gate.reconfigure(settings)


Lanes = Mapping[str, Lane]
