"""Arrays, repetition and patience, played without a socket."""

import json
from collections.abc import Callable, Iterable

import pytest

from tests.parts.tasks_api import Message, array_answer, judge, problem
from webhook_runner.client import (
    Accepted,
    InvalidTaskError,
    NotAllowedError,
    Problem,
    Rejected,
    ServiceUnavailableError,
    Task,
    UnexpectedAnswerError,
)
from webhook_runner.client.answer import Reply, Result, Unanswered
from webhook_runner.client.ask import ONE_TRY_SECONDS, Ask
from webhook_runner.client.talk import MOST_BYTES, send_all
from webhook_runner.client.task import Sendable

WHERE = "http://daemon:7676"
LOST = Unanswered("the answer was lost", in_doubt=True)
Said = Reply | Unanswered


def reply(status: int, document: object, **headers: str) -> Reply:
    return Reply(WHERE, status, headers, json.dumps(document).encode())


def taken(post: Ask) -> Reply:
    made = array_answer([judge(message) for message in json.loads(post.body)])
    return Reply(WHERE, made.status, {}, made.body)


def down(**headers: str) -> Reply:
    return reply(503, problem(503, "the disk is full"), **headers)


def play(
    tasks: Iterable[Sendable], *said: Said | Callable[[Ask], Said], seconds: float = 0.0
) -> tuple[list[Result], list[Ask]]:
    """Let the talk meet these answers, then be taken at its word."""
    talk, posts, script = send_all(tasks, seconds), [], list(said)
    try:
        posts.append(next(talk))
        while True:
            step = script.pop(0) if script else taken
            posts.append(talk.send(step(posts[-1]) if callable(step) else step))
    except StopIteration as end:
        return end.value, posts


def numbered(count: int) -> list[Sendable]:
    return [Task(url="/", id=f"t{number}") for number in range(count)]


def ids(post: Ask) -> list[str]:
    return [message["id"] for message in json.loads(post.body)]


def test_no_tasks_are_no_request() -> None:
    assert play([]) == ([], [])


def test_many_tasks_go_in_arrays_of_a_thousand_and_keep_their_order() -> None:
    results, posts = play(numbered(2500))
    assert [len(ids(post)) for post in posts] == [1000, 1000, 500]
    assert [result.id for result in results] == [f"t{number}" for number in range(2500)]


def test_large_tasks_go_in_smaller_arrays() -> None:
    large = [Task(url="/", payload="x" * 400_000) for _ in range(5)]
    larger = Task(url="/", payload="x" * 2 * MOST_BYTES)
    _, posts = play([*large, larger, *large])
    assert [len(ids(post)) for post in posts] == [2, 2, 1, 1, 2, 2, 1]


def test_an_array_that_is_too_large_for_somebody_is_halved() -> None:
    too_large = reply(413, problem(413, "too large"))
    results, posts = play(numbered(5), too_large, too_large)
    assert [len(ids(post)) for post in posts] == [5, 2, 1, 1, 3]
    assert [result.id for result in results] == ["t0", "t1", "t2", "t3", "t4"]
    (alone,), _ = play(numbered(1), too_large)
    assert alone == Rejected("t0", Problem(413, "No", "too large"))


def test_an_invalid_task_stands_among_the_results_where_it_was() -> None:
    tasks: list[Sendable] = [Task(url="/", id="a"), {"url": 5, "id": "b"}, Task(url="/", id="c")]
    (first, second, third), _ = play([*tasks])
    assert (first, third) == (Accepted("a", "default"), Accepted("c", "default"))
    assert isinstance(second, Rejected)
    fault = second.problem.fault
    assert (second.id, fault.field, fault.reason) == ("b", "url", "wrong_type")


def test_a_task_that_cannot_be_written_is_not_sent_and_stops_no_other() -> None:
    tasks = [Task(url="/", id="a", payload=b"{"), Task(url="/", id="b")]
    (first, second), (post,) = play(tasks)
    assert isinstance(first, Rejected)
    assert second == Accepted("b", "default")
    assert ids(post) == ["b"]
    (only,), posts = play(tasks[:1])
    assert isinstance(only, Rejected)
    assert posts == []


@pytest.mark.parametrize("met", [LOST, down(), reply(502, "bad gateway"), reply(429, "slow")])
def test_what_may_get_better_is_repeated_with_the_same_ids(met: Said) -> None:
    task = Task(url="/")
    results, posts = play([task], met, met, seconds=60.0)
    first, second, third = posts
    assert first.body == second.body == third.body
    assert results == [Accepted(ids(first)[0], "default")]
    assert first.pause == 0.0
    assert 0.1 <= second.pause <= 0.125
    assert 0.2 <= third.pause <= 0.25


def test_pauses_grow_to_two_seconds() -> None:
    _, posts = play(numbered(1), *[LOST] * 20, seconds=60.0)
    assert max(post.pause for post in posts) <= 2.5


def test_only_those_are_repeated_that_got_no_answer() -> None:
    def half(post: Ask) -> Reply:
        messages: list[Message] = json.loads(post.body)
        busy = {"status": 503, "problem": problem(503, "the broker is down")}
        said = [judge(each) if each["id"] in {"t0", "t2"} else busy for each in messages]
        return reply(202, {"results": said})

    results, posts = play(numbered(4), half, half, seconds=60.0)
    assert [ids(post) for post in posts] == [["t0", "t1", "t2", "t3"], ["t1", "t3"], ["t1", "t3"]]
    assert [result.id for result in results] == ["t0", "t1", "t2", "t3"]


@pytest.mark.parametrize("header", ["7", "7.0"])
def test_the_daemon_says_when_to_come_back(header: str) -> None:
    _, posts = play(numbered(1), down(**{"retry-after": header}), seconds=60.0)
    assert posts[1].pause == 7.0


@pytest.mark.parametrize(
    "header", ["", "soon", "-5", "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 99 Oct 2015 07:28:00 GMT"]
)
def test_what_is_no_time_to_come_back_is_ignored(header: str) -> None:
    _, posts = play(numbered(1), down(**{"retry-after": header}), seconds=60.0)
    assert posts[1].pause <= 0.125


def test_who_is_to_come_back_too_late_gives_up_at_once() -> None:
    with pytest.raises(ServiceUnavailableError) as caught:
        play(numbered(1), down(**{"retry-after": "90"}), seconds=60.0)
    assert caught.value.retry_after == 90.0
    assert "the daemon at http://daemon:7676 cannot take tasks now (503)" in str(caught.value)
    assert "the disk is full" in str(caught.value)
    assert caught.value.problem == Problem(503, "No", "the disk is full")


def test_patience_of_zero_is_one_try() -> None:
    with pytest.raises(ServiceUnavailableError, match="the answer was lost") as caught:
        play(numbered(1), LOST)
    assert caught.value.in_doubt
    assert caught.value.unsent == (Task(url="/", id="t0"),)
    _, (post,) = play(numbered(1))
    assert post.limit == ONE_TRY_SECONDS


def test_a_try_may_take_what_is_left_of_patience() -> None:
    _, posts = play(numbered(1), LOST, seconds=60.0)
    assert all(50.0 < (post.limit or 0.0) <= 60.0 for post in posts)


def test_who_gives_up_says_of_every_task_what_became_of_it() -> None:
    tasks = [*numbered(2000), Task(url="/", id="bad", payload=b"{"), {"url": "/more"}]
    with pytest.raises(ServiceUnavailableError) as caught:
        play(tasks, taken, down())
    error = caught.value
    assert [result.id for result in error.results] == [*(f"t{n}" for n in range(1000)), "bad"]
    assert [each.id for each in error.unsent[:-1] if isinstance(each, Task)] == [
        f"t{n}" for n in range(1000, 2000)
    ]
    assert set(error.unsent[-1]) == {"url", "id"}  # type: ignore[arg-type]
    assert error.in_doubt


@pytest.mark.parametrize(
    ("met", "words", "in_doubt"),
    [
        (reply(404, problem(404, "there is nothing")), "answered 404: there is nothing", False),
        (reply(405, problem(405, "")), "answered 405: No", False),
        (Reply(WHERE, 200, {}, b"<html>hello"), "answered 200: <html>hello", True),
        (Reply(WHERE, 500, {}, b""), "answered 500; is it", True),
        (reply(202, {"results": []}), "answered 0 results to 1 tasks", True),
        (reply(200, {"results": [{"status": 500}]}), "answered 500", True),
    ],
)
def test_an_answer_that_makes_no_sense_is_not_asked_for_again(
    met: Reply, words: str, in_doubt: bool
) -> None:
    with pytest.raises(UnexpectedAnswerError) as caught:
        play(numbered(1), met, seconds=60.0)
    assert words in str(caught.value)
    assert caught.value.in_doubt is in_doubt
    assert caught.value.unsent == tuple(numbered(1))


@pytest.mark.parametrize("status", [401, 403])
def test_who_may_not_send_keeps_the_tasks(status: int) -> None:
    with pytest.raises(NotAllowedError, match=f"does not allow it .{status}.: says why"):
        play(numbered(1), reply(status, problem(status, "says why")), seconds=60.0)


def test_a_task_that_was_known_is_told_to_be_a_duplicate() -> None:
    known = {"status": 200, "id": "t0", "queue": "q", "duplicate": True}
    results, _ = play(numbered(1), reply(200, {"results": [known]}))
    assert results == [Accepted("t0", "q", duplicate=True)]


def test_a_refusal_of_the_whole_array_is_one_of_each_task() -> None:
    refusal = reply(400, problem(400, "no JSON"))
    results, _ = play(numbered(2), refusal)
    assert results == [Rejected(f"t{n}", Problem(400, "No", "no JSON")) for n in range(2)]
    error = InvalidTaskError(results[0])  # type: ignore[arg-type]
    assert (error.reason, error.field, str(error)) == ("status_400", "", "no JSON")
