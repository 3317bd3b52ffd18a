"""What was confirmed is on the disk: replayed from every write and flush of a process at work."""

import asyncio
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from tests.fakes.observer import RecordingObserver
from tests.parts.daemon import ROOT
from tests.parts.disk import needs
from tests.parts.disk_trace import CALLS, TRACE, Disk, calls_of
from webhook_runner.broker.embedded import EmbeddedBroker
from webhook_runner.ports import Delivery
from webhook_runner.process.clock import SystemClock
from webhook_runner.task.model import Envelope, Message, Task
from webhook_runner.task.notice import Aside, Notice

pytestmark = pytest.mark.system

COUNT = 320
CUTS = 60


class Acknowledging:
    """A consumer that settles what it gets at once."""

    def __init__(self, broker: EmbeddedBroker) -> None:
        self._broker = broker
        self._acks: set[asyncio.Task[bool]] = set()

    def receive(self, delivery: Delivery) -> None:
        ack = asyncio.ensure_future(self._broker.ack(delivery))
        self._acks.add(ack)
        ack.add_done_callback(self._acks.discard)

    def take_now(self, delivery: Delivery) -> bool:
        raise AssertionError(delivery)


async def work(path: str, confirmed: IO[bytes]) -> None:
    """Keep 8 publishes going, note each that is confirmed, and consume those of another queue.

    Beside them every fourth posts a notice, and puts a letter aside and removes it again.
    """
    broker = EmbeddedBroker(path, SystemClock(), RecordingObserver())
    running = asyncio.ensure_future(broker.run())
    await broker.writable()
    await broker.consume("gone", Acknowledging(broker), 10)
    numbers = iter(range(COUNT))

    async def publish() -> None:
        for number in numbers:
            body = b"t%d " % number + b"x" * 5000
            await broker.submit("gone", Message(body))
            await broker.submit("kept", Message(body))
            if not number % 4:
                await broker.post([Notice(f"t{number}", time.time(), b"")])
                task = Task(id=f"t{number}", queue="gone", url="http://a.example", source=b"{}")
                await broker.bury(Envelope(task, first_at=0.0, due_at=0.0), b"{}")
                await broker.clear(Aside.DEAD, "gone")
            confirmed.write(b"t%d\n" % number)

    await asyncio.gather(*(publish() for _ in range(8)))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class Left:
    """What is in a file by the names of tasks: messages, notices, dead letters."""

    messages: set[str]
    notices: set[str]
    dead: set[str]


def left_in(database: Path) -> Left:
    name = """json_extract(headers, '$."wr-id"')"""
    with closing(sqlite3.connect(database)) as connection:
        ask = connection.execute
        assert ask("PRAGMA integrity_check").fetchall() == [("ok",)]
        found = ask("SELECT body FROM message JOIN ready USING (id) WHERE queue = 'kept'")
        messages = {bytes(row[0]).partition(b" ")[0].decode() for row in found}
        notices = {key for (key,) in ask("SELECT key FROM notice")}
        dead = {dead for (dead,) in ask(f"SELECT {name} FROM dead")}
        return Left(messages, notices, dead)


def test_a_loss_of_power_takes_nothing_that_was_confirmed(tmp_path: Path) -> None:
    needs("strace")
    path, trace, dice = tmp_path / "queue.db", tmp_path / "trace", random.Random(7)
    ran = subprocess.run(
        [*TRACE, CALLS, "-o", trace, sys.executable, "-m", __name__, path],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if b"Operation not permitted" in ran.stderr:
        pytest.skip("this machine lets nobody trace")
    assert ran.returncode == 0, ran.stderr.decode()
    calls = list(calls_of(trace))
    marks = [at for at, call in enumerate(calls) if call.path.endswith(".confirmed")]
    assert len(marks) == COUNT
    cuts = {marks[0] + 1, *dice.sample(range(marks[0] + 1, len(calls) + 1), CUTS)}
    disk, confirmed = Disk(), set[str]()
    for at, call in enumerate(calls, 1):
        if call.path.endswith(".confirmed"):
            confirmed.add(call.data.decode().strip())
        disk.take(call)
        if at in cuts:
            image = tmp_path / f"image-{at}.db"
            for suffix in ("", "-wal"):
                content = disk.lose_power(f"{path}{suffix}", dice)
                Path(f"{image}{suffix}").write_bytes(content)
            left = left_in(image)
            assert confirmed <= left.messages, at
            assert {name for name in confirmed if not int(name[1:]) % 4} <= left.notices, at
            assert not confirmed & left.dead, at
    # The names of the files are on the disk as well.
    assert str(tmp_path) in disk.flushed
    assert str(path) in disk.flushed  # a checkpoint was among it


if __name__ == "__main__":
    with Path(f"{sys.argv[1]}.confirmed").open("wb", buffering=0) as notes:
        asyncio.run(work(sys.argv[1], notes))
