"""The facts the engine and the edges tell: one immutable event per transition. observe/ renders."""

from dataclasses import dataclass

from webhook_runner.task.model import Envelope, Failure
from webhook_runner.task.outcome import Outcome
from webhook_runner.task.worker_event import WorkerEvent


@dataclass(frozen=True, slots=True)
class TaskAccepted:
    """A task came in by HTTP and is kept by the broker: whoever asked was promised it."""

    envelope: Envelope


@dataclass(frozen=True, slots=True)
class TaskRefused:
    """A task that came by HTTP was not taken, and who asked was told why. Nothing was set aside."""

    queue: str
    reason: str
    explanation: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class TaskReceived:
    """A valid delivery arrived; the envelope's ``turn`` counts earlier ones without an outcome.

    ``superfluous``: it is of a line beside an older one, and ends here.
    """

    envelope: Envelope
    superfluous: bool = False


@dataclass(frozen=True, slots=True)
class TaskRejected:
    """A message was set aside as invalid, its bytes and the reason with it."""

    queue: str
    reason: str
    explanation: str
    field: str = ""
    task_id: str = ""


@dataclass(frozen=True, slots=True)
class TaskForwarded:
    envelope: Envelope
    errand: str


@dataclass(frozen=True, slots=True)
class TaskScheduled:
    """The task waits in the broker until ``until`` (epoch seconds); no attempt was charged."""

    envelope: Envelope
    until: float
    why: str


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """``lag`` is seconds past the due time."""

    envelope: Envelope
    lag: float


@dataclass(frozen=True, slots=True)
class AttemptFinished:
    envelope: Envelope
    outcome: Outcome
    seconds: float


@dataclass(frozen=True, slots=True)
class RetryScheduled:
    """``envelope`` is the next copy, ``delay`` the seconds until it is due."""

    envelope: Envelope
    delay: float
    reason: str


@dataclass(frozen=True, slots=True)
class TaskSucceeded:
    """``status`` is what the endpoint answered with, as far as that is known here."""

    envelope: Envelope
    status: int | None = None


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """The task has ended without success; ``expired`` tells too late from used up."""

    envelope: Envelope
    failure: Failure
    expired: bool
    rolled_back: bool


@dataclass(frozen=True, slots=True)
class TaskDropped:
    """A copy was acknowledged unused: another one is settled. ``of``: the task it duplicates."""

    envelope: Envelope
    reason: str
    of: str = ""


@dataclass(frozen=True, slots=True)
class TaskReleased:
    """Given back to the broker untouched."""

    envelope: Envelope


@dataclass(frozen=True, slots=True)
class TaskCancelled:
    """The task was called off; ``rolled_back`` when its queue wants that told."""

    envelope: Envelope
    rolled_back: bool = False


@dataclass(frozen=True, slots=True)
class StoreFailed:
    """The store takes nothing now; ``waits``: no task goes on before it does again."""

    reason: str
    waits: bool


@dataclass(frozen=True, slots=True)
class StoreMended:
    """The store takes entries again; ``lost`` were given up meanwhile."""

    lost: int = 0


@dataclass(frozen=True, slots=True)
class QueueChanged:
    """An operator paused, resumed or limited a queue at run time."""

    queue: str
    paused: bool
    limits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BreakerOpened:
    """A destination is called no more until then (epoch seconds; None: until a person says so)."""

    destination: str
    reason: str
    until: float | None
    requests: int
    failures: int


@dataclass(frozen=True, slots=True)
class BreakerClosed:
    """It is called again; ``forced``: a person says so."""

    destination: str
    forced: bool = False


@dataclass(frozen=True, slots=True)
class BrokerConnected:
    host: str
    version: str


@dataclass(frozen=True, slots=True)
class BrokerLost:
    error: str
    retry_in: float


@dataclass(frozen=True, slots=True)
class BrokerBlocked:
    """The broker refuses publishes for want of memory or disk; no new attempt starts."""

    reason: str


@dataclass(frozen=True, slots=True)
class BrokerUnblocked:
    """Publishes are taken again."""


@dataclass(frozen=True, slots=True)
class ConsumingChanged:
    """A queue is consumed, or no longer; ``why`` says what stopped it."""

    queue: str
    consuming: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Warned:
    """Something an operator or sender should know; told once per ``about``."""

    about: str
    text: str


@dataclass(frozen=True, slots=True)
class ConfigReloaded:
    changes: tuple[str, ...]
    need_restart: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConfigRefused:
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DaemonStarted:
    version: str
    config: str
    broker: str
    store: str
    listen: str
    queues: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DaemonOnDefaults:
    """Nothing was configured; ``trial`` is a command to hand in a task at the URL ``tasks``."""

    queue_file: str
    tasks: str
    trial: str
    onward: str


@dataclass(frozen=True, slots=True)
class DaemonReady:
    """Every configured queue is consumed."""


@dataclass(frozen=True, slots=True)
class DaemonDraining:
    """The daemon stops; ``reason`` when nobody asked for it."""

    in_flight: int
    timeout: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DaemonStopped:
    interrupted: int


Event = (
    TaskAccepted
    | TaskRefused
    | TaskReceived
    | TaskRejected
    | TaskForwarded
    | TaskScheduled
    | AttemptStarted
    | AttemptFinished
    | RetryScheduled
    | TaskSucceeded
    | TaskFailed
    | TaskDropped
    | TaskReleased
    | TaskCancelled
    | StoreFailed
    | StoreMended
    | QueueChanged
    | BreakerOpened
    | BreakerClosed
    | BrokerConnected
    | BrokerLost
    | BrokerBlocked
    | BrokerUnblocked
    | ConsumingChanged
    | Warned
    | ConfigReloaded
    | ConfigRefused
    | DaemonStarted
    | DaemonOnDefaults
    | WorkerEvent
    | DaemonReady
    | DaemonDraining
    | DaemonStopped
)
