"""Whatever an entry holds, it is stored or left out alone: its batch, and the next, are written."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.store_rig import NOW, StoreRig, attempt, change, open_store
from webhook_runner.store import ledger
from webhook_runner.store.database import Database
from webhook_runner.store.postgresql import writing
from webhook_runner.store.postgresql.server import Server
from webhook_runner.store.sqlite.state_file import StateFile
from webhook_runner.store.work import DropClaim, KeepClaim, Noted, work_of
from webhook_runner.task.event import StoreFailed
from webhook_runner.task.record import Claim, Holder, RollbackEnded, RollbackState, TaskQuery
from webhook_runner.task.state import TaskState

# Any character: NUL, halves of surrogate pairs, what JSON and SQL read as their own.
text = st.text(st.characters(), max_size=8) | st.sampled_from(
    ["\0", "\ud800", "\\u0000", "'", "%s"]
)
number = st.integers() | st.sampled_from([0, 2**31, 2**63 - 1, 2**63, -(2**63) - 1])
real = st.floats() | st.sampled_from([NOW])
entries = st.one_of(
    st.builds(
        change,
        st.sampled_from([TaskState.RUNNING, TaskState.FAILED]),
        text,
        reason=text,
        queue=text,
        url=text,
        method=text,
        at=real,
        first_at=real,
        eta=real,
        max_retries=number,
        metadata=st.binary(max_size=4),
    ),
    st.builds(
        attempt, text, number, detail=text, headers=st.dictionaries(text, text), body=st.binary()
    ),
    st.builds(RollbackEnded, text, number, st.just(RollbackState.FAILED)),
    st.builds(KeepClaim, text, number),
    st.builds(DropClaim, text, number),
)


def write(database: Database, noted: list[Noted], key: str) -> None:
    """Write it with a sound neighbour, and a claim that waits for an answer."""
    neighbour = change(TaskState.RUNNING, "neighbour", gen=1)
    asks = [Claim(key, "t", 1, b"", NOW, NOW + 1)]
    written = database.write(work_of([*noted, neighbour], asks, payloads=True))
    assert [type(each) for each in written.answers] == [Holder]
    assert database.find("neighbour", 1) is not None
    assert len(written.refused) <= len(noted)


@pytest.fixture
def server(postgresql_url: str) -> Iterator[Server]:
    opened = Server(postgresql_url)
    opened.open()
    yield opened
    opened.close()


@given(st.lists(entries, max_size=4), text)
def test_sqlite_takes_or_leaves_any_entry(noted: list[Noted], key: str) -> None:
    file = StateFile(":memory:")
    file.open()
    try:
        write(file, noted, key)
    finally:
        file.close()


@pytest.mark.postgresql
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(entries, max_size=4), text)
def test_postgresql_takes_or_leaves_any_entry(server: Server, noted: list[Noted], key: str) -> None:
    write(server, noted, key)


async def test_more_than_one_statement_should_have_goes_in_several(
    stores: StoreRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "MOST_AT_ONCE", 7)
    monkeypatch.setattr(writing, "MOST_BYTES", 60)
    for index in range(40):
        stores.store.record(change(name=f"t{index}"))
        stores.store.record(attempt(f"t{index}"))
    assert len((await stores.store.tasks(TaskQuery(limit=100))).tasks) == 40
    assert await stores.store.attempts("t39", 1) == [attempt("t39")]


async def test_no_question_is_harmed_by_impossible_text(stores: StoreRig) -> None:
    for odd in ("\0", "\ud800", "%s", "'"):
        assert await stores.store.find(odd) is None
        assert await stores.store.attempts(odd, 1) == []
        assert (await stores.store.tasks(TaskQuery(queue=f"q{odd}"))).tasks == ()
        assert (await stores.store.claim(Claim(f"k{odd}", "t", 1, b"", NOW, NOW + 1))).is_new
    assert not stores.observer.all(StoreFailed)


@pytest.mark.postgresql
async def test_a_question_without_an_answer_has_the_store_looked_at(postgresql_url: str) -> None:
    async with open_store(postgresql_url) as rig:
        await rig.store.counts()
        server = rig.store._database  # type: ignore[attr-defined]
        server._url = "postgresql://127.0.0.1:1/base"
        server._connection.close()
        await asyncio.to_thread(server._drop_readers)
        with pytest.raises(Exception, match="refused"):
            await rig.store.counts()
        assert "refused" in (await rig.observer.wait_for(StoreFailed, within=30)).reason
