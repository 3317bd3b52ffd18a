"""dramatiq: threads of two processes share an httpx.Client each."""

import os

import dramatiq
import httpx
from dramatiq.brokers.rabbitmq import RabbitmqBroker

KIND = os.environ["RACE_KIND"]
IDLE_SECONDS = 60


class Broker(RabbitmqBroker):
    """Declares its queues as the kind that is measured."""

    def _build_queue_arguments(self, queue_name: str) -> dict[str, object]:
        return {**super()._build_queue_arguments(queue_name), "x-queue-type": KIND}


dramatiq.set_broker(Broker(url=os.environ["RACE_BROKER"], middleware=[]))
client = httpx.Client(limits=httpx.Limits(keepalive_expiry=IDLE_SECONDS))


@dramatiq.actor(actor_name="call")
def call(url: str, payload: object) -> None:
    client.post(url, json=payload).raise_for_status()
