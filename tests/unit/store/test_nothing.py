"""Without a store nothing is noted, nobody waits, and whoever asks is told which setting it is."""

import pytest

from tests.contract.store_rig import attempt, change
from tests.fakes.clock import FakeClock
from tests.fakes.observer import RecordingObserver
from webhook_runner.errors import NoStoreError
from webhook_runner.ports import Store
from webhook_runner.settings import StoreSettings
from webhook_runner.store.open_store import make_store
from webhook_runner.task.record import Claim, TaskQuery


@pytest.fixture
def store() -> Store:
    return make_store("none", StoreSettings(), FakeClock(), RecordingObserver())


async def test_nobody_waits_for_a_store_that_is_none(store: Store) -> None:
    store.record(change())
    store.record(attempt())
    await store.usable()
    await store.kept()
    state = store.state()
    assert (state.kind, state.trouble, state.waits) == ("none", "", False)
    await store.close()


async def test_who_asks_is_told_the_setting(store: Store) -> None:
    claim = Claim("k", "t", 1, b"", 0, 1)
    for question in (
        store.find("t"),
        store.attempts("t", 1),
        store.tasks(TaskQuery()),
        store.counts(),
        store.claim(claim),
        store.keep_claim("k", 1),
        store.drop_claim("k", 1),
        store.advance(change()),
        store.forget(1),
    ):
        with pytest.raises(NoStoreError, match=r"\[store\] url"):
            await question
    with pytest.raises(NoStoreError):
        store.export(1)
