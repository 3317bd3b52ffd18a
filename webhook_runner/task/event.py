"""The facts the engine and the edges tell: one immutable event per transition. observe/ renders."""

from msgspec import Struct

from webhook_runner.task.model import Envelope, Failure
from webhook_runner.task.outcome import Outcome
from webhook_runner.task.worker_event import WorkerEvent


class TaskAccepted(Struct, frozen=True):
    """A task came in by HTTP and is kept by the broker: whoever asked was promised it."""

    envelope: Envelope


class TaskRefused(Struct, frozen=True):
    """A task that came by HTTP was not taken, and who asked was told why. Nothing was set aside."""

    queue: str
    reason: str
    explanation: str
    field: str = ""


class TaskReceived(Struct, frozen=True):
    """A valid delivery arrived; the envelope's ``turn`` counts earlier ones without an outcome.

    ``superfluous``: it is of a line beside an older one, and ends here.
    """

    envelope: Envelope
    superfluous: bool = False


class TaskRejected(Struct, frozen=True):
    """A message was set aside as invalid, its bytes and the reason with it."""

    queue: str
    reason: str
    explanation: str
    field: str = ""
    task_id: str = ""


class TaskForwarded(Struct, frozen=True):
    envelope: Envelope
    errand: str


class TaskScheduled(Struct, frozen=True):
    """The task waits in the broker until ``until`` (epoch seconds); no attempt was charged."""

    envelope: Envelope
    until: float
    why: str


class AttemptStarted(Struct, frozen=True):
    """``lag`` is seconds past the due time."""

    envelope: Envelope
    lag: float


class AttemptFinished(Struct, frozen=True):
    envelope: Envelope
    outcome: Outcome
    seconds: float


class RetryScheduled(Struct, frozen=True):
    """``envelope`` is the next copy, ``delay`` the seconds until it is due."""

    envelope: Envelope
    delay: float
    reason: str


class TaskSucceeded(Struct, frozen=True):
    """``status`` is what the endpoint answered with, as far as that is known here."""

    envelope: Envelope
    status: int | None = None


class TaskFailed(Struct, frozen=True):
    """The task has ended without success; ``expired`` tells too late from used up."""

    envelope: Envelope
    failure: Failure
    expired: bool
    rolled_back: bool


class TaskDropped(Struct, frozen=True):
    """A copy was acknowledged unused: another one is settled. ``of``: the task it duplicates."""

    envelope: Envelope
    reason: str
    of: str = ""


class TaskReleased(Struct, frozen=True):
    """Given back to the broker untouched."""

    envelope: Envelope


class TaskCancelled(Struct, frozen=True):
    """The task was called off; ``rolled_back`` when its queue wants that told."""

    envelope: Envelope
    rolled_back: bool = False


class StoreFailed(Struct, frozen=True):
    """The store takes nothing now; ``waits``: no task goes on before it does again."""

    reason: str
    waits: bool


class StoreMended(Struct, frozen=True):
    """The store takes entries again; ``lost`` were given up meanwhile."""

    lost: int = 0


class QueueChanged(Struct, frozen=True):
    """An operator paused, resumed or limited a queue at run time."""

    queue: str
    paused: bool
    limits: tuple[str, ...] = ()


class BreakerOpened(Struct, frozen=True):
    """A destination is called no more until then (epoch seconds; None: until a person says so)."""

    destination: str
    reason: str
    until: float | None
    requests: int
    failures: int


class BreakerClosed(Struct, frozen=True):
    """It is called again; ``forced``: a person says so."""

    destination: str
    forced: bool = False


class BrokerConnected(Struct, frozen=True):
    host: str
    version: str


class BrokerLost(Struct, frozen=True):
    error: str
    retry_in: float


class BrokerBlocked(Struct, frozen=True):
    """The broker refuses publishes for want of memory or disk; no new attempt starts."""

    reason: str


class BrokerUnblocked(Struct, frozen=True):
    """Publishes are taken again."""


class ConsumingChanged(Struct, frozen=True):
    """A queue is consumed, or no longer; ``why`` says what stopped it."""

    queue: str
    consuming: bool
    why: str = ""


class Warned(Struct, frozen=True):
    """Something an operator or sender should know; told once per ``about``."""

    about: str
    text: str


class ConfigReloaded(Struct, frozen=True):
    changes: tuple[str, ...]
    need_restart: tuple[str, ...]


class ConfigRefused(Struct, frozen=True):
    problems: tuple[str, ...]


class DaemonStarted(Struct, frozen=True):
    version: str
    config: str
    broker: str
    store: str
    listen: str
    queues: tuple[str, ...]


class DaemonOnDefaults(Struct, frozen=True):
    """Nothing was configured; ``trial`` is a command to hand in a task at the URL ``tasks``."""

    queue_file: str
    tasks: str
    trial: str
    onward: str


class DaemonReady(Struct, frozen=True):
    """Every configured queue is consumed."""


class DaemonDraining(Struct, frozen=True):
    """The daemon stops; ``reason`` when nobody asked for it."""

    in_flight: int
    timeout: float
    reason: str = ""


class DaemonStopped(Struct, frozen=True):
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
