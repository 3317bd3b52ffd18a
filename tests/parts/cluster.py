"""A private PostgreSQL of the installed server: throw-away directory, a socket of its own."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote

from tests.parts.guardian import Guardian

_SEARCH = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
)
# Nobody else's data is here, and these survive the end of a process, which is all that tests end.
_CONFIGURATION = """
listen_addresses = ''
fsync = off
full_page_writes = off
shared_buffers = 32MB
max_connections = 60
autovacuum = off
deadlock_timeout = 100ms
"""
_START_SECONDS = 60.0
_PROBE_SECONDS = 0.02


class ClusterError(RuntimeError):
    """The cluster did not start."""


def find_binaries() -> Path | None:
    """Return the directory of the newest installed server."""
    for pattern in _SEARCH:
        for directory in sorted(Path("/").glob(pattern.lstrip("/")), reverse=True):
            if (directory / "initdb").is_file():
                return directory
    found = shutil.which("initdb")
    return Path(found).parent if found else None


@dataclass(slots=True)
class Cluster:
    """One running server, made by `start`; `close` or our own end leaves nothing behind."""

    directory: Path
    _binaries: Path
    _owner: str | None
    _guardian: Guardian
    _server: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls) -> Self:
        """Make a cluster and wait until it takes connections. Raises ClusterError."""
        binaries = find_binaries()
        if binaries is None:
            raise ClusterError("no PostgreSQL server is installed here")
        owner = _owner()
        directory = Path(tempfile.mkdtemp(prefix="wr-postgresql-"))
        if owner is not None:
            shutil.chown(directory, owner)
        cluster = cls(directory, binaries, owner, Guardian(directory))
        try:
            cluster._make()
            cluster.go_on()
        except BaseException:
            cluster.close()
            raise
        return cluster

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={quote(str(self.directory), safe='')}"

    def stop(self) -> None:
        """End every connection and the server (about 0.2 s); its data stay."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL the server; what was committed stays."""
        self._end(signal.SIGKILL)

    def go_on(self) -> None:
        """Start, again with the same data."""
        with (self.directory / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [
                    str(self._binaries / "postgres"),
                    "-D",
                    str(self._data),
                    "-k",
                    str(self.directory),
                ],
                user=self._owner,
                group=self._group,
                extra_groups=self._groups,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        self._guardian.guard(self._server.pid)
        self._wait(self._server)

    def close(self) -> None:
        if self._server is not None:
            self._end(signal.SIGQUIT)
        self._guardian.close()

    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _group(self) -> int | None:
        return None if self._owner is None else pwd.getpwnam(self._owner).pw_gid

    @property
    def _groups(self) -> list[int] | None:
        return None if self._owner is None else []

    def _make(self) -> None:
        command = [str(self._binaries / "initdb"), "-D", str(self._data), "-U", "postgres"]
        made = subprocess.run(
            [*command, "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"],
            user=self._owner,
            group=self._group,
            extra_groups=self._groups,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if made.returncode:
            raise ClusterError(made.stderr.decode(errors="replace"))
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(_CONFIGURATION)

    def _wait(self, server: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while subprocess.run(
            [self._binaries / "pg_isready", "-q", "-h", self.directory, "-U", "postgres"],
            check=False,
        ).returncode:
            lives = os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
            if not lives or time.monotonic() > deadline:
                raise ClusterError(self.log())
            time.sleep(_PROBE_SECONDS)

    def _end(self, how: signal.Signals) -> None:
        server = self._server
        if server is None:
            raise ClusterError("the server is not running")
        # Not Popen.send_signal, which would reap: the pid is forgotten before it is free again.
        os.kill(server.pid, how)
        os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)
        self._guardian.forget(server.pid)
        server.wait()
        self._server = None


def _owner() -> str | None:
    """Name whom the server runs as: it refuses to be root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise ClusterError("PostgreSQL does not run as root, and there is no user postgres or nobody")
