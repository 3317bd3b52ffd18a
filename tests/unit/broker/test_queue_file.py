"""The queue file: what is ready and when, what survives, and what is demanded of the disk."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.broker.batches import NOW, ack, batch, claim, entry, give_back, names, publish
from webhook_runner.broker.sqlite.batch import Ack, Claim, Drop, Letter, Purge
from webhook_runner.broker.sqlite.queue_file import QueueFile
from webhook_runner.broker.sqlite.queue_trouble import is_passing
from webhook_runner.errors import QueueFileError
from webhook_runner.settings import MEMORY
from webhook_runner.task.notice import Aside, Notice


@pytest.fixture
def file() -> Iterator[QueueFile]:
    opened = QueueFile.open(MEMORY)
    yield opened
    opened.close()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "queue.db")


def traced(file: QueueFile) -> list[str]:
    said: list[str] = []
    file._database.set_trace_callback(said.append)
    return said


def tables(file: QueueFile) -> dict[str, int]:
    counted = ("message", "ready", "unacked")
    return {name: file._one(f"SELECT count(*) FROM {name}") for name in counted}


def test_a_publish_is_committed_with_the_disk_asked_to_keep_it(file: QueueFile) -> None:
    file._is_durable = False
    said = traced(file)
    publish(file, entry("a"))
    order = [line for line in said if line.startswith(("PRAGMA", "BEGIN", "INSERT", "COMMIT"))]
    assert [line.split(" (")[0].split(" VALUES")[0] for line in order] == [
        "PRAGMA synchronous = FULL",
        "BEGIN IMMEDIATE",
        "INSERT INTO message",
        "INSERT INTO ready",
        "COMMIT",
    ]
    assert file._one("PRAGMA synchronous") == 2


def test_acks_and_claims_alone_do_not_wait_for_the_disk(file: QueueFile) -> None:
    publish(file, entry("a"), entry("b"))
    said = traced(file)
    (first, _) = claim(file).rows
    ack(file, [first.id])
    assert said[0] == "PRAGMA synchronous = NORMAL"
    assert sum(line.startswith("PRAGMA") for line in said) == 1
    assert file._one("PRAGMA synchronous") == 1
    file.write(batch(Ack(2), entry("c")))
    assert file._one("PRAGMA synchronous") == 2


@pytest.mark.parametrize(
    "write",
    [Notice("task:a", 1.0, b""), Drop(Aside.DEAD, "q", 0, 9), Purge("q", NOW, 9, 1)],
    ids=lambda write: type(write).__name__,
)
def test_what_is_posted_and_what_is_removed_waits_for_the_disk(
    file: QueueFile, write: Notice | Drop | Purge
) -> None:
    claim(file)
    assert file._one("PRAGMA synchronous") == 1
    file.write(batch(write))
    assert file._one("PRAGMA synchronous") == 2


def test_a_file_is_opened_to_keep_what_it_says(path: str) -> None:
    file = QueueFile.open(path)
    assert file._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert file._one("PRAGMA synchronous") == 2
    file.close()


def test_what_is_due_later_is_not_found_before(file: QueueFile) -> None:
    publish(file, entry("late", NOW + 1), entry("now", NOW), entry("ready"))
    claimed = claim(file)
    assert sorted(names(claimed)) == ["now", "ready"]
    assert claimed.next_due == NOW + 1
    assert names(claim(file, now=NOW + 1)) == ["late"]
    assert claim(file, now=NOW + 1).next_due is None


def test_more_than_was_asked_for_is_due_at_once(file: QueueFile) -> None:
    publish(file, *(entry(str(number)) for number in range(3)))
    claimed = claim(file, most=2)
    assert (names(claimed), claimed.next_due) == (["0", "1"], NOW)


def test_a_clock_set_back_hides_only_what_has_a_due_time(file: QueueFile) -> None:
    publish(file, entry("due", NOW), entry("ready"))
    claimed = claim(file, now=NOW - 3_600_000)
    assert (names(claimed), claimed.next_due) == (["ready"], NOW)
    assert names(claim(file)) == ["due"]


def test_what_is_due_and_what_is_ready_take_turns(file: QueueFile) -> None:
    publish(file, *(entry(f"d{number}", NOW - 9 + number) for number in range(3)))
    publish(file, *(entry(f"r{number}") for number in range(3)))
    first, second, third = (names(claim(file, most=1))[0] for _ in range(3))
    assert {first[0], second[0]} == {"d", "r"}
    assert third[0] == first[0]
    assert (first[1], second[1], third[1]) == ("0", "0", "1")


def test_room_that_one_kind_leaves_is_for_the_other(file: QueueFile) -> None:
    publish(file, entry("d", NOW), entry("r0"), entry("r1"))
    assert sorted(names(claim(file, most=3))) == ["d", "r0", "r1"]


def test_what_is_given_back_stands_where_it_stood(file: QueueFile) -> None:
    publish(file, *(entry(str(number)) for number in range(5)))
    rows = claim(file, most=3).rows
    give_back(file, [rows[2].id, rows[0].id])
    give_back(file, [rows[1].id], counted=False)
    again = claim(file)
    assert names(again) == ["0", "1", "2", "3", "4"]
    assert [row.deliveries for row in again.rows] == [1, 0, 1, 0, 0]


def test_what_waits_is_counted_right_through_every_move(file: QueueFile) -> None:
    publish(file, entry("a", NOW), entry("b", NOW + 5), entry("c"), Letter(entry("d"), NOW, True))
    assert file.scheduled == 2
    rows = claim(file).rows
    assert file.scheduled == 1
    give_back(file, [row.id for row in rows])
    assert file.scheduled == 1
    file.write(batch(entry("e", NOW + 9), Claim("q", NOW + 5, 9)))
    assert file.scheduled == 1
    with pytest.raises(OverflowError):
        file.write(batch(entry("f", NOW), entry("g", 2**70)))
    assert file.scheduled == 1
    file.take_over()
    assert file.scheduled == 1


def test_a_batch_is_written_whole_or_not_at_all(file: QueueFile) -> None:
    publish(file, entry("a"))
    (row,) = claim(file).rows
    with pytest.raises(OverflowError):
        file.write(batch(Ack(row.id), entry("b"), entry("c", 2**70)))
    assert tables(file) == {"message": 1, "ready": 0, "unacked": 1}
    assert not file._database.in_transaction


def test_an_ack_leaves_nothing(file: QueueFile) -> None:
    publish(file, entry("a"), entry("b", NOW))
    ack(file, [row.id for row in claim(file).rows])
    assert tables(file) == {"message": 0, "ready": 0, "unacked": 0}


def test_an_id_is_never_used_again_within_an_opening(file: QueueFile) -> None:
    """An ack that comes late would settle another message."""
    seen: list[int] = []
    for _ in range(4):
        publish(file, entry("a"))
        (row,) = claim(file).rows
        seen.append(row.id)
        ack(file, [row.id])
    assert seen == sorted(set(seen))


def test_what_was_not_settled_is_ready_again_after_an_opening_and_counted(path: str) -> None:
    for deaths in range(3):
        file = QueueFile.open(path)
        if not deaths:
            publish(file, entry("held"), entry("behind"), entry("later", NOW + 1))
        assert file.scheduled == 1
        (row,) = claim(file, most=1).rows
        assert (row.body, row.deliveries) == (b"held", deaths)
        file.close()
    file = QueueFile.open(path)
    assert [row.deliveries for row in claim(file).rows] == [3, 0]
    assert tables(file) == {"message": 3, "ready": 1, "unacked": 2}
    file.close()


def test_an_opening_has_a_greater_number_than_any_before(path: str) -> None:
    owners = []
    for _ in range(3):
        file = QueueFile.open(path)
        owners.append(file.owner)
        file.close()
    assert owners == [1, 2, 3]


def test_letters_keep_ids_apart_too(file: QueueFile) -> None:
    publish(file, Letter(entry("dead"), NOW, is_dead=True), Letter(entry("bad"), NOW, False))
    publish(file, entry("a"))
    file.take_over()
    publish(file, entry("b"))
    kept = [file._one("SELECT id FROM dead"), file._one("SELECT id FROM invalid")]
    assert len({*kept, *(row.id for row in claim(file).rows)}) == 4


def test_a_second_daemon_is_refused_and_told_who_has_the_file(path: str) -> None:
    file = QueueFile.open(path)
    with pytest.raises(QueueFileError, match=r"process \d+ has it"):
        QueueFile.open(path)
    file.close()
    QueueFile.open(path).close()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("CREATE TABLE theirs (id)", "another program"),
        (None, "newer version"),
    ],
)
def test_a_file_that_is_not_ours_to_write_is_left_alone(
    path: str, statement: str | None, said: str
) -> None:
    if statement is None:
        QueueFile.open(path).close()
        statement = "PRAGMA user_version = 99"
    database = sqlite3.connect(path)
    database.execute(statement)
    database.close()
    for _ in range(2):  # the lock was given back
        with pytest.raises(QueueFileError, match=said):
            QueueFile.open(path)


def test_a_file_that_is_no_database_is_named_as_such(path: str) -> None:
    Path(path).write_bytes(b"no database at all" * 500)
    with pytest.raises(QueueFileError, match="is no SQLite database") as raised:
        QueueFile.open(path)
    assert raised.value.code == 74


def test_a_full_file_is_a_passing_trouble_and_a_damaged_one_is_not(file: QueueFile) -> None:
    file._database.execute(f"PRAGMA max_page_count = {file._one('PRAGMA page_count')}")
    with pytest.raises(sqlite3.OperationalError) as full:
        publish(file, entry("x" * 1_000_000))
    assert is_passing(full.value)
    assert not is_passing(sqlite3.DatabaseError("damaged"))
    with pytest.raises(sqlite3.OperationalError):
        file.probe()
    file._database.execute("PRAGMA max_page_count = 1073741823")
    file.probe()
    assert file._one("SELECT count(*) FROM probe") == 0
