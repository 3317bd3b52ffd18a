"""Queue files that a daemon cannot or may not use: one line, an exit code, nothing touched."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGKILL

import pytest

from tests.parts.daemon import SERVE, Daemon
from tests.parts.disk import NOBODY, fill, needs, run, small_disk
from tests.parts.ports import free_port

pytestmark = pytest.mark.system

WRONG_SETTING = 2
TAKEN = 4
UNUSABLE = 74


def daemon_on(path: Path | str, *, command: tuple[str, ...] = SERVE) -> Daemon:
    return Daemon(
        f'server = "embedded:{path}"\n[api]\nlisten = "127.0.0.1:{free_port()}"\n'
        '[store]\nurl = "none"\n[log]\nformat = "json"\n[queues.default]\n',
        command=command,
    )


def refusal(daemon: Daemon) -> tuple[int, str]:
    """Return the exit code and the one line that says why."""
    with daemon:
        daemon.config_file.parent.chmod(0o755)
        code = daemon.wait(30)
        told = [str(each) for each in daemon.events if each["level"] in {"warning", "error"}]
        told += [line for line in daemon.lines if line.startswith("error: ")]
        assert len(told) == 1, daemon.tail()
        assert not [line for line in daemon.lines if "Traceback" in line], daemon.tail()
        assert "daemon.ready" not in {each["event"] for each in daemon.events}
        return code, told[0]


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Daemon]:
    with daemon_on(tmp_path / "queue.db") as daemon:
        daemon.ready()
        yield daemon


@pytest.mark.parametrize(
    "spelling", ["queue.db", "folder/../queue.db", "alias.db", "room/queue.db"]
)
def test_a_second_daemon_is_refused_with_the_pid_of_the_first(
    held: Daemon, tmp_path: Path, spelling: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "alias.db").symlink_to(tmp_path / "queue.db")
    (tmp_path / "room").symlink_to(tmp_path)
    code, why = refusal(daemon_on(tmp_path / spelling))
    assert code == TAKEN
    assert f"process {held.pid} has it" in why
    assert "stop that one, or name another file" in why
    assert held.returncode is None


def test_a_file_with_a_second_name_is_refused(held: Daemon, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "same.db").hardlink_to(tmp_path / "queue.db")
    code, why = refusal(daemon_on(other / "same.db"))
    assert (code, "2 names (hard links)" in why) == (UNUSABLE, True)
    assert held.returncode is None


def test_a_killed_daemon_leaves_no_lock_behind(held: Daemon, tmp_path: Path) -> None:
    held.signal(SIGKILL)
    held.wait(10)
    with daemon_on(tmp_path / "queue.db") as second:
        second.ready()


def test_the_files_are_for_their_owner_alone(held: Daemon, tmp_path: Path) -> None:
    modes = {each.name: each.stat().st_mode & 0o777 for each in tmp_path.iterdir()}
    names = ("queue.db", "queue.db-wal", "queue.db-shm", "queue.db.lock")
    assert modes == dict.fromkeys(names, 0o600)


def make_text(path: Path) -> None:
    path.write_text("these are notes of somebody, long enough to be no header at all. " * 9)


def make_foreign(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.executescript("PRAGMA journal_mode = WAL; CREATE TABLE recipes (name)")
    database.close()


def make_newer(path: Path) -> None:
    make_ours(path)
    database = sqlite3.connect(path)
    database.executescript("PRAGMA journal_mode = DELETE; PRAGMA user_version = 1000")
    database.close()


def make_ours(path: Path) -> None:
    with daemon_on(path) as daemon:
        daemon.ready()
        assert daemon.terminate() == 0


def make_headless(path: Path) -> None:
    make_ours(path)
    path.write_bytes(b"\xa5" * 100 + path.read_bytes()[100:])


def make_truncated(path: Path) -> None:
    make_ours(path)
    path.write_bytes(path.read_bytes()[: 3 * 4096])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (make_text, "no SQLite database"),
        (make_foreign, "a database of another program"),
        (make_newer, "a newer version"),
        (make_headless, "or it is damaged"),
        (make_truncated, "it is damaged"),
    ],
)
def test_a_file_that_is_not_ours_to_write_is_refused_untouched(
    tmp_path: Path, make: Callable[[Path], None], words: str
) -> None:
    path = tmp_path / "queue.db"
    make(path)
    before = path.read_bytes()
    code, why = refusal(daemon_on(path))
    assert (code, words in why) == (UNUSABLE, True), why
    assert str(path) in why
    assert path.read_bytes() == before
    assert {each.name for each in tmp_path.iterdir()} <= {"queue.db", "queue.db.lock"}


@pytest.mark.parametrize(
    ("name", "expected", "words"),
    [
        ("nowhere/queue.db", WRONG_SETTING, "no such directory"),
        ("folder", WRONG_SETTING, "is a directory"),
        ("x" * 256, UNUSABLE, "File name too long"),
        ("loop", UNUSABLE, "oop"),
        ("file/queue.db", WRONG_SETTING, "is no directory"),
    ],
    ids=["no directory", "a directory", "a long name", "a loop", "a file on the way"],
)
def test_a_place_where_no_file_can_be_is_refused(
    tmp_path: Path, name: str, expected: int, words: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    code, why = refusal(daemon_on(tmp_path / name))
    assert (code, words in why) == (expected, True), why


@pytest.fixture
def public(tmp_path: Path) -> Path:
    for folder in (tmp_path, *tmp_path.parents[:3]):
        if folder.owner() == "root" and folder != Path("/tmp"):
            folder.chmod(0o755)
    return tmp_path


def test_a_directory_of_another_user_is_refused(public: Path) -> None:
    needs("setpriv")
    code, why = refusal(daemon_on(public / "queue.db", command=(*NOBODY, *SERVE)))
    assert (code, "permission denied" in why) == (WRONG_SETTING, True), why


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_of_another_user_is_refused(public: Path, mode: int) -> None:
    needs("setpriv")
    make_ours(public / "queue.db")
    (public / "queue.db").chmod(mode)
    (public / "queue.db.lock").chmod(0o666)
    public.chmod(0o777)
    code, why = refusal(daemon_on(public / "queue.db", command=(*NOBODY, *SERVE)))
    assert (code, "owner" in why) == (UNUSABLE, True), why


@pytest.mark.parametrize("is_new", [True, False])
def test_a_mount_that_is_read_only_is_refused(tmp_path: Path, *, is_new: bool) -> None:
    with small_disk(tmp_path / "disk", "2m") as disk:
        if not is_new:
            make_ours(disk / "queue.db")
        run("mount", "-o", "remount,ro", disk)
        code, why = refusal(daemon_on(disk / "queue.db"))
    assert (code, "ead-only" in why) == (UNUSABLE, True), why


@pytest.mark.parametrize("is_new", [True, False])
def test_a_full_disk_at_the_start_is_told(tmp_path: Path, *, is_new: bool) -> None:
    with small_disk(tmp_path / "disk", "2m") as disk:
        if not is_new:
            make_ours(disk / "queue.db")
        ballast = fill(disk)
        code, why = refusal(daemon_on(disk / "queue.db"))
        assert (code, "full" in why or "No space left" in why) == (UNUSABLE, True), why
        ballast.unlink()
        make_ours(disk / "queue.db")


def test_a_file_of_no_bytes_is_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "queue.db").touch()
    make_ours(tmp_path / "queue.db")
