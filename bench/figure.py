"""One figure of merit: what it is called, how it is measured, and lines with value and limit."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parents[1]
NOT_MEASURED = "not measured"


class NotMeasuredError(RuntimeError):
    """What would measure it is not there, or broke down; the message says which."""


@dataclass(frozen=True, slots=True)
class Line:
    """A measured value beside its limit."""

    what: str
    value: str
    limit: str
    passed: bool

    @property
    def verdict(self) -> str:
        return "PASS" if self.passed else "FAIL"


@dataclass(frozen=True, slots=True)
class Scale:
    """How thoroughly to measure: a few minutes for all (``long`` false), or by the real numbers.

    ``chaos`` holds the findings of a long run of bench.chaos that has been made already.
    """

    long: bool = False
    chaos: Path | None = None

    def pick(self, few: int, many: int) -> int:
        return many if self.long else few


@dataclass(frozen=True, slots=True)
class Figure:
    """``measure`` may raise NotMeasuredError; ``about`` tells in words what is promised."""

    name: str
    about: str
    measure: Callable[[Scale], list[Line]]


@dataclass(frozen=True, slots=True)
class Tests:
    """How a selection of tests went."""

    __test__ = False

    passed: int
    failed: int
    skipped: int

    def line(self, what: str, limit: str = "0 failed") -> Line:
        """Skipped tests prove nothing, nor does a selection that is empty."""
        value = f"{self.passed} passed, {self.failed} failed"
        if self.skipped:
            value += f", {self.skipped} skipped"
        return Line(what, value, limit, self.passed > 0 and self.failed == self.skipped == 0)


def most(what: str, value: float, limit: float, unit: str = "", form: str = ".4g") -> Line:
    """Return a line of a value that may be at most so much."""
    unit = f" {unit}".rstrip()
    return Line(what, f"{value:{form}}{unit}", f"<= {limit:g}{unit}", value <= limit)


def least(what: str, value: float, limit: float, unit: str = "", form: str = ".4g") -> Line:
    """Return a line of a value that has to be at least so much."""
    unit = f" {unit}".rstrip()
    return Line(what, f"{value:{form}}{unit}", f">= {limit:g}{unit}", value >= limit)


def run_tests(
    selection: Sequence[str], *, only: str = "", times: int = 1, workers: int = 2
) -> Tests:
    """Run tests of the suite so often; ``only`` is an expression of names (pytest's ``-k``).

    Raises:
        NotMeasuredError: one of them is not there.

    """
    absent = [each for each in selection if not (ROOT / each.partition("::")[0]).exists()]
    if absent or not selection:
        raise NotMeasuredError(f"there is no {', '.join(absent) or 'such test'}")
    chosen = [*selection, *(("-k", only) if only else ())]
    runs = [_run_once(chosen, workers) for _ in range(times)]
    return Tests(
        sum(run.passed for run in runs),
        sum(run.failed for run in runs),
        sum(run.skipped for run in runs),
    )


def run_module(*arguments: str) -> tuple[int, str]:
    """Run ``python -m`` with arguments, its words on our standard output too.

    Returns its exit code and what it said.
    """
    command = [sys.executable, "-m", *arguments]
    said = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        for line in running.stdout or ():
            print(line, end="", flush=True)
            said.append(line)
    return running.returncode, "".join(said)


def _run_once(selection: Sequence[str], workers: int) -> Tests:
    with tempfile.TemporaryDirectory(prefix="wr-figures-") as name:
        told = Path(name) / "told.xml"
        spread = ("-n", str(workers), "--dist", "loadfile")
        run_module("pytest", "-q", *spread, f"--junitxml={told}", *selection)
        if not told.exists():
            raise NotMeasuredError(f"pytest ended without a word about {' '.join(selection)}")
        suite = ET.parse(told).getroot().find("testsuite")  # noqa: S314 - pytest's own
        if suite is None:
            raise NotMeasuredError("pytest told of no tests")
        count = {each: int(suite.get(each, "0")) for each in _COUNTS}
        failed = count["failures"] + count["errors"]
        return Tests(count["tests"] - failed - count["skipped"], failed, count["skipped"])


_COUNTS = "tests", "failures", "errors", "skipped"
