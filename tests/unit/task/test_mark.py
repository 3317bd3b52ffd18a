"""What is read of a message that was put aside, whatever is written on it."""

from webhook_runner.broker.letter import death_marks, invalid_marks
from webhook_runner.task.mark import Mark, mark_of_dead, mark_of_invalid
from webhook_runner.task.model import Envelope, Failure, Kind, Task
from webhook_runner.task.progress import progress_headers


def test_a_dead_letter_tells_its_end() -> None:
    failure = Failure("retries_exhausted", 4, last_status=503, last_error="")
    envelope = Envelope(
        Task("t~rb", "q", "/x", b"{}"), 1.0, 1.0, Kind.ROLLBACK, 7, 5, failure=failure, origin="t"
    )
    headers = progress_headers(envelope) | death_marks(envelope, b'{"a": 1}', 2.0)
    assert mark_of_dead(headers) == Mark(
        id="t~rb",
        run=7,
        queue="q",
        kind=Kind.ROLLBACK,
        reason="retries_exhausted",
        explanation="retries_exhausted",
        attempts=4,
        last_status=503,
        summary=b'{"a": 1}',
    )


def test_an_invalid_message_tells_its_fault() -> None:
    mark = mark_of_invalid(invalid_marks("q", "wrong_type", "url: must be a string", "url"))
    assert mark == Mark(
        queue="q", reason="wrong_type", explanation="url: must be a string", field="url"
    )


def test_what_is_not_there_or_not_ours_is_empty() -> None:
    assert mark_of_dead({}) == Mark()
    assert mark_of_dead({"wr-run": "x", "wr-id": 7, "wr-kind": "odd"}) == Mark()
    assert mark_of_invalid({}) == Mark()
