"""Small disks and foreign users for tests of faults; both need root, and say so when it is not."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def run(*command: str | Path) -> None:
    """Run a command. Raises CalledProcessError with what it said."""
    subprocess.run([str(each) for each in command], check=True, capture_output=True)


def needs(*commands: str) -> None:
    """Skip the test where these commands cannot be had or do not work, as without root."""
    for command in commands:
        if shutil.which(command) is None:
            pytest.skip(f"this machine has no {command}")
    if Path("/proc/self").stat().st_uid != 0:
        pytest.skip("only root may do this")


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """Mount a disk of that size, in memory, at `place`."""
    needs("mount", "umount")
    place.mkdir()
    try:
        run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no mount allowed: {error.stderr.decode().strip()}")
    try:
        yield place
    finally:
        # A daemon that is being killed may hold a file of it for a moment longer.
        run("umount", "--lazy", place)


def fill(place: Path) -> Path:
    """Take all room that is left, to the last byte, and return the file that has it."""
    ballast = place / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for step in (65536, 4096, 1):
            try:
                while True:
                    file.write(bytes(step))
            except OSError:
                continue
    return ballast
