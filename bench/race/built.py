"""What is compiled for the races: the receiver in C, the consumers in Go."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / ".bench"
BIN = PLACE / "bin"
_GOPATH = "/usr/share/gocode"
_RACE = ROOT / "bench/race"
_RIVALS = ROOT / "bench/rivals"


class NotThereError(LookupError):
    """What would take part is not there and could not be made; the message says why."""


def receiver() -> Path:
    """Compile the receiver; return its program. Raises NotThereError."""
    return _in_c("sink", "-lssl", "-lcrypto")


def load() -> Path:
    """Compile what measures the receiver; return its program. Raises NotThereError."""
    return _in_c("load")


def in_go(name: str) -> Path:
    """Compile one of the rivals in Go; return its program. Raises NotThereError."""
    if not shutil.which("go"):
        raise NotThereError("there is no Go here")
    environment = {"GO111MODULE": "off", "GOPATH": _GOPATH, "GOFLAGS": ""}
    environment["GOCACHE"] = str(PLACE / "go-cache")
    source = _RIVALS / name / "main.go"
    return _made(name, source, ("go", "build"), (str(source),), environment)


def venv(program: str) -> Path:
    """Return a program of the rivals' virtual environment. Raises NotThereError."""
    found = PLACE / "venv/bin" / program
    if not found.exists():
        raise NotThereError(f"there is no {found}: `make bench` makes it")
    return found


def _in_c(name: str, *libraries: str) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        raise NotThereError("there is no C compiler here")
    source = _RACE / f"{name}.c"
    return _made(name, source, (compiler, "-O2"), (str(source), *libraries), {})


def _made(
    name: str,
    source: Path,
    compiler: tuple[str, ...],
    arguments: tuple[str, ...],
    environment: Mapping[str, str],
) -> Path:
    """Compile unless the program is younger than its source; others may do so at the same time."""
    program = BIN / name
    if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
        return program
    BIN.mkdir(parents=True, exist_ok=True)
    fresh = BIN / f"{name}-{os.getpid()}"
    done = subprocess.run(
        [*compiler, "-o", str(fresh), *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise NotThereError(f"{name} could not be compiled: {done.stderr[-500:]}")
    fresh.replace(program)
    return program
