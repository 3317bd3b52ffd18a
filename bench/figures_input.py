"""Figures of what must not come in or go out: bad messages, addresses, secrets, fuzz."""

import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bench.figure import (
    ROOT,
    Figure,
    Line,
    NotMeasuredError,
    Scale,
    least,
    most,
    run_module,
    run_tests,
)

CORPUS = ("tests/contract/test_egress_corpus.py",)
API = ("tests/system/test_api_schema.py",)


def bad_input(scale: Scale) -> list[Line]:
    """A14: one message in ten is bad."""
    if not (ROOT / "bench/bad_input.py").exists():
        raise NotMeasuredError("there is no bench/bad_input.py")
    with tempfile.TemporaryDirectory(prefix="wr-figures-") as name:
        told = Path(name) / "found.json"
        run_module("bench.bad_input", "--tasks", str(scale.pick(2000, 50_000)), "--json", str(told))
        if not told.exists():
            raise NotMeasuredError("bench.bad_input ended without findings")
        found: Mapping[str, float] = json.loads(told.read_text())
    return [
        most("wrong verdicts", found["wrong"], 0),
        least("good tasks beside 10 % bad ones", found["speed"] * 100, 95, "%", ".0f"),
    ]


def egress(scale: Scale) -> list[Line]:
    """A17: spellings of addresses that must not be reached."""
    return [run_tests(CORPUS, times=scale.pick(1, 3)).line("spellings and tricks of the resolver")]


def canaries(scale: Scale) -> list[Line]:
    """A18: secrets that must not show anywhere."""
    found = sorted(path.relative_to(ROOT) for path in ROOT.glob("tests/**/test_*canar*.py"))
    tests = run_tests([str(path) for path in found], times=scale.pick(1, 3))
    return [tests.line("secrets that show")]


def fuzz(scale: Scale) -> list[Line]:
    """A19: made-up input for every reader, and for every operation of the API."""
    lines = [run_tests(API).line("requests made up by the API's document")]
    makefile = (ROOT / "Makefile").read_text()
    if "\nfuzz:" not in makefile:
        raise NotMeasuredError("there is no `make fuzz`")
    seconds = scale.pick(5, 1800)
    done = subprocess.run(
        ["make", "fuzz", f"SECONDS={seconds}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout[-20_000:], done.stderr[-20_000:])
    what = f"{seconds} s of fuzz for each reader"
    told = "no crash" if done.returncode == 0 else f"exit code {done.returncode}"
    return [*lines, Line(what, told, "no crash", done.returncode == 0)]


FIGURES = (
    Figure("A14", "bad messages among good ones", bad_input),
    Figure("A17", "egress", egress),
    Figure("A18", "secrets", canaries),
    Figure("A19", "fuzz", fuzz),
)
