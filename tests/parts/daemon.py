"""The daemon as a process of its own, with its log as a list of events to wait for."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Self

from tests.parts.guardian import Guardian
from tests.parts.watch import Watch

ROOT = Path(__file__).resolve().parents[2]
SERVE = (sys.executable, "-m", "webhook_runner", "serve")
Event = dict[str, object]


class DaemonError(AssertionError):
    """The daemon ended, or kept silent, where a test waited for an event."""


class Daemon:
    """One daemon with a configuration file of its own; killed with its children at `close`."""

    def __init__(
        self,
        config: str,
        *,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = SERVE,
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="wr-daemon-"))
        self.config_file = self.directory / "taskqueue.ini"
        self.environment = dict(environment or {})
        self.events: list[Event] = []
        self.lines: list[str] = []
        self._command = tuple(command)
        self._watch = Watch()
        self._guardian = Guardian(self.directory)
        self._process: subprocess.Popen[str] | None = None
        self._readers: list[threading.Thread] = []
        self._ended = True
        self.configure(config)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process id of the daemon, running or ended."""
        return self._started().pid

    @property
    def returncode(self) -> int | None:
        """The exit code, or None while it runs; negative for a signal."""
        return self._started().poll()

    def configure(self, config: str) -> None:
        """Write the configuration file anew; a running daemon learns of it by SIGHUP."""
        self.config_file.write_text(config)

    def start(self) -> None:
        """Start the process; does not wait until it is ready."""
        process = subprocess.Popen(
            self._command,
            cwd=self.directory,
            env=self._full_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        self._guardian.guard(process.pid)
        self._process, self._ended = process, False
        outputs = [each for each in (process.stdout, process.stderr) if each is not None]
        self._readers = [
            threading.Thread(target=self._read, args=(each,), daemon=True) for each in outputs
        ]
        for reader in self._readers:
            reader.start()

    def mark(self) -> int:
        """Return a place in the log, for `after=` of `wait_for_event`."""
        return len(self.events)

    def ready(self, timeout: float = 20.0, *, after: int = 0) -> Event:
        """Block until the daemon says `daemon.ready`. Raises DaemonError."""
        return self.wait_for_event("daemon.ready", timeout=timeout, after=after)

    def wait_for_event(
        self, name: str, *, timeout: float = 10.0, after: int = 0, **fields: object
    ) -> Event:
        """Block until a log line has this `event` and these fields, and return it.

        Raises DaemonError when the process ends first or after `timeout` seconds.
        """
        wanted = {"event": name, **fields}

        def found() -> Event | None:
            return next(
                (each for each in self.events[after:] if wanted.items() <= each.items()), None
            )

        try:
            self._watch.until(lambda: found() is not None or self._ended, timeout, self.tail)
        except TimeoutError as late:
            raise DaemonError(f"no {wanted}: {late}") from late
        event = found()
        if event is None:
            raise DaemonError(f"ended with {self.returncode} before {wanted}; {self.tail()}")
        return event

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the daemon's own process."""
        self._started().send_signal(number)

    def pause(self) -> None:
        """Freeze the daemon: its connections stay open and nothing answers."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen daemon go on; a failpoint may have frozen it."""
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL the daemon's own process and wait for its end."""
        self.signal(signal.SIGKILL)
        self.wait(10.0)

    def terminate(self, timeout: float = 40.0) -> int:
        """SIGTERM, wait for the end, and return the exit code. Raises subprocess.TimeoutExpired."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def wait(self, timeout: float) -> int:
        """Wait so many seconds for the daemon's end and return its exit code."""
        process = self._started()
        code = process.wait(timeout)
        self._end_group(process.pid)
        for reader in self._readers:
            reader.join()
        return code

    def restart(self) -> None:
        """SIGKILL it if it runs, and start it again with the same files."""
        if self.returncode is None:
            self.kill()
        self.start()

    def close(self) -> None:
        """Kill the daemon and its children and remove its directory."""
        self._guardian.close()
        if self._process is not None:
            self._process.wait()
        for reader in self._readers:
            reader.join()

    def tail(self, lines: int = 40) -> str:
        """Return the last lines of stdout and stderr."""
        return "the daemon's last lines:\n" + "\n".join(self.lines[-lines:])

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise DaemonError("the daemon was not started")
        return self._process

    def _full_environment(self) -> dict[str, str]:
        ours = ("WEBHOOK_RUNNER_", "TASKQUEUE_")
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        places = {"TASKQUEUE_CONFIG_FILE": str(self.config_file), "PYTHONPATH": str(ROOT)}
        return inherited | places | self.environment

    def _end_group(self, group: int) -> None:
        # Workers that outlive a killed parent would hold the pipes that we read to their end.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        self._guardian.forget(group)

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._take(line.rstrip("\n"))
        if stream is self._started().stderr:
            self._ended = True
            self._watch.stir()

    def _take(self, line: str) -> None:
        self.lines.append(line)
        if line.startswith("{"):
            try:
                self.events.append(json.loads(line))
            except ValueError:
                return
        self._watch.stir()
