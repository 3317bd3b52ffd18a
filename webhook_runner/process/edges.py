"""What a daemon and its workers have alike at their edges, made from the same settings."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from webhook_runner.broker.rabbitmq import RabbitBroker
from webhook_runner.dispatch.extend import ExtendingDispatcher
from webhook_runner.engine.queues import Queues
from webhook_runner.observe.gauges import LOOP_TASKS, SCHEDULED
from webhook_runner.observe.metrics import MetricsObserver
from webhook_runner.observe.redact import Redaction
from webhook_runner.ports import Broker, Clock, Observer
from webhook_runner.process.extensions import load_extensions
from webhook_runner.process.hiding import hide_secrets
from webhook_runner.settings import ApiSettings, Settings

Kind = TypeVar("Kind", bound=RabbitBroker)


def rabbit(
    kind: type[Kind], settings: Settings, clock: Clock, observer: Observer, *, deals: bool = True
) -> Kind:
    """Make the client of RabbitMQ that the configuration wants."""
    return kind(
        settings.broker,
        settings.servers,
        tuple(settings.queues),
        clock,
        observer,
        stack=settings.performance.amqp,
        deals=deals,
    )


def adopter(
    redaction: Redaction,
    extending: ExtendingDispatcher,
    metrics: MetricsObserver,
    adopt_api: Callable[[ApiSettings], None] = lambda _: None,
) -> Callable[[Settings], None]:
    """Return what tells the edges of settings; it raises ConfigError."""

    def adopt(fresh: Settings) -> None:
        hide_secrets(fresh, redaction)
        extending.adopt(load_extensions(fresh.queues))
        adopt_api(fresh.api)
        metrics.set_queues(fresh.queues)

    return adopt


def watch(metrics: MetricsObserver, broker: Broker, queues: Queues) -> None:
    """Have the gauges read what they show."""
    metrics.watch(*SCHEDULED, broker.scheduled)
    metrics.watch(*LOOP_TASKS, lambda: len(asyncio.all_tasks()))
    metrics.watch_destinations(queues.destinations.counts)
