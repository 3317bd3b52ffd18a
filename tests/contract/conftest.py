"""The brokers that the suite of the port runs against. A new one is a line in LASTING."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from tests.contract.embedded_rig import embedded, in_memory
from tests.contract.rabbit_rig import rabbitmq, through_the_library
from tests.contract.rig import Rig
from tests.contract.store_rig import REMOTE, StoreRig, open_store, sqlite_url

Open = Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[Rig]]
LASTING = [
    pytest.param(rabbitmq, id="rabbitmq", marks=pytest.mark.rabbitmq),
    pytest.param(through_the_library, id="aio-pika", marks=pytest.mark.rabbitmq),
    pytest.param(embedded, id="embedded"),
]
RIGS = [*LASTING, pytest.param(in_memory, id="in_memory")]
STEERED = {"rabbitmq", "embedded", "in_memory"}
"""The brokers that are asked as a board and a shelf too; the library adds nothing to that."""


@pytest.fixture(params=RIGS)
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    open_rig: Open = request.param
    async with open_rig(request) as opened:
        yield opened


@pytest.fixture(params=LASTING)
async def lasting(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """A rig whose messages outlive its connection."""
    open_rig: Open = request.param
    async with open_rig(request) as opened:
        yield opened


StoreUrl = Callable[[pytest.FixtureRequest], str]
LASTING_STORES = [
    pytest.param(lambda request: sqlite_url(request.getfixturevalue("tmp_path")), id="sqlite"),
    pytest.param(
        lambda request: request.getfixturevalue("postgresql_url"),
        id="postgresql",
        marks=pytest.mark.postgresql,
    ),
]
STORES = [
    *LASTING_STORES,
    pytest.param(lambda _: "sqlite::memory:", id="memory"),
    pytest.param(lambda _: f"{REMOTE}sqlite::memory:", id="of_the_parent"),
]


@pytest.fixture(params=STORES)
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[StoreRig]:
    """A store that runs, and is empty."""
    url: StoreUrl = request.param
    async with open_store(url(request)) as opened:
        yield opened


@pytest.fixture(params=LASTING_STORES)
def store_url(request: pytest.FixtureRequest) -> str:
    """Where a store that is empty can be opened, again and again."""
    url: StoreUrl = request.param
    return url(request)


@pytest.fixture(params=[each for each in RIGS if each.id in STEERED])
async def steered(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """A rig that is a board and a shelf too."""
    open_rig: Open = request.param
    async with open_rig(request) as opened:
        yield opened


@pytest.fixture(params=[each for each in LASTING if each.id in STEERED])
async def lasting_steered(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """A rig that is a board and a shelf too, and outlives its connection."""
    open_rig: Open = request.param
    async with open_rig(request) as opened:
        yield opened
