"""A wall clock that a test sets for one process, by libfaketime; monotonic time stays true."""

import time
from bisect import bisect_right
from pathlib import Path

WANTING = "no libfaketime to set a daemon's clock with"
HOW_TO_GET_IT = f"{WANTING}: sh tests/parts/install_libfaketime.sh (as root)"

_SEARCH = (
    "usr/lib/*/faketime/libfaketime.so.1",
    "usr/lib/faketime/libfaketime.so.1",
    "usr/lib64/faketime/libfaketime.so.1",
    "usr/local/lib/faketime/libfaketime.so.1",
)
_SHARED = Path("/dev/shm")
# A request may have been on its way when the clock was set.
_UNDER_WAY_SECONDS = 1.0


def find_library() -> Path | None:
    """Return where libfaketime lies, if it does."""
    found = (path for pattern in _SEARCH for path in sorted(Path("/").glob(pattern)))
    return next(found, None)


class FakeClock:
    """``environment`` is for the process; its clock is the true one plus what was last ``set``."""

    def __init__(self, directory: Path, library: Path) -> None:
        self._file = directory / "clock"
        self._since: list[float] = []
        self._offsets: list[float] = []
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        self.set(0.0)

    def set(self, offset: float) -> None:
        """Set the clock to the true time plus so many whole seconds, which may be below zero."""
        offset = round(offset)
        self._since.append(time.time())
        self._offsets.append(offset)
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{offset:+d}\n")
        fresh.replace(self._file)

    def now(self) -> float:
        """Return what the clock shows, in epoch seconds."""
        return time.time() + self._offsets[-1]

    def latest_at(self, true: float) -> float:
        """Return the latest that the clock showed at a true time, or in the second before it."""
        first = max(bisect_right(self._since, true - _UNDER_WAY_SECONDS) - 1, 0)
        last = bisect_right(self._since, true)
        return true + max(self._offsets[first:last])


def forget(pid: int) -> None:
    """Remove what libfaketime leaves in shared memory for a process that was killed."""
    for left in _SHARED.glob(f"*faketime_*_{pid}"):
        left.unlink(missing_ok=True)
