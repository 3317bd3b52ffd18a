"""What was put aside, looked at and replayed by both clients over a real connection."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.parts.hostile import Close, HostileServer, Read, Send
from tests.parts.receiver import Answer
from tests.parts.steering_api import SteeringApi, letter, lines, page, refused, said
from tests.unit.client.steering import Asking, both
from webhook_runner.client import (
    LetterNotFoundError,
    ReplayedLetter,
    ReplayTotal,
    ServiceUnavailableError,
    UnexpectedAnswerError,
)

SINCE = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def api() -> Iterator[SteeringApi]:
    with SteeringApi() as started:
        yield started


@both
def test_letters_are_listed_as_far_as_they_fit(api: SteeringApi, ask: Asking) -> None:
    api.on("GET", "queues/mail/dead", page(letter("l1"), cursor="c"), page(letter("l2")))
    found = ask(
        api.url,
        lambda client: client.dead(
            "mail", ids=["a", "b"], status=500, url_prefix="http://h/", since=SINCE
        ).list(),
    )
    assert [each.letter for each in found] == ["l1", "l2"]
    assert (found[0].reason, found[0].last_status, found[0].field) == ("status", 500, "")
    (_, first), (_, second) = api.asked()
    assert first == (
        "queues/mail/dead?id=a%2Cb&status=500&url_prefix=http%3A%2F%2Fh%2F"
        "&since=2026-01-01T00%3A00%3A00Z&limit=100"
    )
    assert second == f"{first}&cursor=c"


@both
def test_one_is_shown_with_its_message(api: SteeringApi, ask: Asking) -> None:
    shown = letter("l1", field="url", explanation="is missing", message="{", summary=None)
    api.on("GET", "queues/mail/invalid/l1", said(shown))
    found = ask(api.url, lambda client: client.invalid("mail").show("l1"))
    assert (found.field, found.explanation, found.message) == ("url", "is missing", "{")
    api.on("GET", "queues/mail/dead/l2", refused(404, "there is no letter 'l2'"))
    with pytest.raises(LetterNotFoundError):
        ask(api.url, lambda client: client.dead("mail").show("l2"))


@both
def test_they_are_dropped_by_a_filter_or_all(api: SteeringApi, ask: Asking) -> None:
    api.on("DELETE", "queues/mail/dead", said({"dropped": 4}))
    assert ask(api.url, lambda client: client.dead("mail", letters=["l1", "l2"]).drop()) == 4
    assert ask(api.url, lambda client: client.dead("mail").drop(everything=True)) == 4
    assert [asked for _, asked in api.asked()] == [
        "queues/mail/dead?letter=l1%2Cl2",
        "queues/mail/dead?all=true",
    ]


@both
def test_a_replay_tells_of_each_and_of_all(api: SteeringApi, ask: Asking) -> None:
    api.on(
        "POST",
        "queues/mail/dead/replay",
        lines(
            {"letter": "l1", "id": "a", "run": 9, "error": None},
            {"letter": "l2", "id": "b", "run": None, "error": "no such queue"},
            {"replayed": 1, "failed": 1, "matched": 2, "dry_run": False},
        ),
    )
    found = ask(
        api.url,
        lambda client: client.dead("mail", reason="status").replay(
            rate="10/s", edit={"url": "/new", "eta": None}, to_queue="slow"
        ),
    )
    assert found == [
        ReplayedLetter("l1", "a", 9, ""),
        ReplayedLetter("l2", "b", None, "no such queue"),
        ReplayTotal(matched=2, replayed=1, failed=1),
    ]
    assert json.loads(api.requests[0].body) == {
        "reason": "status",
        "dry_run": False,
        "rate": "10/s",
        "edit": {"url": "/new", "eta": None},
        "queue": "slow",
    }


@both
def test_all_are_replayed_only_when_all_are_meant(api: SteeringApi, ask: Asking) -> None:
    api.on("POST", "queues/mail/dead/replay", lines({"matched": 0}))
    ask(api.url, lambda client: client.dead("mail").replay(everything=True, dry_run=True))
    assert json.loads(api.requests[0].body) == {"dry_run": True, "all": True}


@both
def test_an_export_gives_each_as_it_was_written(api: SteeringApi, ask: Asking) -> None:
    body = b'{"letter":"l1","message":{"n": 1.0}}\r\n\n{"letter":"l2"}\n'
    api.on("GET", "queues/mail/dead/export", Answer(200, {}, body))
    first, second = ask(api.url, lambda client: client.dead("mail").export())
    assert (first.message, first.source) == ({"n": 1.0}, b'{"letter":"l1","message":{"n": 1.0}}')
    assert second.letter == "l2"


@both
def test_a_replay_that_breaks_off_is_not_begun_again(ask: Asking) -> None:
    head = b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"letter": "l1"}\n'
    with (
        HostileServer([Read(), Send(head), Close()]) as broken,
        pytest.raises(ServiceUnavailableError, match="may have been done") as caught,
    ):
        ask(broken.url, lambda client: client.dead("mail", reason="x").replay())
    assert caught.value.in_doubt


@both
def test_a_line_of_another_form_is_unexpected(api: SteeringApi, ask: Asking) -> None:
    api.on("GET", "queues/mail/dead/export", Answer(200, {}, b'{"letter": 5}\n'))
    with pytest.raises(UnexpectedAnswerError, match="does not understand"):
        ask(api.url, lambda client: client.dead("mail").export())


@both
def test_a_filter_that_makes_no_sense_is_told(api: SteeringApi, ask: Asking) -> None:
    api.on("GET", "queues/mail/dead", refused(422, "status: must be 100 to 599"))
    with pytest.raises(Exception, match="must be 100 to 599"):
        ask(api.url, lambda client: client.dead("mail", status=5).list())
    with pytest.raises(ValueError, match="no time zone"):
        ask(api.url, lambda client: client.dead("mail", since=datetime(2026, 1, 1)).list())  # noqa: DTZ001
