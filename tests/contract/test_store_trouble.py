"""A store that cannot be written, comes back, is shared, or is not what it should be."""

import asyncio
import random
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from tests.contract.store_rig import (
    NOW,
    StoreRig,
    attempt,
    change,
    open_store,
    write_version,
)
from tests.parts.cluster import Cluster
from tests.parts.postgresql import own_schema
from webhook_runner.errors import StoreError, StoreUnavailableError
from webhook_runner.store import ledger
from webhook_runner.store.examine import examine
from webhook_runner.store.migrate import Migration, migrations
from webhook_runner.store.postgresql import place
from webhook_runner.store.postgresql.server import Server
from webhook_runner.store.sighting import Sighting
from webhook_runner.task.event import StoreFailed, StoreMended
from webhook_runner.task.record import Claim, TaskQuery
from webhook_runner.task.state import TaskState

RUNNING, SUCCEEDED = TaskState.RUNNING, TaskState.SUCCEEDED
postgresql = pytest.mark.postgresql
ASLEEP = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
WAITING = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'wr_task'::regclass"


async def answered(connection: psycopg.Connection, question: str) -> tuple[Any, ...]:
    """Return the first answer that the server has; nobody tells when it has one."""
    while not (row := connection.execute(question).fetchone()):  # noqa: ASYNC110 - as said
        await asyncio.sleep(0.02)
    return row


async def ids(rig: StoreRig) -> set[str]:
    return {each.id for each in (await rig.store.tasks(TaskQuery(limit=1000))).tasks}


async def test_what_was_kept_is_there_when_it_is_opened_again(store_url: str) -> None:
    async with open_store(store_url) as first:
        first.store.record(change(SUCCEEDED))
        first.store.record(attempt(body=b"ok"))
        await first.store.kept()
    async with open_store(store_url) as second:
        assert await ids(second) == {"t"}
        assert await second.store.attempts("t", 1) == [attempt(body=b"ok")]


async def test_what_was_noted_last_is_written_at_the_end(store_url: str) -> None:
    async with open_store(store_url) as first:
        await first.store.usable()
        for number in range(50):
            first.store.record(change(name=f"t{number}"))
    async with open_store(store_url) as second:
        assert len(await ids(second)) == 50


async def test_who_gives_up_waiting_disturbs_nobody(stores: StoreRig) -> None:
    stores.store.record(change())
    waiting = [asyncio.ensure_future(stores.store.kept()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.wait_for(asyncio.gather(*waiting[1:]), 30)
    with suppress(asyncio.CancelledError):
        await waiting[0]


async def test_the_payload_is_not_kept_when_it_is_not_to_be(store_url: str) -> None:
    async with open_store(store_url, payloads=False) as rig:
        rig.store.record(change())
        found = await rig.store.find("t")
        assert found is not None
        assert found.source is None
        assert found.fingerprint == change().envelope.task.fingerprint


async def test_a_store_of_a_newer_version_is_refused(store_url: str) -> None:
    async with open_store(store_url) as rig:
        await rig.store.usable()
    write_version(store_url, 99)
    async with open_store(store_url) as rig:
        with pytest.raises(StoreError, match="of version 99, but this webhook-runner knows 1"):
            await rig.running
        rig.running = asyncio.ensure_future(asyncio.sleep(0))


@postgresql
async def test_a_server_that_stops_is_waited_for_and_nothing_is_lost(
    own_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "RETRY_SECONDS", 0.05)
    with own_schema(own_cluster.url) as url:
        async with open_store(url) as rig:
            rig.store.record(change(name="before"))
            await rig.store.kept()
            await asyncio.to_thread(own_cluster.stop)
            rig.store.record(change(name="meanwhile"))
            kept = asyncio.ensure_future(rig.store.kept())
            failed = await rig.observer.wait_for(StoreFailed, within=30)
            assert failed.waits
            assert rig.store.state().trouble == failed.reason
            usable = asyncio.ensure_future(rig.store.usable())
            with pytest.raises(StoreUnavailableError):
                await rig.store.find("before")
            with pytest.raises(StoreUnavailableError):
                await rig.store.claim(Claim("k", "t", 1, b"", NOW, NOW + 1))
            assert not kept.done()
            assert not usable.done()
            await asyncio.to_thread(own_cluster.go_on)
            await asyncio.wait_for(asyncio.gather(kept, usable), 60)
            assert rig.observer.last(StoreMended).lost == 0
            assert await ids(rig) == {"before", "meanwhile"}


@postgresql
async def test_degraded_goes_on_and_counts_what_it_had_to_give_up(
    own_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(ledger, "MOST_NOTED", 10)
    with own_schema(own_cluster.url) as url:
        async with open_store(url, on_failure="degraded") as rig:
            await asyncio.wait_for(rig.store.counts(), 30)
            await asyncio.to_thread(own_cluster.kill)
            rig.store.record(change(name="t0"))
            await asyncio.wait_for(rig.store.kept(), 60)
            assert not (await rig.observer.wait_for(StoreFailed, within=60)).waits
            for number in range(1, 25):
                rig.store.record(change(name=f"t{number}"))
                await asyncio.wait_for(rig.store.kept(), 5)
                await asyncio.wait_for(rig.store.usable(), 5)
            await asyncio.to_thread(own_cluster.go_on)
            mended = await rig.observer.wait_for(StoreMended, within=60)
            assert mended.lost == 15
            assert await ids(rig) == {f"t{number}" for number in range(15, 25)}


@postgresql
async def test_a_server_that_is_not_there_yet_is_waited_for(
    own_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "RETRY_SECONDS", 0.05)
    with own_schema(own_cluster.url) as url:
        await asyncio.to_thread(own_cluster.stop)
        async with open_store(url) as rig:
            rig.store.record(change())
            with pytest.raises(StoreUnavailableError):
                await rig.store.find("t")
            await asyncio.to_thread(own_cluster.go_on)
            await asyncio.wait_for(rig.store.kept(), 60)
            assert await ids(rig) == {"t"}


@postgresql
async def test_daemons_that_write_the_same_rows_wait_for_each_other_and_agree(
    postgresql_url: str,
) -> None:
    dice = random.Random(7)
    async with open_store(postgresql_url) as one, open_store(postgresql_url) as two:
        for number in range(300):
            for rig in (one, two):
                state = SUCCEEDED if number > 250 else RUNNING
                rig.store.record(change(state, f"t{dice.randrange(30)}", gen=number))
                rig.store.record(attempt(f"t{dice.randrange(30)}", number))
            if number % 10 == 0:
                await asyncio.gather(one.store.kept(), two.store.kept())
        await asyncio.wait_for(asyncio.gather(one.store.kept(), two.store.kept()), 60)
        claims = [
            rig.store.claim(Claim(f"k{number}", f"of{rig is one}", 1, b"", NOW, NOW + 1))
            for number in range(20)
            for rig in (one, two)
        ]
        holders = await asyncio.gather(*claims)
        assert sum(holder.is_new for holder in holders) == 20
        assert await one.store.counts() == await two.store.counts()
        assert not one.observer.all(StoreFailed)
        assert not two.observer.all(StoreFailed)


@postgresql
async def test_a_password_is_not_told_with_the_trouble() -> None:
    url = "postgresql://user:hunter2@127.0.0.1:1/base"
    async with open_store(url) as rig:
        failed = await rig.observer.wait_for(StoreFailed, within=30)
        assert "postgresql://127.0.0.1/base" in failed.reason
        assert "hunter2" not in failed.reason


def test_an_address_that_is_none_is_refused_without_showing_it() -> None:
    with pytest.raises(StoreError) as raised:
        Server("postgresql://user:hunter2@[/base")
    assert "hunter2" not in str(raised.value)


@postgresql
async def test_a_migration_that_is_cut_leaves_nothing_and_is_made_again(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "RETRY_SECONDS", 0.05)
    steps = migrations(place.ROOM)
    slow = Migration(2, "slow", "CREATE TABLE wr_new (a integer); SELECT pg_sleep(25)")
    monkeypatch.setattr(place, "migrations", lambda _: [*steps, slow])
    with psycopg.connect(postgresql_url, autocommit=True) as beside:
        async with open_store(postgresql_url) as rig:
            [pid] = await answered(beside, ASLEEP)
            monkeypatch.setattr(place, "migrations", lambda _: steps)
            beside.execute("SELECT pg_terminate_backend(%s)", [pid])
            await rig.observer.wait_for(StoreFailed, within=30)
            await asyncio.wait_for(rig.store.usable(), 60)
        assert beside.execute("SELECT to_regclass('wr_new')").fetchone() == (None,)
        assert beside.execute("SELECT version FROM wr_schema").fetchall() == [(1,)]


@postgresql
async def test_daemons_that_start_together_make_the_tables_once(postgresql_url: str) -> None:
    async with (
        open_store(postgresql_url) as one,
        open_store(postgresql_url) as two,
        open_store(postgresql_url) as three,
    ):
        rigs = (one, two, three)
        await asyncio.wait_for(asyncio.gather(*(rig.store.usable() for rig in rigs)), 60)
        assert [rig.observer.all(StoreFailed) for rig in rigs] == [[], [], []]


@postgresql
async def test_a_slow_server_only_makes_who_waits_wait(postgresql_url: str) -> None:
    with psycopg.connect(postgresql_url) as beside:
        async with open_store(postgresql_url) as rig:
            rig.store.record(change(name="before"))
            await rig.store.kept()
            beside.execute("LOCK TABLE wr_task IN EXCLUSIVE MODE")
            rig.store.record(change())
            kept = asyncio.ensure_future(rig.store.kept())
            await answered(beside, WAITING)
            await asyncio.wait_for(rig.store.usable(), 5)
            assert not kept.done()
            beside.rollback()
            await asyncio.wait_for(kept, 30)
            assert not rig.observer.all(StoreFailed)


@postgresql
async def test_a_server_that_never_answers_does_not_keep_a_daemon_from_ending(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "LAST_PATIENCE", 0.1)
    with psycopg.connect(postgresql_url) as beside:
        async with open_store(postgresql_url) as rig:
            await rig.store.usable()
            beside.execute("LOCK TABLE wr_task IN ACCESS EXCLUSIVE MODE")
            rig.store.record(change())
            asked = asyncio.ensure_future(rig.store.tasks(TaskQuery()))
            await answered(beside, WAITING)
            await asyncio.wait_for(rig.stop(), 20)
            with pytest.raises(StoreUnavailableError):
                await asked
            assert rig.observer.all(StoreFailed)
            with pytest.raises(StoreUnavailableError, match="closed"):
                await rig.store.find("t")


@postgresql
async def test_a_batch_that_takes_too_long_is_told_and_tried_again(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(ledger, "PATIENCE", 0.2)
    with psycopg.connect(postgresql_url) as beside:
        async with open_store(postgresql_url) as rig:
            await rig.store.usable()
            beside.execute("LOCK TABLE wr_task IN EXCLUSIVE MODE")
            rig.store.record(change())
            await rig.observer.wait_for(StoreFailed, within=30)
            monkeypatch.setattr(ledger, "PATIENCE", 60)
            beside.rollback()
            await asyncio.wait_for(rig.store.kept(), 30)
            assert await ids(rig) == {"t"}


@postgresql
def test_a_database_is_looked_at_without_a_trace(postgresql_url: str) -> None:
    assert examine(postgresql_url) == Sighting(known=1)
    server = Server(postgresql_url)
    server.open()
    server.close()
    assert examine(postgresql_url) == Sighting(exists=True, version=1, known=1)
    assert "Connection refused" in examine("postgresql://127.0.0.1:1/base").problem
    write_version(postgresql_url, 99)
    assert "of version 99" in examine(postgresql_url).problem
