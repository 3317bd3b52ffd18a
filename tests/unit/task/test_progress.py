"""Headers round-trip exactly, are never early, and never crash the reader."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_runner.errors import InvalidTaskError
from webhook_runner.task.model import Envelope, Failure, Kind, Task
from webhook_runner.task.progress import (
    copy_key,
    due_milliseconds,
    progress_headers,
    read_progress,
)

IDS = st.from_regex(r"[A-Za-z0-9_-]{1,96}(~rb)?", fullmatch=True)
TIMES = st.integers(0, 32_503_680_000_000).map(lambda milliseconds: milliseconds / 1000)
COUNTS = st.integers(0, 2**31 - 1)
NUMBERS = st.integers(1, 2**31 - 1)
STATUSES = st.none() | st.integers(100, 999)
ERRORS = st.text(st.characters(exclude_categories=["Cs"]), max_size=256)
FAILURES = st.builds(
    Failure, reason=st.text("abc_", min_size=1), attempts=COUNTS, last_status=STATUSES,
    last_error=ERRORS,
)  # fmt: skip
TASKS = st.builds(
    Task,
    id=IDS,
    queue=st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", fullmatch=True),
    url=st.just("/x"),
    source=st.just(b"{}"),
)
ENVELOPES = st.builds(
    Envelope,
    task=TASKS,
    first_at=TIMES,
    due_at=TIMES,
    kind=st.sampled_from(Kind),
    run=NUMBERS,
    attempt=NUMBERS,
    gen=COUNTS,
    named=st.just(True),
    doubtful=st.booleans(),
    again=st.booleans(),
    dedup=st.booleans(),
    snoozes=COUNTS,
    uncounted=COUNTS,
    deaths=COUNTS,
    alone=COUNTS,
    first_attempt_at=st.none() | TIMES,
    last_attempt_at=st.none() | TIMES,
    last_status=STATUSES,
    last_error=ERRORS,
    failure=st.none() | FAILURES,
    origin=st.just("") | IDS,
    correlation_id=ERRORS,
    traceparent=ERRORS,
)
SMALL = Envelope(task=Task(id="a", queue="q", url="/x", source=b"{}"), first_at=1.7e9, due_at=1.7e9)


@given(ENVELOPES)
def test_progress_survives_the_round_trip_through_headers(envelope: Envelope) -> None:
    progress = read_progress(progress_headers(envelope))

    assert progress is not None
    assert (progress.id, progress.queue) == (envelope.task.id, envelope.task.queue)
    assert progress.envelope(envelope.task) == envelope


@given(st.floats(0, 32_503_680_000))
def test_a_due_time_is_rounded_up_by_less_than_a_millisecond(due_at: float) -> None:
    milliseconds = due_milliseconds(due_at)

    assert milliseconds / 1000 >= due_at
    assert (milliseconds - 1) / 1000 < due_at or milliseconds == 0
    assert due_milliseconds(milliseconds / 1000) == milliseconds


HEADER_NAMES = st.sampled_from([*progress_headers(SMALL), "wr-doubtful", "wr-status", "wr-reason"])
ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()


@given(st.dictionaries(HEADER_NAMES, ANYTHING))
def test_absurd_headers_are_refused_and_never_crash(absurd: dict[str, Any]) -> None:
    with suppress(InvalidTaskError):
        read_progress(absurd)
    with suppress(InvalidTaskError):
        read_progress(progress_headers(SMALL) | absurd)


def test_a_message_without_our_headers_has_no_progress() -> None:
    assert read_progress({}) is None
    assert read_progress({"wr-attempt": 3}) is None


@pytest.mark.parametrize("missing", sorted(set(progress_headers(SMALL)) - {"wr-id"}))
def test_a_missing_header_is_named(missing: str) -> None:
    headers = progress_headers(SMALL)
    del headers[missing]

    with pytest.raises(InvalidTaskError) as caught:
        read_progress(headers)

    assert caught.value.field == missing


def test_an_unknown_version_is_refused_with_the_known_one() -> None:
    with pytest.raises(InvalidTaskError, match="reads 1 only") as caught:
        read_progress(progress_headers(SMALL) | {"wr-v": 2})

    assert caught.value.reason == "unknown_version"


def test_what_is_not_set_is_not_written() -> None:
    assert set(progress_headers(SMALL)) == {
        "wr-v", "wr-id", "wr-run", "wr-attempt", "wr-gen", "wr-due", "wr-queue", "wr-kind",
        "wr-first",
    }  # fmt: skip


def test_a_long_or_unsendable_error_is_cut_and_mended() -> None:
    headers = progress_headers(
        Envelope(task=SMALL.task, first_at=0, due_at=0, last_error="\ud800" + "x" * 300)
    )

    assert headers["wr-error"] == "?" + "x" * 255


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("wr-id", "a b"),
        ("wr-id", 7),
        ("wr-queue", ""),
        ("wr-kind", "callback"),
        ("wr-run", 0),
        ("wr-attempt", "1"),
        ("wr-gen", -1),
        ("wr-due", 10**16),
        ("wr-doubtful", 2),
        ("wr-dedup", 2),
        ("wr-status", 99),
        ("wr-error", 5),
        ("wr-error", "x" * 513),
        ("wr-origin", ""),
    ],
)
def test_an_absurd_header_is_named_with_what_would_be_right(name: str, value: str | int) -> None:
    with pytest.raises(InvalidTaskError, match=f"{name}: must be") as caught:
        read_progress(progress_headers(SMALL) | {name: value})

    assert (caught.value.reason, caught.value.field) == ("bad_progress", name)


@given(ENVELOPES)
def test_the_headers_of_a_copy_name_it(envelope: Envelope) -> None:
    assert copy_key(progress_headers(envelope)) == envelope.key


@pytest.mark.parametrize("headers", [{}, {"wr-id": "x"}, {"wr-id": 1, "wr-run": 1, "wr-gen": 1}])
def test_headers_of_others_name_no_copy(headers: dict[str, str | int]) -> None:
    assert copy_key(headers) is None
