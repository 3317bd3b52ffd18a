"""Celery: prefork, one httpx.Client in each process, as fast as its settings make it."""

import os

import httpx
from celery import Celery
from kombu import Queue

app = Celery(broker=os.environ["RACE_BROKER"])
app.conf.update(
    task_queues=[
        Queue("default", queue_arguments={"x-queue-type": os.environ["RACE_KIND"]}),
    ],
    task_ignore_result=True,
    worker_prefetch_multiplier=32,
    worker_enable_remote_control=False,
    broker_heartbeat=0,
    broker_connection_retry_on_startup=True,
)
client = httpx.Client()


@app.task(name="call")
def call(url: str, payload: object) -> None:
    client.post(url, json=payload).raise_for_status()
