"""Kill -9 of a daemon that keeps a store: what was recorded is not asked for a second time."""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.parts.embedded_stage import NotAcceptedError
from tests.parts.proxy import FaultProxy, Side
from tests.parts.receiver import Answer
from tests.parts.scene import attempts, eventually
from tests.system.crash_case import (
    ALWAYS_500,
    SIGKILLED,
    Case,
    Cases,
    assert_one_task,
    crash_at,
    crash_stage,
    crash_vhost,
    go_on,
    make_case,
    proxy,
)
from tests.system.test_crash_points import is_frozen

__all__ = ["crash_stage", "crash_vhost", "make_case", "proxy"]

pytestmark = pytest.mark.system

RABBIT, POSTGRESQL = pytest.mark.rabbitmq, pytest.mark.postgresql
ON_RABBIT = [
    pytest.param(("quorum-named", "sqlite"), marks=RABBIT, id="quorum-sqlite"),
    pytest.param(
        ("classic-named", "postgresql"), marks=[RABBIT, POSTGRESQL], id="classic-postgresql"
    ),
]
EVERY = [
    pytest.param(("embedded-unnamed", "sqlite"), id="embedded-sqlite"),
    pytest.param(("embedded-unnamed", "postgresql"), marks=POSTGRESQL, id="embedded-postgresql"),
    *ON_RABBIT,
]


_KNOWN = """
SELECT t.state, t.attempt, coalesce(r.state, t.rollback)
FROM wr_task t LEFT JOIN wr_rollback r ON (r.id, r.run) = (t.id, t.run) WHERE t.kind = 'task'"""


def stored(request: pytest.FixtureRequest, make_case: Cases) -> Case:
    words, store = request.param
    case = make_case(words)
    url = (
        request.getfixturevalue("postgresql_url")
        if store == "postgresql"
        else f"sqlite:{request.getfixturevalue('tmp_path') / 'known.db'}"
    )
    return Case(case.queue, case.named, case.key, case.stage, url)


@pytest.fixture(params=EVERY)
def case(request: pytest.FixtureRequest, make_case: Cases) -> Case:
    return stored(request, make_case)


@pytest.fixture(params=ON_RABBIT)
def amqp_case(request: pytest.FixtureRequest, make_case: Cases) -> Case:
    return stored(request, make_case)


def known(case: Case) -> list[tuple[Any, ...]]:
    """Return state, attempt, end of a roll-back of the case's task, from whichever store it is."""
    if case.store.startswith("sqlite:"):
        path = Path(case.store.removeprefix("sqlite:"))
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return database.execute(_KNOWN).fetchall()
    with psycopg.connect(case.store) as connection:
        return connection.execute(_KNOWN).fetchall()


def ends(case: Case, *row: Any) -> None:
    """Nothing but this is known: what follows an acknowledgement is written a moment later."""
    eventually(lambda: known(case) == [row])


def succeeds_once(case: Case) -> None:
    """One run succeeded, and nothing else was sent.

    A message that comes again before anything was written of it begins a second run, which is
    ended without a request.
    """
    succeeded, superfluous = ("succeeded", 1, None), ("cancelled", 0, None)
    eventually(lambda: sorted(known(case)) in ([succeeded], [superfluous, succeeded]))


def test_k11_killed_during_the_request_one_more_is_sent_for_the_same_run(case: Case) -> None:
    case.receiver.script(case.path, [Answer(hang=True), Answer()])
    daemon = case.daemon()
    case.publish()
    case.receiver.wait_for(1, case.path)
    eventually(lambda: known(case) == [("running", 1, None)])
    daemon.kill()
    go_on(case, daemon)
    assert attempts(case.requests()) == [1, 1]
    assert_one_task(case, case.requests())
    ends(case, "succeeded", 1, None)


def test_k12_killed_with_the_answer_in_hand_one_more_is_sent(case: Case) -> None:
    crash_at(case, case.nth("dispatch.after"))
    assert attempts(case.requests()) == [1, 1]
    assert_one_task(case, case.requests())
    ends(case, "succeeded", 1, None)


def test_k13_killed_once_a_success_was_recorded_nothing_more_is_sent(case: Case) -> None:
    crash_at(case, "kept.after:1:kill")
    assert attempts(case.requests()) == [1]
    ends(case, "succeeded", 1, None)


def test_k13_killed_once_a_failure_was_recorded_nothing_more_is_sent(case: Case) -> None:
    case.receiver.script(case.path, ALWAYS_500)
    case.receiver.script(case.undo, [Answer(delay=2), Answer()])  # the failure is settled first
    crash_at(case, "kept.after:1:kill", max_retries=0, roll_back=case.undo)
    assert attempts(case.requests()) == [1]
    assert 1 <= len(case.undone()) <= 2  # it was running itself when the daemon died
    assert len(case.dead()) == 1
    eventually(lambda: [row[0] for row in known(case)] == ["failed"])


def test_k15_killed_once_a_retry_was_recorded_no_request_is_repeated(amqp_case: Case) -> None:
    case = amqp_case
    case.receiver.script(case.path, ALWAYS_500)
    crash_at(case, "kept.after:1:kill", max_retries=2)
    assert attempts(case.requests()) == [1, 2, 3]
    ends(case, "failed", 3, None)


def test_k16_killed_before_the_end_was_recorded_the_roll_back_has_one_id(case: Case) -> None:
    case.receiver.script(case.path, ALWAYS_500)
    crash_at(case, case.nth("bury.after"), max_retries=0, roll_back=case.undo)
    assert attempts(case.requests()) == [1, 1]
    assert_one_task(case, case.requests())
    assert {each.header("Webhook-Runner-Failure-Reason") for each in case.undone()} == {
        "retries_exhausted"
    }
    ends(case, "failed", 1, "delivered")


@pytest.mark.parametrize("side", ["before", "after"])
def test_k3_killed_around_the_publish_of_a_delay_it_comes_once_and_not_early(
    amqp_case: Case, side: str
) -> None:
    published = crash_at(amqp_case, f"park.{side}:1:kill", countdown=2)
    (request,) = amqp_case.requests()
    assert request.arrived_at >= published + 2
    succeeds_once(amqp_case)


def test_k4_killed_before_the_confirm_of_a_parked_task_was_seen_it_comes_once(
    amqp_case: Case, proxy: FaultProxy
) -> None:
    case = amqp_case
    daemon = case.daemon("park.before:1:stop", server=proxy.url_for(case.stage.url))
    published = case.publish(countdown=3)
    eventually(lambda: is_frozen(daemon))
    proxy.hold(Side.CLIENT)
    daemon.resume()
    eventually(case.stage.waits)
    daemon.kill()
    proxy.pass_through()
    go_on(case, daemon)
    (request,) = case.requests()
    assert request.arrived_at >= published + 3
    succeeds_once(case)


@pytest.mark.parametrize(
    "point", ["claim.after", "enqueue.before", "enqueue.after", "keep_claim.before"]
)
def test_a_task_handed_in_again_after_a_crash_without_an_answer_is_run_once(
    make_case: Cases, point: str
) -> None:
    case = make_case("embedded-named")
    daemon = case.daemon(f"{point}:1:kill")
    with pytest.raises(ConnectionError):
        case.publish()
    assert daemon.wait(15) == SIGKILLED
    mark = daemon.mark()
    daemon.environment.clear()
    daemon.start()
    daemon.ready(after=mark)
    with suppress(NotAcceptedError):  # 200: it was kept
        case.publish()
    case.stage.comes_to_rest()
    assert attempts(case.requests()) == [1]
