"""One process has a file; who comes second is told which."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from webhook_runner.broker.sqlite.file_lock import TAKEN, FileLock
from webhook_runner.errors import QueueFileError

HOLD = """
import sys
from pathlib import Path
from webhook_runner.broker.sqlite.file_lock import FileLock
lock = FileLock.take(Path(sys.argv[1]))
print("taken", flush=True)
sys.stdin.read()
"""


def test_who_comes_second_is_told_the_pid_of_the_first(tmp_path: Path) -> None:
    lock = FileLock.take(tmp_path / "queue")
    with pytest.raises(QueueFileError, match=f"process {os.getpid()} has it") as raised:
        FileLock.take(tmp_path / "queue")
    assert raised.value.code == TAKEN
    lock.give_back()
    FileLock.take(tmp_path / "queue").give_back()


def test_a_process_that_is_killed_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "queue"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"taken\n"
        with pytest.raises(QueueFileError, match=f"process {holder.pid} has it"):
            FileLock.take(path)
        holder.kill()
        holder.wait()
        FileLock.take(path).give_back()


def test_a_pid_left_by_who_had_it_before_is_not_named(tmp_path: Path) -> None:
    (tmp_path / "queue.lock").write_bytes(b"%-20d" % 999_999_999_999)
    lock = FileLock.take(tmp_path / "queue")
    with pytest.raises(QueueFileError, match=f"process {os.getpid()} has it"):
        FileLock.take(tmp_path / "queue")
    lock.give_back()


def test_a_place_where_nothing_can_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(QueueFileError, match="cannot be made") as raised:
        FileLock.take(tmp_path / "nowhere" / "queue")
    assert raised.value.code == 74
