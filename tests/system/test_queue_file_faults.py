"""Faults of the queue file while a daemon works with it: what was accepted is never lost."""

import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL, SIGUSR1, SIGUSR2

import pytest

from tests.parts.daemon import ROOT
from tests.parts.disk import fill, needs, run, small_disk
from tests.parts.intake import Intake
from tests.parts.receiver import Answer, Receiver
from tests.parts.scene import eventually

pytestmark = pytest.mark.system

UNUSABLE = 74
Fault = Callable[[Path], Callable[[], None]]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "3m") as place:
        yield place


def full(disk: Path) -> Callable[[], None]:
    ballast = fill(disk)
    return ballast.unlink


def store_elsewhere(place: Path) -> str:
    """Let the queue file be the one that meets the fault."""
    return f'[store]\nurl = "sqlite:{place}/state.db"\n'


def names(receiver: Receiver, path: str) -> list[str]:
    return [
        str(each.header("Webhook-Runner-Task-Id"))
        for each in receiver.requests
        if each.path == path
    ]


def post_until_refused(intake: Intake, url: str) -> set[str]:
    """Post until the answer is 503; return what was accepted."""
    accepted: set[str] = set()
    for _ in range(2000):
        reply = intake.post({"url": url, "payload": "x" * 20_000})
        if reply.status == 503:
            assert int(reply.headers["retry-after"]) > 0
            return accepted
        assert reply.status == 202
        accepted.add(reply.json()["id"])
    raise AssertionError("never refused")


def live_through(intake: Intake, place: Path, fault: Fault, reason: str) -> set[str]:
    """Accept, meet the fault with tasks in flight, refuse, recover; return what was accepted."""
    daemon, receiver = intake.daemon, intake.receiver
    receiver.script("/fails", [Answer(500, hang=True), Answer()])
    receiver.script("/held", [Answer(hang=True), Answer()])
    in_flight = [intake.post({"url": url}).json()["id"] for url in ("/held", "/fails")]
    receiver.wait_for(1, "/held")
    receiver.wait_for(1, "/fails")
    mend = fault(place)
    accepted = post_until_refused(intake, "/x")
    assert reason in str(daemon.wait_for_event("broker.blocked"))
    refuses(intake, reason)
    receiver.release()
    mark = daemon.mark()
    mend()
    daemon.wait_for_event("broker.unblocked", after=mark, timeout=20)
    daemon.ready(after=mark)
    assert intake.ask("GET", "/readyz").status == 200
    last = intake.post({"url": "/x"}).json()["id"]
    for name in in_flight:
        daemon.wait_for_event("task.succeeded", task_id=name, timeout=20)
    receiver.wait_for(len(accepted) + 1, "/x", timeout=20)
    assert [each["event"] for each in daemon.events].count("broker.blocked") == 1
    return accepted | {last}


def refuses(intake: Intake, reason: str) -> None:
    reply = intake.post({"url": "/x"})
    assert (reply.status, reason in reply.json()["detail"]) == (503, True)
    page = intake.ask("GET", "/readyz")
    assert (page.status, reason in page.body.decode()) == (503, True)
    assert intake.ask("GET", "/livez").status == 200


def test_a_full_disk_is_lived_through_and_every_count_is_exact(
    disk: Path, tmp_path: Path, receiver: Receiver
) -> None:
    top, queue = store_elsewhere(tmp_path), "min_backoff_seconds = 0.1"
    intake = Intake(f"embedded:{disk}/queue.db", receiver, top, queue)
    with intake.daemon as daemon:
        daemon.ready()
        accepted = live_through(intake, disk, full, "the disk is full")
        assert daemon.terminate() == 0
        daemon.start()
        daemon.ready(after=daemon.mark())
        assert sorted(names(receiver, "/x")) == sorted(accepted)
        assert (len(names(receiver, "/held")), len(names(receiver, "/fails"))) == (1, 2)


def immutable(place: Path) -> Callable[[], None]:
    files = [place / "queue.db", place / "queue.db-wal"]
    run("chattr", "+i", *files)
    return lambda: run("chattr", "-i", *files)


def test_a_disk_that_cannot_be_written_for_a_while_is_lived_through(
    tmp_path: Path, receiver: Receiver
) -> None:
    needs("chattr")
    intake = Intake(f"embedded:{tmp_path}/queue.db", receiver, queue="min_backoff_seconds = 0.1")
    with intake.daemon as daemon:
        daemon.ready()
        accepted = live_through(intake, tmp_path, immutable, "does not read or write")
        assert sorted(names(receiver, "/x")) == sorted(accepted)


def locked(place: Path) -> Callable[[], None]:
    other = sqlite3.connect(place / "queue.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other.close


def test_a_lock_of_another_program_is_lived_through(tmp_path: Path, receiver: Receiver) -> None:
    intake = Intake(f"embedded:{tmp_path}/queue.db", receiver, queue="min_backoff_seconds = 0.1")
    with intake.daemon as daemon:
        daemon.ready()
        accepted = live_through(intake, tmp_path, locked, "another program holds a lock")
        assert sorted(names(receiver, "/x")) == sorted(accepted)


def test_a_daemon_stopped_while_the_disk_is_full_repeats_what_it_could_not_record(
    disk: Path, tmp_path: Path, receiver: Receiver
) -> None:
    top = f"shutdown_timeout = 1\n{store_elsewhere(tmp_path)}"
    intake = Intake(f"embedded:{disk}/queue.db", receiver, top)
    receiver.script("/held", [Answer(hang=True), Answer()])
    with intake.daemon as daemon:
        daemon.ready()
        held = intake.post({"url": "/held"}).json()["id"]
        receiver.wait_for(1, "/held")
        make_room = full(disk)
        accepted = post_until_refused(intake, "/x")
        assert daemon.terminate() == 0
        make_room()
        receiver.release()
        daemon.start()
        receiver.wait_for(2, "/held", timeout=30)
        receiver.wait_until(lambda: set(names(receiver, "/x")) == accepted, timeout=30)
        assert names(receiver, "/held") == [held, held]


@contextmanager
def stocked(tmp_path: Path, receiver: Receiver, tasks: int = 100) -> Iterator[Intake]:
    """Run a daemon that is paused, with so many tasks of 40 kB in its file."""
    intake = Intake(f"embedded:{tmp_path}/queue.db", receiver)
    with intake.daemon as daemon:
        daemon.ready()
        daemon.signal(SIGUSR1)
        daemon.wait_for_event("queue.stopped", queue="default")
        bodies = [{"url": "/x", "id": f"t{n}", "payload": "x" * 40_000} for n in range(tasks)]
        reply = intake.post(bodies)
        assert {each["status"] for each in reply.json()["results"]} == {202}
        yield intake


def ends(intake: Intake) -> str:
    """Wait until the daemon ends for its file, and return the one line that says why."""
    daemon = intake.daemon
    assert daemon.wait(30) == UNUSABLE
    assert not [line for line in daemon.lines if "Traceback" in line], daemon.tail()
    (why,) = [str(each) for each in daemon.events if each.get("about") == "queue file"]
    return why


def everything_arrives(intake: Intake, tasks: int = 100) -> None:
    intake.daemon.start()
    intake.receiver.wait_for(tasks, "/x", timeout=40)
    assert set(names(intake.receiver, "/x")) == {f"t{n}" for n in range(tasks)}


def test_damage_met_at_work_ends_the_daemon_in_one_line(tmp_path: Path, receiver: Receiver) -> None:
    with stocked(tmp_path, receiver) as intake:
        for name in ("queue.db", "queue.db-wal"):
            path = tmp_path / name
            size = path.stat().st_size
            with path.open("r+b") as file:
                file.seek(8192)
                file.write(b"\xa5" * (size - 8192))
        intake.daemon.signal(SIGUSR2)
        why = ends(intake)
        assert "it is damaged" in why
        assert str(tmp_path / "queue.db") in why


def test_a_file_removed_at_work_is_saved_before_the_daemon_ends(
    tmp_path: Path, receiver: Receiver
) -> None:
    with stocked(tmp_path, receiver) as intake:
        (tmp_path / "queue.db").unlink()
        why = ends(intake)
        assert "queue.db was removed or replaced" in why
        (saved,) = tmp_path.glob("*.saved-*")
        assert str(saved) in why
        assert saved.stat().st_mode & 0o777 == 0o600
        saved.rename(tmp_path / "queue.db")
        everything_arrives(intake)


def test_a_file_replaced_at_work_is_saved_too(tmp_path: Path, receiver: Receiver) -> None:
    with stocked(tmp_path, receiver) as intake:
        (tmp_path / "new").write_bytes((tmp_path / "queue.db").read_bytes())
        (tmp_path / "new").rename(tmp_path / "queue.db")
        assert "queue.db was removed or replaced" in ends(intake)
        (saved,) = tmp_path.glob("*.saved-*")
        saved.rename(tmp_path / "queue.db")
        everything_arrives(intake)


@pytest.mark.parametrize("name", ["queue.db-wal", "queue.db-shm", "queue.db.lock"])
def test_a_file_beside_it_removed_at_work_costs_a_restart(
    tmp_path: Path, receiver: Receiver, name: str
) -> None:
    with stocked(tmp_path, receiver) as intake:
        (tmp_path / name).unlink()
        assert f"{name} was removed or replaced" in ends(intake)
        assert list(tmp_path.glob("*.saved-*")) == []
        everything_arrives(intake)


def test_a_wal_damaged_while_nobody_works_loses_only_what_came_after_the_damage(
    tmp_path: Path, receiver: Receiver
) -> None:
    intake = Intake(f"embedded:{tmp_path}/queue.db", receiver)
    with intake.daemon as daemon:
        daemon.ready()
        for number in range(20):
            assert intake.post({"url": "/x", "id": f"t{number}", "countdown": 3600}).status == 202
        daemon.signal(SIGKILL)
        daemon.wait(10)
        wal = tmp_path / "queue.db-wal"
        half = wal.stat().st_size // 2
        wal.write_bytes(wal.read_bytes()[:half] + bytes(half))
        mark = daemon.mark()
        daemon.start()
        daemon.ready(after=mark)
        with sqlite3.connect(tmp_path / "queue.db") as database:
            query = "SELECT headers FROM message ORDER BY id"
            kept = [row[0] for row in database.execute(query)]
        database.close()
        assert 0 < len(kept) < 20


def test_a_wal_that_grew_behind_a_long_reader_shrinks_when_it_is_gone(
    tmp_path: Path, receiver: Receiver
) -> None:
    with stocked(tmp_path, receiver, tasks=1) as intake:
        wal = tmp_path / "queue.db-wal"
        reader = sqlite3.connect(f"file:{tmp_path}/queue.db?mode=ro", uri=True)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM message").fetchone()
        for _ in range(3):
            intake.post([{"url": "/x", "payload": "x" * 60_000} for _ in range(200)])
        grown = wal.stat().st_size
        assert grown > 30_000_000
        reader.close()
        intake.post([{"url": "/x", "payload": "x" * 60_000} for _ in range(200)])
        intake.post([{"url": "/x", "payload": "x" * 60_000} for _ in range(200)])
        assert wal.stat().st_size <= 67_108_864


def test_the_file_shrinks_after_a_burst(tmp_path: Path, receiver: Receiver) -> None:
    with stocked(tmp_path, receiver, tasks=300) as intake:
        database = sqlite3.connect(f"file:{tmp_path}/queue.db?mode=ro", uri=True)

        def pages() -> int:
            return int(database.execute("PRAGMA page_count").fetchone()[0])

        assert pages() > 2500
        intake.daemon.signal(SIGUSR2)
        receiver.wait_for(300, "/x", timeout=60)
        eventually(lambda: pages() < 1100, timeout=30)
        database.close()


def test_what_the_guide_tells_to_type_works_beside_a_daemon(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = (ROOT / "docs/guide/embedded.md").read_text()
    (queries,) = re.findall(r"```sql\n(.*?)```", guide, re.DOTALL)
    (backup,) = re.findall(r"^python3 (-c .*)$", guide, re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    with stocked(tmp_path, receiver) as intake:
        subprocess.run([sys.executable, *shlex.split(backup)], check=True)
        database = sqlite3.connect("backup.db")
        found = [database.execute(line).fetchall() for line in queries.splitlines()]
        database.close()
        assert found[0] == [("default", 0, 100)]
        assert len(found[5]) == 10
        intake.daemon.kill()
        (tmp_path / "queue.db-wal").unlink()
        (tmp_path / "backup.db").rename(tmp_path / "queue.db")
        everything_arrives(intake)
