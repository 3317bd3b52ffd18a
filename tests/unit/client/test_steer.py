"""Tasks and queues, looked at and steered by both clients over a real connection."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.parts.ports import free_port
from tests.parts.receiver import Answer
from tests.parts.steering_api import (
    SteeringApi,
    attempt,
    destination,
    events,
    page,
    queue,
    refused,
    said,
    task,
)
from tests.unit.client.steering import Act, Asking, both
from webhook_runner import errors
from webhook_runner.client import (
    Cancelled,
    ConflictError,
    DestinationInfo,
    InvalidRequestError,
    NoStoreError,
    NotAllowedError,
    NotCancelled,
    NotEndedError,
    Purged,
    QueueNotFoundError,
    Rerun,
    RollBackInfo,
    ServiceUnavailableError,
    TaskNotFoundError,
    UnexpectedAnswerError,
)

AT = datetime(2026, 1, 31, 8, 30, 0, 125_000, tzinfo=UTC)
BUSY = refused(503, "the broker is away", **{"Retry-After": "0.1"})


@pytest.fixture
def api() -> Iterator[SteeringApi]:
    with SteeringApi() as started:
        yield started


@both
def test_a_task_is_told_as_it_is(api: SteeringApi, ask: Asking) -> None:
    api.on("GET", "tasks/a", said(task("a", newer="field", message={"url": "/x"})))
    found = ask(api.url, lambda client: client.status("a", run=2, message=True))
    assert (found.state, found.queue, found.attempt, found.retrying) == (
        "scheduled",
        "mail",
        2,
        True,
    )
    assert (found.created_at, found.ended_at, found.last_status) == (AT, None, 503)
    assert found.roll_back == RollBackInfo("http://h/undo", None)
    assert (found.reason, found.metadata, found.message) == ("", {"n": None}, {"url": "/x"})
    assert not found.ended
    assert api.asked() == [("GET", "tasks/a?run=2&message=true")]


@both
def test_attempts_are_told_with_the_answers_to_them(api: SteeringApi, ask: Asking) -> None:
    timed_out = attempt(2, outcome="timed_out", status=None, response=None, error="timeout")
    api.on("GET", "tasks/a/attempts", page(attempt(), timed_out))
    first, second = ask(api.url, lambda client: client.attempts("a"))
    assert (first.status, first.seconds, first.response.content) == (503, 0.25, b"\xff")
    assert (second.outcome, second.error, second.response) == ("timed_out", "timeout", None)


@both
def test_tasks_are_listed_over_all_pages(api: SteeringApi, ask: Asking) -> None:
    api.on("GET", "tasks", page(task("a"), task("b"), cursor="more&"), page(task("c")))
    since = datetime(2026, 1, 1, tzinfo=UTC)
    found = ask(
        api.url, lambda c: c.tasks(state=["failed", "expired"], queue="mail", since=since, until=9)
    )
    assert [each.id for each in found] == ["a", "b", "c"]
    filters = (
        "state=failed%2Cexpired&queue=mail&since=2026-01-01T00%3A00%3A00Z"
        "&until=1970-01-01T00%3A00%3A09Z&limit=100"
    )
    assert api.asked() == [
        ("GET", f"tasks?{filters}"),
        ("GET", f"tasks?{filters}&cursor=more%26"),
    ]


@both
def test_no_more_pages_are_asked_for_than_are_wanted(api: SteeringApi, ask: Asking) -> None:
    api.on("GET", "tasks", page(task("a"), task("b"), cursor="x"))
    assert len(ask(api.url, lambda client: client.tasks(limit=2))) == 2
    assert api.asked() == [("GET", "tasks?limit=2")]


@both
def test_a_task_is_cancelled(api: SteeringApi, ask: Asking) -> None:
    api.on("DELETE", "tasks/a", said({"id": "a", "state": "cancel_requested"}, 202))
    found = ask(api.url, lambda client: client.cancel("a", force=True))
    assert found == Cancelled("a", "cancel_requested")
    assert api.asked() == [("DELETE", "tasks/a?force=true")]


@both
def test_of_many_each_tells_what_came_of_it(api: SteeringApi, ask: Asking) -> None:
    gone = {"id": "b", "problem": {"status": 409, "detail": "it has succeeded"}}
    api.on("POST", "tasks/cancel", said({"results": [{"id": "a", "state": "cancelled"}, gone]}))
    first, second = ask(api.url, lambda client: client.cancel_many(iter("ab")))
    assert first == Cancelled("a", "cancelled")
    assert isinstance(second, NotCancelled)
    assert (second.id, second.problem.status, second.problem.detail) == (
        "b",
        409,
        "it has succeeded",
    )
    assert json.loads(api.requests[0].body) == {"ids": ["a", "b"]}


@both
def test_a_task_is_hurried_and_repeated(api: SteeringApi, ask: Asking) -> None:
    api.on("POST", "tasks/a/run", said(task("a", state="ready"), 202))
    api.on("POST", "tasks/a/replay", said({"id": "a", "run": 7, "queue": "mail"}, 202))
    assert ask(api.url, lambda client: client.run("a")).state == "ready"
    assert ask(api.url, lambda client: client.replay("a")) == Rerun("a", 7, "mail")


@both
def test_an_end_is_waited_for_also_of_a_task_that_was_just_sent(
    api: SteeringApi, ask: Asking
) -> None:
    ended = task("a", state="succeeded", ended_at="2026-01-31T08:30:00.125Z")
    api.on("GET", "tasks/a", refused(404, "not known"), said(task("a")), said(ended))
    found = ask(api.url, lambda client: client.wait("a", 10))
    assert found.succeeded
    assert found.ended_at == AT


@both
def test_who_waits_too_short_is_told_how_it_is(api: SteeringApi, ask: Asking) -> None:
    api.on("GET", "tasks/a", said(task("a")))
    with pytest.raises(NotEndedError, match="it is scheduled") as caught:
        ask(api.url, lambda client: client.wait("a", 0.1))
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.status.state == "scheduled"  # type: ignore[union-attr]


@both
def test_queues_are_told_and_changed(api: SteeringApi, ask: Asking) -> None:
    changed = queue(paused=True, limits={"concurrency": 5}, changed=["concurrency"])
    api.on("GET", "queues", page(queue("default"), queue("mail")))
    api.on("GET", "queues/mail", said(queue()))
    api.on("PATCH", "queues/mail", said(changed))
    api.on("POST", "queues/mail/pause", said(changed))
    api.on("POST", "queues/mail/resume", said(queue()))
    api.on("POST", "queues/mail/purge", said({"ready": 3, "scheduled": 1}))
    assert [each.name for each in ask(api.url, lambda client: client.queues())] == [
        "default",
        "mail",
    ]
    found = ask(api.url, lambda client: client.queue("mail"))
    assert (found.ready, found.scheduled, found.oldest_at) == (3, None, AT)
    found = ask(api.url, lambda client: client.change("mail", concurrency=5, rate=None))
    assert (found.limits, found.changed) == ({"concurrency": 5}, ("concurrency",))
    assert json.loads(api.requests[-1].body) == {"concurrency": 5, "rate": None}
    assert ask(api.url, lambda client: client.pause("mail")).paused
    assert not ask(api.url, lambda client: client.resume("mail")).paused
    assert ask(api.url, lambda client: client.purge("mail", scheduled=True)) == Purged(3, 1)
    assert api.asked()[-1] == ("POST", "queues/mail/purge?scheduled=true")


@both
def test_names_are_no_paths(api: SteeringApi, ask: Asking) -> None:
    api.on("GET", "queues/a%2Fb", said(queue("a/b")))
    assert ask(api.url + "/", lambda client: client.queue("a/b")).name == "a/b"


@both
def test_a_token_is_shown_and_never_told(api: SteeringApi, ask: Asking) -> None:
    api.on("POST", "queues/mail/pause", refused(403, "the token 'g' has the role read"))
    with pytest.raises(NotAllowedError, match=r"\(403\): the token 'g'") as caught:
        ask(api.url, lambda client: client.pause("mail"), token="hush")
    assert api.requests[0].header("Authorization") == "Bearer hush"
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("token", ["", "two words", "line\n", "ü"])
@both
def test_a_token_must_be_one_word(token: str, ask: Asking) -> None:
    with pytest.raises(ValueError, match="a token is"):
        ask("http://h", lambda client: client.queues(), token=token)


REFUSALS = [
    (404, TaskNotFoundError, errors.UnknownTaskError, lambda client: client.status("a")),
    (404, QueueNotFoundError, errors.UnknownQueueError, lambda client: client.queue("a")),
    (409, ConflictError, errors.ConflictError, lambda client: client.cancel("a")),
    (501, NoStoreError, errors.NoStoreError, lambda client: client.tasks()),
    (422, InvalidRequestError, InvalidRequestError, lambda client: client.change("a", rate="x")),
]


@both
@pytest.mark.parametrize(("status", "kind", "wider", "act"), REFUSALS)
def test_each_refusal_is_an_error_of_its_own(
    status: int,
    kind: type[Exception],
    wider: type[Exception],
    act: Act,
    api: SteeringApi,
    ask: Asking,
) -> None:
    for method, path in (("GET", "tasks"), ("GET", "tasks/a"), ("DELETE", "tasks/a")):
        api.on(method, path, refused(status, "says why"))
    api.on("GET", "queues/a", refused(status, "says why"))
    api.on("PATCH", "queues/a", refused(status, "says why"))
    with pytest.raises(kind, match=r"^says why$") as caught:
        ask(api.url, act)
    assert isinstance(caught.value, wider)
    assert caught.value.problem.status == status  # type: ignore[attr-defined]


@both
def test_a_stranger_is_told_from_a_daemon_that_does_not_know(api: SteeringApi, ask: Asking) -> None:
    api.on("GET", "tasks/a", Answer(404, {"Content-Type": "text/html"}, b"<h1>Not Found</h1>"))
    with pytest.raises(UnexpectedAnswerError, match="is it the HTTP API"):
        ask(api.url, lambda client: client.status("a"))


@both
@pytest.mark.parametrize("body", [b"{", b"[]", b'{"items": {}}', b'{"items": [{"name": 5}]}'])
def test_an_answer_of_another_form_is_unexpected(
    body: bytes, api: SteeringApi, ask: Asking
) -> None:
    api.on("GET", "queues", Answer(200, {}, body))
    with pytest.raises(UnexpectedAnswerError, match="does not understand"):
        ask(api.url, lambda client: client.queues())


@both
def test_what_may_be_asked_twice_is_asked_again(api: SteeringApi, ask: Asking) -> None:
    api.on("GET", "tasks/a", BUSY, Answer(reset=True), said(task("a")))
    assert ask(api.url, lambda client: client.status("a")).id == "a"


@both
def test_what_must_not_be_done_twice_is_asked_once(api: SteeringApi, ask: Asking) -> None:
    api.on("POST", "tasks/a/replay", Answer(reset=True), said({"id": "a"}, 202))
    with pytest.raises(ServiceUnavailableError, match="may have been done") as caught:
        ask(api.url, lambda client: client.replay("a"))
    assert caught.value.in_doubt
    assert len(api.asked()) == 1


@both
def test_where_nobody_listens_is_said_at_once_without_patience(ask: Asking) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    for act in (lambda client: client.queues(), lambda client: client.events()):
        with pytest.raises(ServiceUnavailableError, match=f"no daemon answers at {url}"):
            ask(url, act, timeout=0)


@both
def test_a_task_is_watched_to_its_end_over_a_broken_stream(api: SteeringApi, ask: Asking) -> None:
    def told(state: str, **more: object) -> dict[str, object]:
        return {"at": "2026-01-31T08:30:00.125Z", "id": "a", "run": 1, "state": state, **more}

    api.on(
        "GET",
        "tasks/a/events",
        events(("task.received", told("ready")), ("task.attempt.started", told("running"))),
        BUSY,
        events(("task.succeeded", told("succeeded", attempt=1)), ("task.received", told("ready"))),
    )
    found = ask(api.url, lambda client: client.watch("a"))
    assert [each.name for each in found] == [
        "task.received",
        "task.attempt.started",
        "task.succeeded",
    ]
    assert (found[-1].ended, found[-1].attempt, found[-1].at) == (True, 1, AT)
    assert [each.header("Last-Event-ID") for each in api.requests] == [None, "e2", "e2"]


@both
def test_events_that_cannot_be_had_any_more_are_an_error(api: SteeringApi, ask: Asking) -> None:
    api.on("GET", "events", events(("task.received", {"id": "a"})), refused(404, "no such queue"))
    with pytest.raises(QueueNotFoundError):
        ask(api.url, lambda client: client.events(queue="mail", state="failed"))
    assert api.asked()[0] == ("GET", "events?queue=mail&state=failed")


@both
def test_destinations_are_told_page_by_page_opened_and_closed(
    api: SteeringApi, ask: Asking
) -> None:
    first, second = destination("a:1"), destination("b:2", state="closed", until=None, held=0)
    api.on("GET", "destinations", page(first, cursor="a:1"), page(second))
    for word in ("open", "close"):
        api.on("POST", f"destinations/a%3A1/{word}", said(first))
    found = ask(api.url, lambda client: client.destinations(state="open"))
    assert found == [
        DestinationInfo("a:1", "open", AT, 24, 20, 3),
        DestinationInfo("b:2", "closed", None, 24, 20, 0),
    ]
    assert ask(api.url, lambda client: client.open_destination("a:1")) == found[0]
    assert ask(api.url, lambda client: client.close_destination("a:1", keep=True)) == found[0]
    assert api.asked() == [
        ("GET", "destinations?state=open&limit=1000"),
        ("GET", "destinations?state=open&limit=1000&cursor=a%3A1"),
        ("POST", "destinations/a%3A1/open"),
        ("POST", "destinations/a%3A1/close?keep=true"),
    ]
