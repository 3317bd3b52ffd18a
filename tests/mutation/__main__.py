"""How many small wrong changes of the decisions the unit tests notice.

``python -m tests.mutation [--only policy/retry.py] [--jobs 2] [--report .mutants.json]``
"""

import argparse
import ast
import importlib
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mutation.collecting import write_coverage
from tests.mutation.equivalent import EQUIVALENT
from tests.mutation.mutations import AT_IMPORT, DATA, mutations
from tests.mutation.trials import End, Ended, Mutant, imported, patched

PACKAGE = Path("webhook_runner")
GUARD = ("guard", "ranges", "target", "wellformed")
GROUPS = {
    "task": sorted((PACKAGE / "task").glob("[a-z]*.py")),
    "policy": sorted((PACKAGE / "policy").glob("[a-z]*.py")),
    "guard": [PACKAGE / "dispatch" / f"{name}.py" for name in GUARD],
}
TESTS = {
    "task": ("tests/unit/task", "tests/fuzz"),
    "policy": ("tests/unit/policy", "tests/fuzz"),
    "guard": ("tests/unit/dispatch", "tests/fuzz"),
}
LEAST = {"policy": 85.0, "guard": 85.0}
_SLOWEST_TEST = 8.0
_PATIENCE = 8.0
_SHORTEST_LIMIT = 10.0


@dataclass(frozen=True, slots=True)
class Covering:
    """Which tests touch which lines, and how many seconds each takes."""

    seconds: dict[str, float]
    lines: dict[str, dict[str, list[str]]]

    def of(self, file: Path, first: int, last: int) -> set[str]:
        lines = self.lines.get(str(file), {})
        return {test for at in range(first, last + 1) for test in lines.get(str(at), ())}

    def chosen(self, tests: set[str]) -> tuple[tuple[str, ...], float]:
        """Return the fastest first, as many as patience lasts for, and how long they take."""
        chosen, total = [], 0.0
        for test in sorted(tests & self.seconds.keys(), key=lambda test: self.seconds[test]):
            total += self.seconds[test]
            if total > _PATIENCE:
                break
            chosen.append(test)
        return tuple(chosen), total


def covering(tests: list[str], sources: list[Path]) -> Covering:
    """Run the tests once, in another process: this one must not import the package yet."""
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder) / "coverage.json"
        pid = os.fork()
        if not pid:
            write_coverage(tests, sources, into)
            os._exit(0)
        os.waitpid(pid, 0)
        told: dict[str, Any] = json.loads(into.read_text())
    if told["failed"]:
        sys.exit(f"without any mutation these fail: {', '.join(told['failed'])}")
    for name in told["modules"]:
        if name.partition(".")[0] in sys.modules:
            continue
        with suppress(Exception):  # so that no mutant has to import what is not ours
            importlib.import_module(name)
    seconds = {test: took for test, took in told["seconds"].items() if took <= _SLOWEST_TEST}
    return Covering(seconds, told["lines"])


def mutants_of(group: str, file: Path, known: Covering) -> Iterator[Mutant]:
    tree = ast.parse(file.read_text("utf-8"))
    ends = {
        node.lineno: node.end_lineno or node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.expr | ast.stmt)
    }
    whole = known.of(file, 1, len(file.read_text().splitlines()))
    if not whole:
        whole = {test for test in known.seconds if test.startswith(TESTS[group])}
    for each in mutations(tree):
        each.apply()
        code = compile(tree, str(file.resolve()), "exec")
        each.undo()
        touching = known.of(file, each.line, ends.get(each.line, each.line))
        tests, seconds = known.chosen(whole if each.function in {DATA, AT_IMPORT} else touching)
        limit = _SHORTEST_LIMIT + 4 * seconds
        yield Mutant(file, each.name, each.line, each.function, code, tests, limit)


def tried(mutants: list[Mutant], jobs: int) -> Iterator[Ended]:
    untested = [each for each in mutants if not each.tests]
    yield from ((each, End.SURVIVED) for each in untested)
    at_import = [each for each in mutants if each.tests and each.function == AT_IMPORT]
    yield from imported(at_import, jobs)
    yield from patched(
        [each for each in mutants if each.tests and each.function != AT_IMPORT], jobs
    )


def score(ends: list[End]) -> float:
    counted = [end for end in ends if end is not End.STILLBORN]
    return 100 * counted.count(End.KILLED) / len(counted) if counted else 100.0


def told(ended: list[Ended], groups: dict[str, list[Path]]) -> bool:
    """Print a line for each file and group; return whether all that must be reached is."""
    by_file: dict[Path, list[End]] = defaultdict(list)
    for mutant, end in ended:
        by_file[mutant.file].append(end)
    enough = True
    for group, files in groups.items():
        ends = [end for file in files for end in by_file[file]]
        for file in files:
            print(f"  {file!s:<44} {_figures(by_file[file])}")
        least = LEAST.get(group, 0.0)
        enough = enough and score(ends) >= least
        print(f"{group:<46} {_figures(ends)}{f' (at least {least:.0f})' if least else ''}")
    print(f"{'in all':<46} {_figures([end for _, end in ended])}")
    return enough


def _figures(ends: list[End]) -> str:
    killed, survived = ends.count(End.KILLED), ends.count(End.SURVIVED)
    return f"{killed + survived:>5} mutants {survived:>4} survived {score(ends):>6.1f} %"


def report(ended: list[Ended], into: Path) -> None:
    survivors = [
        {"file": str(each.file), "line": each.line, "change": each.name, "tests": len(each.tests)}
        for each, end in sorted(ended, key=lambda pair: (pair[0].file, pair[0].line))
        if end is End.SURVIVED
    ]
    into.write_text(json.dumps(survivors, indent=1, ensure_ascii=False) + "\n")
    print(f"{len(survivors)} survivors are in {into}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="a part of the path, such as policy/retry.py")
    parser.add_argument("--tests", nargs="*", help="instead of all that belong to the group")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--report", type=Path, default=Path(".mutants.json"))
    given = parser.parse_args()
    began = time.monotonic()
    groups = {
        group: wanted
        for group, files in GROUPS.items()
        if (wanted := [file for file in files if given.only in str(file)])
    }
    tests = given.tests or sorted({test for group in groups for test in TESTS[group]})
    known = covering(tests, [file for files in groups.values() for file in files])
    every = [
        m for group, files in groups.items() for f in files for m in mutants_of(group, f, known)
    ]
    listed = [m for m in every if m.name in EQUIVALENT.get(str(m.file), {})]
    print(f"{len(every)} mutants, {len(listed)} of them known to change nothing", flush=True)
    ended = list(tried([each for each in every if each not in listed], given.jobs))
    enough = told(ended, groups)
    report(ended, given.report)
    print(f"in {time.monotonic() - began:.0f} s")
    sys.exit(0 if enough else 1)


if __name__ == "__main__":
    main()
