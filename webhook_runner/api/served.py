"""What the API lets one see and do: the parts of a daemon that it speaks to."""

from collections.abc import Callable
from dataclasses import dataclass

from webhook_runner.api.credentials import Credentials
from webhook_runner.api.events import EventHub
from webhook_runner.api.health import Readiness
from webhook_runner.api.limits import Pace
from webhook_runner.engine.aside_control import AsideControl
from webhook_runner.engine.intake import Intake
from webhook_runner.engine.queue_control import QueueControl
from webhook_runner.engine.task_control import TaskControl


@dataclass(frozen=True, slots=True)
class Served:
    """The first two are asked anew for each request."""

    readiness: Callable[[], Readiness]
    metrics: Callable[[], bytes]
    intake: Intake
    tasks: TaskControl
    queues: QueueControl
    asides: AsideControl
    events: EventHub
    credentials: Credentials
    pace: Pace
