"""Every knob: one strict, frozen tree with defaults and units. Parsing lives in config/."""

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from webhook_runner.values import Codes, parse_codes, parse_rate, parse_seconds_list

EMBEDDED = "embedded:"
MEMORY = ":memory:"
SQLITE = "sqlite:"
POSTGRESQL = ("postgresql://", "postgres://")
NO_STORE = "none"
_FROM_HERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "*": "127.0.0.1"}  # noqa: S104 - read, not bound
QUEUE_NAME = r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$"

Rate = Annotated[float, Field(gt=0, allow_inf_nan=True), BeforeValidator(parse_rate)]
SuccessCodes = Annotated[Codes, BeforeValidator(parse_codes)]
Delays = Annotated[tuple[float, ...], BeforeValidator(parse_seconds_list)]
Positive = Annotated[float, Field(gt=0)]
Name = Annotated[str, Field(pattern=QUEUE_NAME)]


def host_and_port(text: str) -> tuple[str, str]:
    """Return the parts of ``box:80``, ``[::1]:80`` or ``box``; the port may be missing."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, ""
    return host.removeprefix("[").removesuffix("]"), port


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=True
    )


class QueueSettings(Section):
    """The policy of one queue. Durations are seconds, rates are tasks per second."""

    concurrency: Annotated[int, Field(ge=1, le=10_000)] = 10
    per_host_concurrency: Annotated[int, Field(ge=0, le=10_000)] = 0
    rate: Rate = float("inf")
    bucket_size: Annotated[float, Field(ge=0)] = 0
    retry_limit: Annotated[int, Field(ge=-1)] = -1
    min_backoff_seconds: Annotated[float, Field(ge=0)] = 1
    max_backoff_seconds: Annotated[float, Field(ge=-1)] = 604800
    max_doublings: Annotated[int, Field(ge=-1)] = -1
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.1
    backoff: Literal["doubling", "sidekiq", "standard"] = "doubling"
    schedule: Delays = ()
    timeout: Annotated[float, Field(gt=0, le=1500)] = 60
    max_timeout: Annotated[float, Field(gt=0, le=1500)] = 600
    connect_timeout: Positive = 10
    success_codes: SuccessCodes = Codes(((200, 299),))
    success_json: Annotated[str, Field(pattern=r"^$|^[^=]+=.*$")] = ""
    retry_on: Literal["all", "smart"] = "all"
    count_transport_errors: bool = True
    max_retries_counts: Literal["retries", "attempts"] = "retries"
    retry_after_max: Annotated[float, Field(ge=0)] = 86400
    rate_headers: bool = False
    gone_disables: bool = False
    max_snoozes: Annotated[int, Field(ge=0)] = 100
    max_task_age: Annotated[float, Field(ge=0)] = 0
    max_redeliveries: Annotated[int, Field(ge=1, le=40)] = 10
    expires_aborts: bool = False
    dedup: bool = False
    dedup_window: Positive = 600
    cancel_running: Literal["abort", "finish"] = "abort"
    base_url: str = ""
    headers: Mapping[str, str] = Field(default_factory=dict)
    body_on_get: bool = False
    allow_hosts: tuple[str, ...] = ()
    rollback_on: tuple[Literal["failed", "expired", "cancelled"], ...] = ("failed", "expired")
    rollback_body: Literal["envelope", "payload"] = "envelope"
    rollback_retry_limit: Annotated[int, Field(ge=-1)] = 10
    extensions: tuple[Annotated[str, Field(pattern=r"^[\w.]+:[\w.]+$")], ...] = ()


class BrokerSettings(Section):
    password_file: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    auth: Literal["plain", "external"] = "plain"
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,49}$")] = "wr.v1"
    topology: Literal["declare", "verify", "none"] = "declare"
    heartbeat: Annotated[int, Field(ge=2, le=600)] = 10
    confirm_timeout: Positive = 30
    reconnect_min_seconds: Positive = 1
    reconnect_max_seconds: Positive = 30
    wheel_memory_bytes: Annotated[int, Field(ge=1_048_576)] = 268_435_456


class TokenSettings(Section):
    """Who may use the HTTP API, by a token that only its hash or a private file tells."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    role: Literal["read", "full"] = "full"
    hash: Annotated[str, Field(pattern=r"^$|^sha256:[0-9a-f]{64}$")] = ""
    file: str = ""


class ApiSettings(Section):
    """``rate`` is requests per second of each token."""

    listen: Annotated[str, Field(pattern=r"^$|^(\[[0-9A-Fa-f:]+\]|[^:\[\]]+):\d{1,5}$")] = (
        "127.0.0.1:7676"
    )
    tokens: tuple[TokenSettings, ...] = ()
    rate: Rate = float("inf")

    @property
    def url(self) -> str:
        """Where this machine calls it; "" when it is off, or its port not known beforehand."""
        host, _, port = self.listen.rpartition(":")
        return f"http://{_FROM_HERE.get(host, host)}:{port}" if port.strip("0") else ""


class StoreSettings(Section):
    """``url`` is sqlite:PATH, postgresql://..., none, or "" for what goes with the broker."""

    url: str = ""
    password_file: str = ""
    on_failure: Literal["strict", "degraded"] = "strict"
    retention_days: Annotated[float, Field(gt=0, le=36_500)] = 14
    payloads: bool = True


class EgressSettings(Section):
    profile: Literal["internal", "public"] = "internal"
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    ca_file: str = ""
    proxy: str = ""
    no_proxy: tuple[str, ...] = ()


class BreakerSettings(Section):
    """When a destination is left alone for a while; each daemon judges for itself."""

    enabled: bool = True
    window_seconds: Annotated[float, Field(ge=1, le=3600)] = 60
    min_requests: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    failure_ratio: Annotated[float, Field(gt=0, le=1)] = 0.5
    open_seconds: Annotated[float, Field(ge=0.1, le=86_400)] = 30
    max_open_seconds: Annotated[float, Field(ge=0.1, le=86_400)] = 600


class PerformanceSettings(Section):
    http: Literal["lean", "httpx2"] = "lean"
    amqp: Literal["lean", "aio-pika"] = "lean"


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console", "logfmt"] = "auto"
    metadata: bool = False


class Settings(Section):
    """The whole file. See taskqueue.ini for what each key means."""

    server: str | tuple[str, ...] = "amqp://guest:guest@localhost:5672/"
    base_url: str = ""
    default_queue: Name = "default"
    unknown_queue: Literal["reject", "default"] = "reject"
    strict: bool = False
    shutdown_timeout: Annotated[float, Field(ge=0, le=3600)] = 30
    max_message_bytes: Annotated[int, Field(ge=1024, le=16_777_216)] = 1_048_576
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    max_total: Annotated[int, Field(ge=1, le=100_000)] = 1000
    max_delay: Positive = 31_536_000
    on_disconnect: Literal["reconnect", "drain_exit", "abort_exit"] = "reconnect"
    broker: BrokerSettings = BrokerSettings()
    store: StoreSettings = StoreSettings()
    api: ApiSettings = ApiSettings()
    egress: EgressSettings = EgressSettings()
    breaker: BreakerSettings = BreakerSettings()
    performance: PerformanceSettings = PerformanceSettings()
    log: LogSettings = LogSettings()
    queues: Mapping[Name, QueueSettings] = Field(
        default_factory=lambda: {"default": QueueSettings()}, min_length=1
    )

    @property
    def servers(self) -> tuple[str, ...]:
        return (self.server,) if isinstance(self.server, str) else self.server

    @property
    def queue_file(self) -> str:
        """The file of the embedded broker, ``:memory:`` for none; "" when RabbitMQ is used."""
        if isinstance(self.server, str) and self.server.startswith(EMBEDDED):
            return self.server.removeprefix(EMBEDDED)
        return ""

    @property
    def store_url(self) -> str:
        """What ``store.url`` says, or what goes with the broker; without ``password_file``.

        Two queue files of one directory have two state files.
        """
        if self.store.url:
            return self.store.url
        if not self.queue_file:
            return NO_STORE
        directory, slash, name = self.queue_file.rpartition("/")
        if self.queue_file != MEMORY:
            stem = name.removesuffix(".db")
            name = "state.db" if stem == "queue" else f"{stem}.state.db"
        return f"{SQLITE}{directory}{slash}{name}"

    @property
    def state_file(self) -> str:
        """The file of the store, ``:memory:`` for none kept; "" when it is not SQLite's."""
        url = self.store_url
        return url.removeprefix(SQLITE) if url.startswith(SQLITE) else ""
