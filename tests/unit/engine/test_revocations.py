"""Which copies of a task are revoked by what was said of its id."""

import tracemalloc

import msgspec
import pytest

from webhook_runner.engine.revocations import (
    Revocations,
    cancellation,
    supersession,
)
from webhook_runner.policy.verdict import Revoked
from webhook_runner.task.model import Envelope, Kind, Message, Task
from webhook_runner.task.notice import Notice

AT = 1_800_000_000.0
MS = 1_800_000_000_000
OURS = Message(b"{}", {"wr-id": "t"})


def copy(run: int = MS - 5, gen: int = 1, first_at: float | None = None) -> Envelope:
    began = run / 1000 if first_at is None else first_at
    return Envelope(Task("t", "q", "/x", b"{}"), first_at=began, due_at=began, run=run, gen=gen)


def revoked_by(notice: Notice) -> Revocations:
    revocations = Revocations()
    assert revocations.recall(notice) == "t"
    return revocations


@pytest.mark.parametrize(
    ("run", "first_at", "why"),
    [
        (MS - 1, None, Revoked.CANCELLED),
        (MS, None, Revoked.CANCELLED),
        (MS + 1, None, None),
        # Under a flood runs are numbered ahead of the clock.
        (MS + 5_000, AT - 0.5, Revoked.CANCELLED),
        (MS + 5_000, AT + 0.5, None),
    ],
)
def test_a_cancellation_covers_what_began_before_it(
    run: int, first_at: float | None, why: Revoked | None
) -> None:
    revocations = revoked_by(cancellation("t", 0, AT))
    assert revocations.of(copy(run, first_at=first_at), OURS) is why


def test_a_cancellation_covers_the_run_that_it_names_whatever_its_time() -> None:
    revocations = revoked_by(cancellation("t", MS + 7, AT))
    assert revocations.of(copy(MS + 7), OURS) is Revoked.CANCELLED
    assert revocations.of(copy(MS + 8), OURS) is None
    assert revocations.run_after("t") == MS + 8
    assert revocations.run_after("other") == 1


@pytest.mark.parametrize(
    ("timestamp", "why"),
    [(None, Revoked.CANCELLED), (AT, Revoked.CANCELLED), (AT + 1, None)],
)
def test_a_publishers_message_is_revoked_unless_it_is_known_to_be_younger(
    timestamp: float | None, why: Revoked | None
) -> None:
    revocations = revoked_by(cancellation("t", 0, AT))
    message = Message(b"{}", timestamp=timestamp)
    assert revocations.of(copy(MS + 9_000, gen=0, first_at=AT + 9), message) is why


def test_a_first_copy_of_a_roll_back_is_no_publishers_message() -> None:
    revocations = revoked_by(cancellation("t", 0, AT))
    undo = msgspec.structs.replace(copy(MS + 9_000, gen=0), kind=Kind.ROLLBACK)
    assert revocations.of(undo, OURS) is None


@pytest.mark.parametrize(
    ("run", "gen", "why"),
    [(5, 3, Revoked.SUPERSEDED), (5, 4, None), (4, 1, None), (6, 0, None)],
)
def test_a_superseded_copy_is_not_the_one_that_took_its_place(
    run: int, gen: int, why: Revoked | None
) -> None:
    revocations = revoked_by(supersession("t", 5, 3, AT))
    assert revocations.of(copy(run, gen), OURS) is why


def test_a_cancellation_covers_what_took_the_place_of_another_copy() -> None:
    revocations = revoked_by(supersession("t", MS - 5, 3, AT))
    revocations.recall(cancellation("t", 0, AT))
    assert revocations.of(copy(gen=4), OURS) is Revoked.CANCELLED


def test_what_was_cancelled_stays_so_when_a_later_run_is_called_early() -> None:
    revocations = revoked_by(cancellation("t", 0, AT))
    later = supersession("t", MS + 5, 1, AT + 1)
    assert later.key != cancellation("t", 0, AT).key  # the broker keeps the last of a key
    revocations.recall(later)
    assert revocations.of(copy(MS - 5), OURS) is Revoked.CANCELLED
    assert revocations.of(copy(MS + 5), OURS) is Revoked.SUPERSEDED


def test_a_later_word_takes_the_place_of_an_earlier() -> None:
    revocations = revoked_by(cancellation("t", 0, AT))
    revocations.recall(cancellation("t", 0, AT + 1))
    assert revocations.run_after("t") == MS + 1001
    assert len(revocations) == 1


def test_a_notice_of_nonsense_is_an_error() -> None:
    with pytest.raises(msgspec.MsgspecError):
        Revocations().recall(Notice("task:t", AT, b"{}"))


def test_a_hundred_thousand_take_few_bytes_each() -> None:
    count = 100_000
    revocations = Revocations()
    tracemalloc.start()
    try:
        for number in range(count):
            name = f"0189a1b2-0000-7000-8000-{number:012}"
            revocations.recall(cancellation(name, 0, AT + number / 1000))
        assert tracemalloc.get_traced_memory()[0] / count < 400
    finally:
        tracemalloc.stop()
