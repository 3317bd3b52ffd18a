"""FastStream: two processes, an aiohttp session each, a hundred requests at once."""

import os

import aiohttp
from faststream import FastStream
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue

AT_ONCE = 100

broker = RabbitBroker(
    os.environ["RACE_BROKER"], default_channel=Channel(prefetch_count=AT_ONCE), logger=None
)
app = FastStream(broker, logger=None)
sessions: list[aiohttp.ClientSession] = []


@app.on_startup
async def start() -> None:
    sessions.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)))


@broker.subscriber(
    RabbitQueue("default", durable=True, queue_type=QueueType(os.environ["RACE_KIND"]))
)
async def call(url: str, payload: dict[str, object]) -> None:
    async with sessions[0].post(url, json=payload) as answer:
        answer.raise_for_status()
        await answer.read()
