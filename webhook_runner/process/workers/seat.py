"""The place of one worker at the parent: its process, its socket, what is known of it."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping
from contextlib import suppress

from webhook_runner.ports import Store
from webhook_runner.process.workers.line import Line
from webhook_runner.process.workers.store_desk import StoreDesk
from webhook_runner.process.workers.wire import (
    FROM_WORKER,
    Ask,
    Begin,
    FromWorker,
    Leaves,
    Noted,
    Stands,
    Stop,
    ToWorker,
)

MODULE = "webhook_runner.process.workers"
LAST_WORDS_SECONDS = 5.0
_OURS = ("WEBHOOK_RUNNER_", "TASKQUEUE_", "NOTIFY_SOCKET", "WATCHDOG_")
_HANDED_ON = "WEBHOOK_RUNNER_FAILPOINTS"


class Seat:
    """One worker after the other has it. ``told`` gets what it says that is not for the store.

    Attributes:
        name: what it is called among daemons, as long as it lives.
        stands: how it stood at ``heard_at``; None before it has said anything.
        interrupted: attempts that were cut off by those that drained here.

    """

    def __init__(self, number: int, store: Store, told: Callable[[int, FromWorker], None]) -> None:
        self.number = number
        self.name = ""
        self.stands: Stands | None = None
        self.heard_at = 0.0
        self.interrupted = 0
        self.process: Process | None = None
        self._store = store
        self._told = told
        self._line: Line[FromWorker] | None = None
        self._desk: StoreDesk | None = None

    @property
    def shown(self) -> int:
        """Its number as people see it."""
        return self.number + 1

    async def start(self) -> int:
        """Start a worker; it does nothing before ``begin``. Returns its pid.

        Raises:
            OSError: no process can be started, or no socket opened.

        """
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self.process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-m", MODULE, str(theirs.fileno())),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    env=environment(os.environ),
                )
            self._line = line = Line(FROM_WORKER, self._take)
            self._desk = StoreDesk(self._store, line)
            await line.open(ours)
        except BaseException:
            ours.close()
            raise
        return self.process.pid

    async def live(self, begin: Begin) -> str:
        """Have the worker work, until it has ended. Returns how it ended."""
        process, line, desk = self.process, self._line, self._desk
        if process is None or line is None or desk is None:
            raise RuntimeError("there is no worker that could begin")
        self.name = begin.name
        line.send(begin)
        serving = asyncio.ensure_future(desk.run())
        try:
            code = await self._end_of(process, line)
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await line.close()
            self._line = self._desk = self.process = self.stands = None
        return how_ended(code)

    async def _end_of(self, process: Process, line: Line[FromWorker]) -> int:
        """Wait until process and socket have both ended; one does not long outlive the other."""
        ended = asyncio.ensure_future(process.wait())
        lost = asyncio.ensure_future(line.lost.wait())
        try:
            await asyncio.wait((ended, lost), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((ended, lost), timeout=LAST_WORDS_SECONDS)
            self.kill()
            return await ended
        finally:
            ended.cancel()
            lost.cancel()

    def send(self, message: ToWorker) -> None:
        """Tell the worker, if there is one."""
        if self._line is not None and self.name:
            self._line.send(message)

    def tell_store(self) -> None:
        """Tell the worker how the store stands."""
        if self._desk is not None and self.name:
            self._desk.tell()

    def stop(self, *, hurry: bool) -> None:
        self.send(Stop(hurry))

    def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.kill()

    def _take(self, message: FromWorker) -> None:
        self.heard_at = asyncio.get_running_loop().time()
        match message:
            case Noted() if self._desk is not None:
                self._desk.note(message)
            case Ask() if self._desk is not None:
                self._desk.ask(message)
            case Stands():
                self.stands = message
                self._told(self.number, message)
            case Leaves(interrupted):
                self.interrupted += interrupted
            case _:
                self._told(self.number, message)


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Return that of a worker: without what is for the parent only, secrets perhaps.

    It finds the same modules as this process does.
    """
    kept = {key: value for key, value in ours.items() if not key.startswith(_OURS)}
    if _HANDED_ON in ours:
        kept[_HANDED_ON] = ours[_HANDED_ON]
    return kept | {"PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}


def how_ended(code: int) -> str:
    """Return exit code or signal in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"signal {-code}"
