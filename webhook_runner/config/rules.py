"""Rules that one key's type cannot tell: shapes of values, and settings that must fit together."""

from collections.abc import Iterator

from webhook_runner.config.place import Finding, Path, basic_string
from webhook_runner.config.shapes import (
    base_url_problem,
    broker_url_problem,
    header_problem,
    listen_problem,
    proxy_problem,
    queue_file_problem,
    rule_problem,
    store_url_problem,
)
from webhook_runner.settings import (
    EMBEDDED,
    MEMORY,
    NO_STORE,
    POSTGRESQL,
    ApiSettings,
    BrokerSettings,
    EgressSettings,
    PerformanceSettings,
    QueueSettings,
    Settings,
    host_and_port,
    is_loopback,
)


def broken_rules(settings: Settings) -> Iterator[Finding]:
    """Yield everything in a well-typed tree that cannot work."""
    yield from _servers(settings)
    if not settings.queue_file:
        yield from _broker(settings)
    yield from _processes(settings)
    yield from _store(settings)
    yield from _egress(settings.egress)
    if settings.breaker.open_seconds > settings.breaker.max_open_seconds:
        yield _above(("breaker",), "open_seconds", "max_open_seconds", settings.breaker)
    yield from _base_url(("base_url",), settings.base_url)
    yield from _api(settings.api)
    if settings.unknown_queue == "default" and settings.default_queue not in settings.queues:
        yield Finding(
            ("default_queue",),
            f"{basic_string(settings.default_queue)} is not configured, and unknown_queue ="
            f' "default" sends tasks there; add [queues.{settings.default_queue}]',
            (("unknown_queue",), ("queues",)),
        )
    for name, queue in settings.queues.items():
        yield from _queue(name, queue, settings.broker.prefix)


def _if(path: Path, problem: str) -> Iterator[Finding]:
    if problem:
        yield Finding(path, problem)


def _servers(settings: Settings) -> Iterator[Finding]:
    if not settings.servers:
        yield Finding(("server",), 'an empty list; write "amqp://user:password@host:5672/"')
    if isinstance(settings.server, str) and settings.server.startswith(EMBEDDED):
        path = settings.server.removeprefix(EMBEDDED)
        yield from _if(("server",), queue_file_problem(path))
        return
    for url in settings.servers:
        alone = 'an embedded broker stands alone, not in a list: server = "embedded:/path/queue.db"'
        embedded = url.startswith(EMBEDDED)
        yield from _if(("server",), alone if embedded else broker_url_problem(url))


def _broker(settings: Settings) -> Iterator[Finding]:
    broker = settings.broker
    for one, other in (("cert_file", "key_file"), ("key_file", "cert_file")):
        if getattr(broker, one) and not getattr(broker, other):
            yield Finding(("broker", one), f"needs {other} beside it", (("broker", other),))
    if broker.auth == "external" and not broker.cert_file:
        yield Finding(
            ("broker", "auth"),
            '"external" needs a client certificate: cert_file and key_file',
            (("broker", "cert_file"),),
        )
    if broker.auth == "external" and not all(url.startswith("amqps:") for url in settings.servers):
        yield Finding(("broker", "auth"), '"external" needs an amqps:// server', (("server",),))
    if broker.reconnect_min_seconds > broker.reconnect_max_seconds:
        yield _above(("broker",), "reconnect_min_seconds", "reconnect_max_seconds", broker)


def _processes(settings: Settings) -> Iterator[Finding]:
    if settings.processes > 1 and settings.queue_file:
        yield Finding(
            ("processes",),
            f"{settings.processes} processes cannot share a queue file, which has one owner; write"
            ' processes = 1, or name a RabbitMQ: server = "amqp://user:password@host:5672/"',
            (("server",),),
        )
    elif settings.processes > settings.max_total:
        yield Finding(
            ("processes",),
            f"{settings.processes} is above max_total = {settings.max_total}: some would have"
            " nothing to do; lower one or raise the other",
            (("max_total",),),
        )


def _store(settings: Settings) -> Iterator[Finding]:
    place = ("store", "url")
    yield from _if(place, store_url_problem(settings.store.url))
    if (file := settings.queue_file) not in {"", MEMORY}:
        taken = {file, *(file + suffix for suffix in ("-wal", "-shm", ".lock"))}
        if settings.state_file in taken:
            yield Finding(
                place, f"{settings.state_file} is of the queue file; name another", (("server",),)
            )
    if settings.store_url != NO_STORE:
        return
    for name, queue in settings.queues.items():
        if queue.dedup:
            yield Finding(
                ("queues", name, "dedup"),
                'needs a store: [store] url = "sqlite:/path/state.db" for one daemon,'
                ' "postgresql://..." for many',
                (place, ("server",)),
            )


def _above(table: Path, low: str, high: str, section: object) -> Finding:
    values = f"{getattr(section, low):g} is above {high} = {getattr(section, high):g}"
    return Finding((*table, low), f"{values}; lower one or raise the other", ((*table, high),))


def _api(api: ApiSettings) -> Iterator[Finding]:
    yield from _if(("api", "listen"), listen_problem(api.listen))
    names = [token.name for token in api.tokens]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Finding(("api", "tokens"), f"{basic_string(name)} is there twice; name each once")
    for token in api.tokens:
        if bool(token.hash) == bool(token.file):
            text = f'{basic_string(token.name)} needs either hash = "sha256:..." or file'
            yield Finding(("api", "tokens"), f"{text}; `webhook-runner token` prints one")
    is_open = bool(api.listen) and not is_loopback(host_and_port(api.listen)[0])
    if is_open and not api.tokens and not listen_problem(api.listen):
        yield Finding(
            ("api", "listen"),
            f"whoever reaches {api.listen} could queue and cancel tasks; add tokens, of which"
            ' `webhook-runner token` prints one, or write "127.0.0.1:7676"',
            (("api", "tokens"),),
        )


def _egress(egress: EgressSettings) -> Iterator[Finding]:
    for key in ("allow", "deny"):
        for entry in getattr(egress, key):
            yield from _if(("egress", key), rule_problem(entry))
    for entry in egress.no_proxy:
        if entry != "*":
            yield from _if(("egress", "no_proxy"), rule_problem(entry.removeprefix(".")))
    if egress.proxy:
        yield from _if(("egress", "proxy"), proxy_problem(egress.proxy))


def _base_url(path: Path, url: str) -> Iterator[Finding]:
    if url and (problem := base_url_problem(url)):
        yield Finding(path, problem)


def _queue(name: str, queue: QueueSettings, prefix: str) -> Iterator[Finding]:
    table = ("queues", name)
    reserved = next((each for each in (prefix, "amq.") if name.startswith(each)), "")
    if reserved:
        reason = "broker.prefix" if reserved == prefix else "RabbitMQ itself"
        yield Finding(
            table,
            f"names that start with {basic_string(reserved)} belong to {reason}; choose another",
            (("broker", "prefix"),),
        )
    yield from _waits(table, queue)
    yield from _base_url((*table, "base_url"), queue.base_url)
    for host in queue.allow_hosts:
        yield from _if((*table, "allow_hosts"), rule_problem(host))
    for header, value in queue.headers.items():
        yield from _if((*table, "headers", header), header_problem(header, value))
    names = [header.lower() for header in queue.headers]
    for header in {header for header in names if names.count(header) > 1}:
        yield Finding((*table, "headers"), f"{header} is there twice, in other capitals")


def _waits(table: Path, queue: QueueSettings) -> Iterator[Finding]:
    if queue.max_backoff_seconds < 0:
        if queue.max_backoff_seconds != -1:
            yield Finding((*table, "max_backoff_seconds"), "write -1 for no limit, else 0 or more")
    elif queue.min_backoff_seconds > queue.max_backoff_seconds:
        yield _above(table, "min_backoff_seconds", "max_backoff_seconds", queue)
    if queue.timeout > queue.max_timeout:
        yield _above(table, "timeout", "max_timeout", queue)
    if 0 < queue.bucket_size < 1:
        yield Finding(
            (*table, "bucket_size"),
            f"{queue.bucket_size:g} would never hold a token; write 0 (rate / 5) or 1 or more",
        )


def doubts(settings: Settings) -> Iterator[Finding]:
    """Yield what works, but hardly as meant."""
    for name, queue in settings.queues.items():
        if queue.per_host_concurrency > queue.concurrency:
            yield Finding(
                ("queues", name, "per_host_concurrency"),
                f"{queue.per_host_concurrency} is above concurrency = {queue.concurrency},"
                " which limits it",
                (("queues", name, "concurrency"),),
            )
        if queue.concurrency > settings.max_total:
            yield Finding(
                ("queues", name, "concurrency"),
                f"{queue.concurrency} is above max_total = {settings.max_total}, which limits it",
                (("max_total",),),
            )
    if settings.queue_file:
        yield from _doubts_of_embedded(settings)
    elif settings.broker.ca_file and not any(url.startswith("amqps:") for url in settings.servers):
        yield Finding(("broker", "ca_file"), "not used: no server is amqps://", (("server",),))
    yield from _doubts_of_store(settings)


def _doubts_of_store(settings: Settings) -> Iterator[Finding]:
    if settings.store.password_file and not settings.store_url.startswith(POSTGRESQL):
        yield Finding(
            ("store", "password_file"), "not used: the store is not PostgreSQL", (("store", "url"),)
        )
    if settings.state_file == MEMORY != settings.queue_file:
        yield Finding(("store", "url"), "what is known of tasks ends with the daemon")


def _doubts_of_embedded(settings: Settings) -> Iterator[Finding]:
    if settings.on_disconnect != "reconnect":
        yield Finding(("on_disconnect",), "not used: an embedded broker is never lost")
    for key, default in BrokerSettings():
        if getattr(settings.broker, key) != default:
            yield Finding(("broker", key), "not used: it is for RabbitMQ, and server is embedded")
    if settings.performance.amqp != PerformanceSettings().amqp:
        yield Finding(
            ("performance", "amqp"), "not used: it is for RabbitMQ, and server is embedded"
        )
    if settings.queue_file == MEMORY:
        yield Finding(("server",), "tasks are kept in memory only and end with the daemon")
    if not settings.api.listen:
        yield Finding(
            ("api", "listen"),
            '"" leaves no way in: with an embedded server tasks come by HTTP only',
            (("server",),),
        )
