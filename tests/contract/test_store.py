"""What every store does: entries become what is known of a task, and questions see them all."""

import asyncio
from base64 import urlsafe_b64encode

import msgspec
import pytest

from tests.contract.store_rig import NOW, StoreRig, attempt, change, task
from webhook_runner.task.model import Envelope, Failure, Kind, RollBack
from webhook_runner.task.record import (
    Change,
    QueueCount,
    RollbackEnded,
    RollbackState,
    Stage,
    TaskQuery,
    sequence,
)
from webhook_runner.task.state import TaskState

READY, RUNNING = TaskState.READY, TaskState.RUNNING
SUCCEEDED, FAILED, SCHEDULED = TaskState.SUCCEEDED, TaskState.FAILED, TaskState.SCHEDULED

# Cursors that somebody made up: no column holds such a number of a run.
NO_RUNS = [
    urlsafe_b64encode(f'[1.0,"t",{run}]'.encode()).decode().rstrip("=")
    for run in (2**63, 10**30, 0, -(2**64))
]


async def state_of(stores: StoreRig, name: str = "t", run: int | None = None) -> TaskState | None:
    found = await stores.store.find(name, run)
    return found.state if found else None


async def test_what_was_noted_is_found_with_everything_that_is_known(stores: StoreRig) -> None:
    undo = RollBack("http://localhost/undo")
    wanted = task(
        method="PUT",
        eta=NOW + 1,
        expires=NOW + 9.25,
        max_retries=3,
        roll_back=undo,
        metadata=b'{"a":1}',
    )
    envelope = Envelope(
        wanted, NOW, NOW + 1, attempt=2, gen=3, correlation_id="c", traceparent="00-ab", origin="o"
    )
    seq = sequence(3, 0, Stage.PLACED)
    stores.store.record(Change(envelope, SCHEDULED, seq, NOW + 2, "retry", 503, "http"))
    found = await stores.store.find("t")
    assert found is not None
    assert (found.id, found.run, found.seq, found.queue) == ("t", 1, seq, "q")
    assert (found.url, found.method, found.state) == (wanted.url, "PUT", SCHEDULED)
    assert (found.created_at, found.due_at, found.changed_at) == (NOW, NOW + 1, NOW + 2)
    assert (found.started_at, found.ended_at) == (None, None)
    assert (found.attempt, found.reason) == (1, "retry")
    assert (found.last_status, found.last_error) == (503, "http")
    assert (found.eta, found.expires, found.max_retries) == (NOW + 1, NOW + 9.25, 3)
    assert (found.roll_back, found.rollback, found.kind) == (undo.url, None, Kind.TASK)
    assert (found.metadata, found.source, found.progress) == (b'{"a":1}', wanted.source, None)
    assert (found.correlation_id, found.traceparent, found.origin) == ("c", "00-ab", "o")
    assert found.fingerprint == wanted.fingerprint


async def test_a_task_that_nobody_noted_is_not_known(stores: StoreRig) -> None:
    assert await stores.store.find("nobody") is None
    assert await stores.store.attempts("nobody", 1) == []
    assert (await stores.store.tasks(TaskQuery())).tasks == ()
    assert await stores.store.counts() == []


async def test_the_latest_run_of_a_content_is_found_among_others(stores: StoreRig) -> None:
    one, other = task(), task(source=b"{}", url="http://localhost/other")
    for run, each in enumerate((one, other, one, other), 1):
        envelope = Envelope(each, NOW, NOW, run=run)
        stores.store.record(Change(envelope, READY, sequence(0, 0, Stage.RECEIVED), NOW))

    found = await stores.store.latest("t", one.fingerprint)
    assert found is not None
    assert (found.run, found.url, found.fingerprint) == (3, one.url, one.fingerprint)
    assert await stores.store.latest("t", b"nothing of the kind") is None
    assert await stores.store.latest("nobody", one.fingerprint) is None


async def test_who_waits_goes_on_when_it_is_written(stores: StoreRig) -> None:
    await asyncio.wait_for(stores.store.usable(), 30)
    for number in range(20):
        stores.store.record(change(name=f"t{number}"))
    await asyncio.wait_for(asyncio.gather(*(stores.store.kept() for _ in range(20))), 30)
    await stores.store.kept()
    assert len((await stores.store.tasks(TaskQuery())).tasks) == 20
    assert stores.store.state().trouble == ""


async def test_an_end_is_final_and_an_older_word_comes_too_late(stores: StoreRig) -> None:
    steps = [
        (change(RUNNING), RUNNING),
        (change(READY), RUNNING),
        (change(SUCCEEDED), SUCCEEDED),
        (change(RUNNING, gen=9), SUCCEEDED),
        (change(FAILED, gen=9), SUCCEEDED),
    ]
    for step, expected in steps:
        stores.store.record(step)
        assert await state_of(stores) is expected


async def test_an_end_of_an_earlier_copy_ends_a_task_that_is_further(stores: StoreRig) -> None:
    stores.store.record(change(RUNNING, gen=5))
    stores.store.record(change(TaskState.CANCELLED, gen=1, reason="asked"))
    found = await stores.store.find("t")
    assert found is not None
    assert (found.state, found.reason, found.ended_at) == (TaskState.CANCELLED, "asked", NOW)


async def test_each_run_is_a_record_of_its_own_and_the_latest_is_the_task(
    stores: StoreRig,
) -> None:
    stores.store.record(change(SUCCEEDED, run=1))
    stores.store.record(change(RUNNING, run=2))
    stores.store.record(change(FAILED, run=1, gen=7))
    assert await state_of(stores) is RUNNING
    assert await state_of(stores, run=1) is SUCCEEDED
    assert await state_of(stores, run=3) is None


async def test_an_advance_tells_whether_it_was_one(stores: StoreRig) -> None:
    assert await stores.store.advance(change(RUNNING))
    assert not await stores.store.advance(change(RUNNING))
    assert await stores.store.advance(change(RUNNING, turn=1))
    stores.store.record(change(SUCCEEDED))
    assert not await stores.store.advance(change(TaskState.CANCELLED))
    assert await state_of(stores) is SUCCEEDED


async def test_of_many_that_advance_at_once_one_is_first(stores: StoreRig) -> None:
    told = await asyncio.gather(*(stores.store.advance(change(RUNNING)) for _ in range(10)))
    assert sorted(told) == [False] * 9 + [True]


async def test_attempts_come_in_their_order_with_their_answers(stores: StoreRig) -> None:
    body, headers = b"\x00\xff" * 2048, {"Retry-After": "5", "X-Ümlaut": "ä"}
    second = attempt(number=2, headers=headers, body=body, truncated=True, detail="d")
    for each in (second, attempt(), attempt(run=2), second):
        stores.store.record(each)
    assert await stores.store.attempts("t", 1) == [attempt(), second]


async def test_a_roll_back_may_end_before_its_task_does(stores: StoreRig) -> None:
    stores.store.record(RollbackEnded("t", 1, RollbackState.DELIVERED))
    await stores.store.kept()
    stores.store.record(change(FAILED, rollback=RollbackState.PENDING))
    stores.store.record(change(FAILED, "u", rollback=RollbackState.PENDING))
    stores.store.record(change(FAILED, "v", rollback=RollbackState.PENDING))
    await stores.store.kept()
    stores.store.record(RollbackEnded("v", 1, RollbackState.FAILED))
    found = [await stores.store.find(name) for name in "tuv"]
    assert [each.rollback for each in found if each] == [
        RollbackState.DELIVERED,
        RollbackState.PENDING,
        RollbackState.FAILED,
    ]
    listed = (await stores.store.tasks(TaskQuery(states=frozenset({FAILED})))).tasks
    assert [each.rollback for each in listed] == [each.rollback for each in found if each]


async def test_a_roll_back_remembers_what_its_first_copy_carried(stores: StoreRig) -> None:
    failure = Failure("retries_exhausted", 4, last_status=503)
    how = {"kind": Kind.ROLLBACK, "origin": "t", "failure": failure}
    envelope = Envelope(task("t~rb"), NOW, NOW + 5, attempt=3, gen=4, **how)  # type: ignore[arg-type]
    stores.store.record(Change(envelope, SCHEDULED, 9, NOW))
    found = await stores.store.find("t~rb")
    assert found is not None
    assert found.progress is not None
    progress = msgspec.json.decode(found.progress)
    assert (progress["wr-kind"], progress["wr-origin"]) == ("rollback", "t")
    assert (progress["wr-reason"], progress["wr-attempts"]) == ("retries_exhausted", 4)
    assert (progress["wr-gen"], progress["wr-attempt"]) == (0, 1)


async def test_a_large_message_is_kept_byte_for_byte_through_changes(stores: StoreRig) -> None:
    source = b'{"url": "/", "payload": "' + b"x" * 1_000_000 + b'"}'
    for step in (READY, RUNNING, SUCCEEDED):
        stores.store.record(change(step, source=source))
        await stores.store.kept()
    found = await stores.store.find("t")
    assert found is not None
    assert found.source == source
    [listed] = (await stores.store.tasks(TaskQuery())).tasks
    assert listed.source is None


async def test_text_that_no_database_takes_harms_nobody_else(stores: StoreRig) -> None:
    odd = "a\0b\ud800c"
    stores.store.record(change(FAILED, "odd", reason=odd))
    stores.store.record(change(SUCCEEDED, "even"))
    stores.store.record(attempt("odd", detail=odd, headers={"X-Odd": odd}))
    stores.store.record(attempt("huge", 2**70))
    await asyncio.wait_for(stores.store.kept(), 30)
    found = await stores.store.find("odd")
    assert found is not None
    assert found.state is FAILED
    assert found.reason.endswith("c")
    [kept] = await stores.store.attempts("odd", 1)
    assert kept.headers["X-Odd"].endswith("c")
    assert await state_of(stores, "even") is SUCCEEDED
    assert await stores.store.attempts("huge", 1) == []
    assert stores.store.state().trouble == ""


async def test_lists_go_on_where_they_left_off_whatever_comes_meanwhile(stores: StoreRig) -> None:
    for number in range(7):
        stores.store.record(change(name=f"t{number}", first_at=NOW + number // 2))
    seen, cursor = [], "first"
    while cursor:
        page = await stores.store.tasks(TaskQuery(limit=3, cursor=cursor.removeprefix("first")))
        seen += [each.id for each in page.tasks]
        stores.store.record(change(name=f"new{len(seen)}", first_at=NOW + 100))
        cursor = page.next
    assert seen == ["t6", "t4", "t5", "t2", "t3", "t0", "t1"]


async def test_lists_are_narrowed_by_state_queue_and_time(stores: StoreRig) -> None:
    states = [READY, RUNNING, SUCCEEDED, FAILED, TaskState.CANCELLED]
    for number, state in enumerate(states):
        queue = "odd" if number % 2 else "even"
        stores.store.record(change(state, f"t{number}", first_at=NOW + number, queue=queue))

    async def ids(query: TaskQuery) -> list[str]:
        return [each.id for each in (await stores.store.tasks(query)).tasks]

    assert await ids(TaskQuery()) == ["t4", "t3", "t2", "t1", "t0"]
    assert await ids(TaskQuery(states=frozenset({FAILED, READY}))) == ["t3", "t0"]
    assert await ids(TaskQuery(states=frozenset({SUCCEEDED, RUNNING}))) == ["t2", "t1"]
    assert await ids(TaskQuery(queue="odd")) == ["t3", "t1"]
    assert await ids(TaskQuery(queue="odd", states=frozenset({FAILED}))) == ["t3"]
    assert await ids(TaskQuery(since=NOW + 1, until=NOW + 3)) == ["t2", "t1"]
    assert await ids(TaskQuery(states=frozenset({TaskState.HELD}))) == []


@pytest.mark.parametrize("cursor", ["nonsense", "e30", "WyJhIl0", "ä", "\0", *NO_RUNS])
async def test_a_cursor_that_is_none_is_refused(stores: StoreRig, cursor: str) -> None:
    with pytest.raises(ValueError, match="is no cursor"):
        await stores.store.tasks(TaskQuery(cursor=cursor))


async def test_states_of_several_are_paged_as_one_list(stores: StoreRig) -> None:
    for number in range(6):
        state = FAILED if number % 2 else RUNNING
        stores.store.record(change(state, f"t{number}", first_at=NOW + number))
    query = TaskQuery(states=frozenset({FAILED, RUNNING}), limit=4)
    first = await stores.store.tasks(query)
    second = await stores.store.tasks(msgspec.structs.replace(query, cursor=first.next))
    assert [each.id for each in (*first.tasks, *second.tasks)] == [
        f"t{n}" for n in range(5, -1, -1)
    ]
    assert second.next == ""


async def test_what_has_not_ended_is_counted_with_its_oldest(stores: StoreRig) -> None:
    for number, state in enumerate([READY, READY, RUNNING, SUCCEEDED, FAILED]):
        stores.store.record(change(state, f"t{number}", first_at=NOW - number))
    stores.store.record(change(SCHEDULED, "u", queue="other"))
    assert await stores.store.counts() == [
        QueueCount("other", SCHEDULED, 1, NOW),
        QueueCount("q", READY, 2, NOW - 1),
        QueueCount("q", RUNNING, 1, NOW - 2),
    ]


async def test_finished_runs_are_exported_with_their_attempts_and_forgotten(
    stores: StoreRig,
) -> None:
    for number in range(3):
        stores.store.record(change(SUCCEEDED, f"t{number}", at=NOW + number))
        stores.store.record(attempt(f"t{number}", body=b"ok"))
    stores.store.record(change(RUNNING, "running"))
    stores.store.record(RollbackEnded("t1", 1, RollbackState.FAILED))
    lines = [line async for line in stores.store.export(NOW + 2)]
    assert [line["id"] for line in lines] == ["t0", "t1"]
    assert msgspec.json.decode(msgspec.json.encode(lines[1])) == lines[1]
    assert lines[1]["rollback"] == "failed"
    assert lines[1]["source"] == task().source.decode()
    [made] = msgspec.convert(lines[1]["attempts"], list[dict[str, object]])
    assert (made["attempt"], made["body"]) == (1, "b2s=")
    assert await stores.store.forget(NOW + 2) == 2
    assert [line async for line in stores.store.export(NOW + 2)] == []
    assert await stores.store.find("t1") is None
    assert await stores.store.attempts("t1", 1) == []
    assert await state_of(stores, "t2") is SUCCEEDED
    assert await state_of(stores, "running") is RUNNING
