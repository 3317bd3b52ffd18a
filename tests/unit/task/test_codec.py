"""Decoding: identity, due times, copies of our own, payload fidelity, and no crash."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from webhook_runner.errors import InvalidTaskError
from webhook_runner.task.codec import Decoded, Rules, called, decode
from webhook_runner.task.fields import TaskFields
from webhook_runner.task.model import Dedup, Kind, Message, RollBack
from webhook_runner.task.progress import progress_headers

NOW = 1769848200.0
DAY = 86400.0
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def take(body: str | bytes, rules: Rules | None = None, **properties: Any) -> Decoded:
    raw = body.encode() if isinstance(body, str) else body
    return decode(
        Message(body=raw, **properties),
        "default",
        now=NOW,
        rules=rules or Rules(),
        make_id=lambda: "made",
    )


def test_every_field_reaches_the_task() -> None:
    source = """{"url": "/x", "method": "PUT", "payload": [1], "headers": {"A": "1"}, "id": "a",
        "countdown": 5, "expires": "2026-01-31T08:30:00.0019Z", "max_retries": 3, "timeout": 2.5,
        "roll_back": {"url": "/u", "method": "DELETE", "headers": {"B": "2"}}, "queue": "mail",
        "metadata": {"k": "v"}}"""

    envelope = take(source, correlation_id="c", traceparent=TRACE).envelope
    task = envelope.task

    assert (task.id, task.queue, task.url, task.method) == ("a", "mail", "/x", "PUT")
    assert (task.payload, task.body, task.metadata) == (b"[1]", b"[1]", b'{"k": "v"}')
    assert (task.headers, task.source) == ({"A": "1"}, source.encode())
    assert (task.countdown, task.eta, task.expires) == (5, None, NOW + 0.001)
    assert (task.max_retries, task.timeout) == (3, 2.5)
    assert task.roll_back == RollBack("/u", "DELETE", {"B": "2"})
    assert (envelope.first_at, envelope.due_at) == (NOW, NOW + 5)
    assert (envelope.run, envelope.attempt, envelope.gen) == (1, 1, 0)
    assert (envelope.correlation_id, envelope.traceparent) == ("c", TRACE)


@pytest.mark.parametrize(
    ("dedup", "right"),
    [
        ("null", None),
        ("true", Dedup(wanted=True, key="", window=None)),
        ("false", Dedup(wanted=False, key="", window=None)),
        ("{}", Dedup(wanted=True, key="", window=None)),
        ('{"key": "k", "window": 60}', Dedup(wanted=True, key="k", window=60)),
    ],
)
def test_whether_duplicates_are_wanted_is_said_in_short_or_at_length(
    dedup: str, right: Dedup | None
) -> None:
    assert take(f'{{"url": "/x", "dedup": {dedup}}}').envelope.task.dedup == right


@pytest.mark.parametrize(
    ("body", "right"),
    [
        (b'{"url": "/x", "method": "PUT", "id": "a"}', ("/x", "PUT", "a")),
        (b'{"url": "/x"}', ("/x", "POST", "")),
        (b'{"url": 5, "method": null, "id": ["a"]}', ("", "", "")),
        (b"[]", ("", "", "")),
        (b"\xff", ("", "", "")),
    ],
)
def test_what_a_message_would_call_is_read_as_far_as_it_can_be(
    body: bytes, right: tuple[str, str, str]
) -> None:
    assert called(body) == right


def test_an_id_that_we_made_is_not_named() -> None:
    assert not take('{"url": "/x"}').envelope.named
    assert take('{"url": "/x", "id": "a"}').envelope.named
    assert take('{"url": "/x"}', message_id="a").envelope.named


def test_no_id_is_made_when_there_is_one() -> None:
    def refuse() -> str:
        raise AssertionError

    message = Message(body=b'{"url": "/x"}', message_id="a")

    assert decode(message, "q", now=NOW, rules=Rules(), make_id=refuse).envelope.task.id == "a"


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        (None, 20),
        (NOW, 20),
        (NOW - 2, 20),
        (NOW - 3, 18),
        (NOW - 15, 6),
        (NOW - 3600, 0),
        (NOW + 3600, 20),
        (NOW - 401 * DAY, 20),
        (0.0, 20),
        (float("nan"), 20),
    ],
)
def test_a_countdown_starts_when_the_message_was_published_if_that_is_sane(
    timestamp: float | None, expected: float
) -> None:
    envelope = take('{"url": "/x", "countdown": 20}', timestamp=timestamp).envelope

    assert envelope.due_at == NOW + expected


@given(st.integers(0, 10**9 - 1), st.integers(-3600, 3600))
def test_an_eta_is_never_early_and_less_than_a_millisecond_late(nanos: int, seconds: int) -> None:
    minutes, second = divmod(3600 + seconds, 60)
    hour, minute = divmod(minutes, 60)
    text = f"2026-01-31T{8 + hour:02}:{minute:02}:{second:02}.{nanos:09}Z"
    exact = (1769846400 + 3600 + seconds) * 10**9 + nanos

    eta = take(json.dumps({"url": "/x", "eta": text})).envelope.task.eta

    assert eta is not None
    assert 0 <= round(eta * 1000) * 10**6 - exact < 10**6


def test_a_copy_of_ours_keeps_its_progress() -> None:
    first = take('{"url": "/x", "countdown": 20, "id": "a", "queue": "mail"}').envelope
    sent = replace(first, gen=3, attempt=4, named=True, last_status=503, due_at=NOW + 7)

    again = take(first.task.source, headers=progress_headers(sent), message_id="other")

    assert again == Decoded(sent)


def test_the_id_and_queue_in_our_headers_win_over_the_message() -> None:
    first = take('{"url": "/x", "id": "a", "queue": "gone"}').envelope
    moved = replace(
        first, task=replace(first.task, id="a~rb", queue="default"), kind=Kind.ROLLBACK, origin="a"
    )

    again = take(first.task.source, headers=progress_headers(moved)).envelope

    assert (again.task.id, again.task.queue) == ("a~rb", "default")
    assert (again.kind, again.origin) == (Kind.ROLLBACK, "a")


def test_a_copy_of_ours_is_not_refused_by_rules_that_became_stricter() -> None:
    source = '{"url": "/x", "method": "GET", "payload": 1, "countdown": 1000, "colour": "red"}'
    first = take(source, Rules(body_on_get=True)).envelope
    strict = Rules(max_message_bytes=10, max_delay=1, strict=True)

    again = take(source, strict, headers=progress_headers(first))

    assert (again.envelope.task, again.warnings) == (first.task, ())


def test_absurd_headers_of_ours_are_refused() -> None:
    with pytest.raises(InvalidTaskError, match="wr-v"):
        take('{"url": "/x"}', headers={"wr-id": "a", "wr-v": 9})


def test_warnings_name_few_of_many_unknown_fields() -> None:
    warnings = take(json.dumps({"url": "/x"} | {f"f{i}": 1 for i in range(1000)})).warnings

    assert len(warnings) == 11
    assert "990 more" in warnings[-1]


def test_a_nonsense_traceparent_is_not_sent_on() -> None:
    for traceparent in (
        "",
        "x\r\ny",
        "ff" + TRACE[2:],
        TRACE.replace("b7ad6b7169203331", "0" * 16),
    ):
        assert take('{"url": "/x"}', traceparent=traceparent).envelope.traceparent == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=15,
)
NAMES = st.sampled_from([*TaskFields.model_fields, "payload", "metadata", "other"])
GOOD = {"url": "/x", "headers": {"A": "1"}, "roll_back": {"url": "/u", "headers": {"B": "2"}}}
TEXTS = st.sampled_from(["/x", "http://h/", "2026-01-31T08:30:00Z", "GET", "10"])
FIELDS = st.dictionaries(NAMES, JSON | TEXTS | st.fixed_dictionaries({"url": JSON | TEXTS}))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_task_or_refused(body: bytes) -> None:
    with suppress(InvalidTaskError):
        take(body)


@given(JSON, st.booleans())
def test_any_json_is_a_task_or_refused(value: object, ascii_only: bool) -> None:
    with suppress(InvalidTaskError):
        take(json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"))


@given(FIELDS, st.booleans())
def test_any_values_of_our_fields_are_a_task_or_refused(
    fields: dict[str, object],
    strict: bool,
) -> None:
    body = json.dumps(GOOD | fields)
    with suppress(InvalidTaskError):
        again = take(body, Rules(strict=strict))
        assert again.envelope.task.source == body.encode()


@given(st.data())
def test_a_damaged_message_is_a_task_or_refused(data: st.DataObject) -> None:
    body = json.dumps(GOOD | {"payload": {"a": ["\ud83d\ude00", 1.5]}}).encode()
    at = data.draw(st.integers(0, len(body)))
    damaged = (
        body[:at] + data.draw(st.binary(max_size=4)) + body[at + data.draw(st.integers(0, 4)) :]
    )

    with suppress(InvalidTaskError):
        take(damaged)


@given(
    JSON.filter(lambda value: value is not None and not isinstance(value, str)), st.integers(0, 3)
)
def test_a_payload_reaches_the_endpoint_as_it_was_written(value: object, indent: int) -> None:
    with suppress(ValueError):  # NaN and Infinity are no JSON
        written = json.dumps(value, indent=indent or None, allow_nan=False)
        task = take('{ "payload" : \t' + written + ' \n, "url": "/x"}').envelope.task
        assert task.payload == task.body == written.encode()


@given(st.text(st.characters(exclude_categories=["Cs"])), st.booleans())
def test_a_text_payload_is_sent_as_its_characters(text: str, ascii_only: bool) -> None:
    body = json.dumps({"url": "/x", "payload": text}, ensure_ascii=ascii_only)

    assert take(body).envelope.task.body == text.encode()


@given(st.lists(st.tuples(st.sampled_from(["url", "a", "b", '"', "\\", "é"]), JSON), min_size=1))
def test_a_key_that_is_there_twice_is_always_seen(members: list[tuple[str, object]]) -> None:
    with suppress(ValueError):
        text = ", ".join(
            f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in members
        )
        body = '{"url": "/x", "headers": {}, ' + text + "}"
        keys = ["url", *(key for key, _ in members)]
        try:
            take(body)
        except InvalidTaskError as error:
            repeated = len(set(keys)) < len(keys)
            assert (error.reason == "duplicate_key") == repeated or "surrogate" in error.reason  # noqa: PT017
        else:
            assert len(set(keys)) == len(keys)
