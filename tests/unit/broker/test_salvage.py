"""A damaged queue file: what can be read of it is saved, and no damage makes a traceback."""

import asyncio
import random
import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from webhook_runner.broker.sqlite.batch import Batch, Claim, Entry, Letter, Row
from webhook_runner.broker.sqlite.queue_file import QueueFile
from webhook_runner.broker.sqlite.record import message_of
from webhook_runner.broker.sqlite.salvage import salvage
from webhook_runner.cli.app import app
from webhook_runner.errors import InvalidTaskError, QueueFileError
from webhook_runner.task.notice import Notice
from webhook_runner.task.progress import read_progress

COUNT = 400
PAGE = 4096
NOTICES = (Notice("task:a", 1.0, b"a"), Notice("queue:b", 2.0, b"b"))


def entry(number: int) -> Entry:
    headers = f'{{"wr-id":"t{number}","wr-queue":"q{number % 3}","wr-due":0}}'
    return Entry(f"q{number % 3}", headers, b"%d:" % number + b"x" * 300)


def write(file: QueueFile, batch: Batch) -> list[Row]:
    return [row for claimed in file.write(batch).claimed for row in claimed.rows]


@contextmanager
def opened(path: Path) -> Iterator[QueueFile]:
    file = QueueFile.open(str(path))
    try:
        yield file
    finally:
        file.close()


def waits() -> Generator[asyncio.Future[Any], None, None]:
    """Return what a batch wants for keys; nobody waits for them."""
    loop = asyncio.new_event_loop()
    try:
        while True:
            yield loop.create_future()
    finally:
        loop.close()


def make(path: Path) -> None:
    keys = waits()
    entries: list[Entry | Letter] = [entry(number) for number in range(COUNT)]
    entries += [Letter(entry(0), 1, is_dead=True), Letter(entry(1), 1, is_dead=False)]
    with opened(path) as file:
        write(file, Batch(dict(zip(keys, entries, strict=False))))
        write(file, Batch(claims={next(keys): Claim("q0", 1, 7)}))
        write(file, Batch(posts={next(keys): NOTICES}))
    keys.close()


def bodies(path: Path) -> set[bytes]:
    keys = waits()
    claims = [Claim(name, 2**50, COUNT) for name in ("q0", "q1", "q2", "default")]
    with opened(path) as file, closing(keys):
        rows = write(file, Batch(claims=dict(zip(keys, claims, strict=False))))
    for row in rows:
        message_of(row)
    return {row.body for row in rows}


def damage(path: Path, pages: set[int]) -> None:
    data = bytearray(path.read_bytes())
    for page in pages:
        data[page * PAGE : (page + 1) * PAGE] = b"\xa5" * PAGE
    path.write_bytes(data)


EVERYTHING = {entry(number).body for number in range(COUNT)}


def test_a_sound_file_is_copied_whole(tmp_path: Path) -> None:
    make(tmp_path / "old")
    reply = CliRunner().invoke(app, ["salvage", str(tmp_path / "old"), str(tmp_path / "new")])
    assert (reply.exit_code, "message  400" in reply.output) == (0, True), reply.output
    assert bodies(tmp_path / "new") == EVERYTHING
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("length", [100, PAGE])
def test_a_file_without_its_header_is_saved_whole(tmp_path: Path, length: int) -> None:
    make(tmp_path / "old")
    before = (tmp_path / "old").read_bytes()
    (tmp_path / "old").write_bytes(b"\xa5" * length + before[length:])
    with pytest.raises(QueueFileError, match="damaged"):
        QueueFile.open(str(tmp_path / "old"))
    saved = salvage(str(tmp_path / "old"), str(tmp_path / "new"))
    assert saved == {"message": COUNT, "dead": 1, "invalid": 1, "notice": 2}
    assert bodies(tmp_path / "new") == EVERYTHING


@pytest.mark.parametrize("seed", range(25))
def test_damage_costs_what_lay_there_and_no_more(tmp_path: Path, seed: int) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    make(old)
    pages = old.stat().st_size // PAGE
    hit = set(random.Random(seed).sample(range(1, pages), 3))
    damage(old, hit)
    with suppress(QueueFileError):
        salvage(str(old), str(new))
        assert bodies(new) <= EVERYTHING
        # A page of the tree's trunk takes its branch along; a leaf holds about ten messages.
        assert len(bodies(new)) >= COUNT - 45 or hit & trunk(tmp_path)
    with suppress(QueueFileError, sqlite3.Error):
        bodies(old)


def trunk(tmp_path: Path) -> set[int]:
    """Return the pages of roots and of inner nodes, as a file of the same make has them."""
    make(tmp_path / "twin")
    data = (tmp_path / "twin").read_bytes()
    kinds = {page: data[page * PAGE] for page in range(1, len(data) // PAGE)}
    database = sqlite3.connect(tmp_path / "twin")
    roots = {row[0] - 1 for row in database.execute("SELECT rootpage FROM sqlite_master")}
    database.close()
    return roots | {page for page, kind in kinds.items() if kind in {2, 5}}


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bits_make_no_traceback(tmp_path: Path, seed: int) -> None:
    path, dice = tmp_path / "old", random.Random(seed)
    make(path)
    data = bytearray(path.read_bytes())
    for _ in range(30):
        data[dice.randrange(PAGE, len(data))] ^= 1 << dice.randrange(8)
    path.write_bytes(data)
    with suppress(QueueFileError):
        salvage(str(path), str(tmp_path / "new"))
    with suppress(QueueFileError, sqlite3.Error):
        bodies(path)


def test_a_new_file_must_be_new(tmp_path: Path) -> None:
    make(tmp_path / "old")
    (tmp_path / "new").touch()
    reply = CliRunner().invoke(app, ["salvage", str(tmp_path / "old"), str(tmp_path / "new")])
    assert (reply.exit_code, "there already" in reply.output) == (1, True)


def test_a_message_with_damaged_headers_is_found_invalid() -> None:
    message = message_of(Row(1, 0, 0, '{"wr-id":"t1', b"{}", ""))
    assert message.body == b"{}"
    with pytest.raises(InvalidTaskError, match="damaged"):
        read_progress(message.headers)
