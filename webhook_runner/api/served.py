"""What the API lets one see and do, and who may: the parts of a daemon that it speaks to."""

from collections.abc import Callable
from dataclasses import dataclass

from webhook_runner.api.credentials import Credentials
from webhook_runner.api.events import EventHub
from webhook_runner.api.health import Readiness
from webhook_runner.api.limits import Pace
from webhook_runner.engine.control import Control
from webhook_runner.engine.intake import Intake
from webhook_runner.ports import Clock
from webhook_runner.settings import ApiSettings


class Door:
    """Who may come in, how often, and what those are told who listen. ``events`` observes."""

    def __init__(self, settings: ApiSettings, clock: Clock) -> None:
        self.credentials = Credentials(settings)
        self.pace = Pace(settings.rate, clock.monotonic)
        self.events = EventHub(clock.now)

    def adopt(self, settings: ApiSettings) -> None:
        """Take over tokens and rate. Raises ConfigError for a file that cannot be read."""
        self.credentials.adopt(settings)
        self.pace.adopt(settings.rate)


@dataclass(frozen=True, slots=True)
class Served:
    """The first two are asked anew for each request."""

    readiness: Callable[[], Readiness]
    metrics: Callable[[], bytes]
    intake: Intake
    control: Control
    door: Door
