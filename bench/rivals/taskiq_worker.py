"""taskiq: two processes, an aiohttp session each, a hundred requests at once."""

import os

import aiohttp
from taskiq import TaskiqEvents, TaskiqState
from taskiq_aio_pika import AioPikaBroker, Queue, QueueType

AT_ONCE = 100

broker = AioPikaBroker(
    os.environ["RACE_BROKER"],
    qos=2 * AT_ONCE,
    task_queues=[Queue(name="default", type=QueueType(os.environ["RACE_KIND"]))],
)


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def start(state: TaskiqState) -> None:
    state.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE))


@broker.task(task_name="call")
async def call(url: str, payload: dict[str, object]) -> None:
    async with broker.state.session.post(url, json=payload) as answer:
        answer.raise_for_status()
        await answer.read()
