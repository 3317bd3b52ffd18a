"""The daemon as a process whose log goes to a file, to be started, measured and killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Self

from tests.parts.guardian import Guardian

ROOT = Path(__file__).resolve().parents[1]
_LOOK_AGAIN_SECONDS = 0.01


class ServeError(RuntimeError):
    """The daemon ended, or was not ready in time."""


class Served:
    """``webhook-runner serve`` with a configuration and a directory of its own."""

    def __init__(
        self,
        directory: Path,
        config: str,
        *,
        cpus: Iterable[int] = (),
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.log = directory / "daemon.log"
        self._config = directory / "taskqueue.ini"
        self._config.write_text(config)
        self._directory = directory
        self._cpus = set(cpus)
        self._environment = dict(environment)
        self._guardian = Guardian(directory / "no-directory")
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self._started.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> float:
        """Start it, without waiting; return the monotonic time just before."""
        self._began = self.log.stat().st_size if self.log.exists() else 0
        environment = dict(os.environ) | {
            "TASKQUEUE_CONFIG_FILE": str(self._config),
            "PYTHONPATH": str(ROOT),
            **self._environment,
        }
        began = time.monotonic()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "webhook_runner", "serve"],
                cwd=self._directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._guardian.guard(self._process.pid)
        if self._cpus:
            os.sched_setaffinity(self._process.pid, self._cpus)
        return began

    def ready(self, timeout: float = 60.0) -> float:
        """Wait until it says `daemon.ready`; return the monotonic time. Raises ServeError."""
        ended = time.monotonic() + timeout
        while b'"daemon.ready"' not in self._said():
            if not self.running or time.monotonic() > ended:
                raise ServeError(f"not ready:\n{self.tail()}")
            time.sleep(_LOOK_AGAIN_SECONDS)
        return time.monotonic()

    def kill(self) -> None:
        """SIGKILL it, and wait for its end."""
        self._end(signal.SIGKILL)

    def terminate(self, timeout: float = 60.0) -> int:
        """SIGTERM it, and return its exit code."""
        return self._end(signal.SIGTERM, timeout)

    def freeze(self) -> None:
        """Stop it where it is: its connections stay open and nothing answers."""
        self._started.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._started.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self._guardian.close()
        if self._process is not None:
            self._process.wait()

    def tail(self, lines: int = 20) -> str:
        """Return the last lines of its log."""
        return b"\n".join(self._said().splitlines()[-lines:]).decode(errors="replace")

    def cpu_seconds(self) -> float:
        """CPU time so far, user and system (proc(5), fields 14 and 15)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self) -> int:
        """Resident memory now (VmRSS of proc(5))."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ServeError("it was not started")
        return self._process

    def _said(self) -> bytes:
        with self.log.open("rb") as log:
            log.seek(self._began)
            return log.read(1 << 20)

    def _end(self, how: signal.Signals, timeout: float = 10.0) -> int:
        process = self._started
        process.send_signal(how)
        code = process.wait(timeout)
        self._guardian.forget(process.pid)
        return code
