"""Changes in any order and any batches: always the same state, and never backwards."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.store_rig import change
from webhook_runner.store.database import Database
from webhook_runner.store.postgresql.server import Server
from webhook_runner.store.sqlite.state_file import StateFile
from webhook_runner.store.work import work_of
from webhook_runner.task.record import Change, RollbackEnded, RollbackState, TaskRecord
from webhook_runner.task.state import TaskState

OPEN = [TaskState.SCHEDULED, TaskState.READY, TaskState.RUNNING]
ENDS = [TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED]
Word = Change | RollbackEnded
History = list[list[Word]]
TABLES = ("wr_task", "wr_rollback")


@pytest.fixture
def server(postgresql_url: str) -> Iterator[Server]:
    opened = Server(postgresql_url)
    opened.open()
    yield opened
    opened.close()


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Return the words about two runs of one task, shuffled and cut into batches."""
    words: list[Word] = []
    for run in (1, 2):
        gens = draw(st.lists(st.integers(0, 30), unique=True, max_size=6))
        words += [change(draw(st.sampled_from(OPEN)), run=run, gen=gen) for gen in gens]
        if draw(st.booleans()):
            words.append(change(draw(st.sampled_from(ENDS)), run=run, gen=draw(st.integers(0, 30))))
        told = draw(st.lists(st.sampled_from([*RollbackState][1:]), max_size=2))
        words += [RollbackEnded("t", run, state) for state in told]
    shuffled = draw(st.permutations(words))
    cuts = sorted(draw(st.lists(st.integers(0, len(words)), max_size=4)))
    edges = [0, *cuts, len(words)]
    return [list(shuffled[a:b]) for a, b in pairwise(edges)]


def expected(words: list[Word], run: int) -> tuple[object, ...] | None:
    changes = [each for each in words if isinstance(each, Change) and each.envelope.run == run]
    if not changes:
        return None
    last = max(changes, key=lambda each: (each.state.is_final, each.seq))
    ended = [each.state for each in words if isinstance(each, RollbackEnded) and each.run == run]
    return last.state, last.seq, min(ended, default=None)  # delivered is the first by name


def seen(record: TaskRecord | None) -> tuple[object, ...] | None:
    return None if record is None else (record.state, record.seq, record.rollback)


def tell(database: Database, history: History) -> None:
    before: dict[int, TaskRecord] = {}
    for batch in history:
        database.write(work_of(batch, (), payloads=True))
        for run in (1, 2):
            record = database.find("t", run)
            if run in before:
                assert record is not None
                assert not goes_back(before[run], record)
            if record is not None:
                before[run] = record
    words = [word for batch in history for word in batch]
    for run in (1, 2):
        assert seen(database.find("t", run)) == expected(words, run)


def goes_back(before: TaskRecord, record: TaskRecord) -> bool:
    if before.ended_at is not None:
        return (record.state, record.seq) != (before.state, before.seq)
    return record.ended_at is None and record.seq < before.seq


@given(histories())
def test_in_sqlite(history: History) -> None:
    file = StateFile(":memory:")
    file.open()
    try:
        tell(file, history)
    finally:
        file.close()


@pytest.mark.postgresql
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories())
def test_in_postgresql(server: Server, history: History) -> None:
    assert server._connection is not None
    for table in TABLES:
        server._connection.execute(f"DELETE FROM {table}")
    tell(server, history)
