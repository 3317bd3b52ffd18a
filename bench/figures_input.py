"""Figures of what must not come in or go out: bad messages, addresses, secrets, fuzz."""

import importlib.util
import json
from collections.abc import Sequence

from bench.figure import (
    ROOT,
    Figure,
    Line,
    NotMeasuredError,
    Scale,
    most,
    run_module,
    run_tests,
)

CORPUS = ("tests/contract/test_egress_corpus.py",)
API = ("tests/system/test_api_schema.py",)
VERDICTS = "tests/**/test_bad_*.py"
SECRETS = "tests/**/test_secrets*.py"


def bad_input(scale: Scale) -> list[Line]:
    """A14: one message in ten is bad."""
    if not (ROOT / "bench/bad_input.py").exists():
        raise NotMeasuredError("there is no bench/bad_input.py")
    lines = [run_tests(tests_named(VERDICTS)).line("every bad message, by each door")]
    few = ("--tasks", "3000", "--runs", "3", "--broker", "embedded")
    _, said = run_module("bench.bad_input", "--json", *(() if scale.long else few))
    for broker, found in json.loads(said.splitlines()[-1]).items():
        lines.append(most(f"{broker}: speed lost to 10 % bad", found["lost"] * 100, 5, "%", ".1f"))
    return lines


def egress(scale: Scale) -> list[Line]:
    """A17: spellings of addresses that must not be reached."""
    return [run_tests(CORPUS, times=scale.pick(1, 3)).line("spellings and tricks of the resolver")]


def canaries(scale: Scale) -> list[Line]:
    """A18: secrets that must not show anywhere."""
    return [run_tests(tests_named(SECRETS), times=scale.pick(1, 3)).line("secrets that show")]


def fuzz(scale: Scale) -> list[Line]:
    """A19: made-up input for every reader, and for every operation of the API."""
    lines = [run_tests(API).line("requests made up by the API's document")]
    if not (ROOT / "tests/fuzz").exists() or importlib.util.find_spec("atheris") is None:
        raise NotMeasuredError("atheris is not installed: `make fuzz` does it")
    seconds = scale.pick(5, 1800)
    code, said = run_module("tests.fuzz", "--seconds", str(seconds))
    (*_, told) = ["it said nothing", *said.splitlines()]
    return [*lines, Line(f"{seconds} s of fuzz for each reader", told, "all held", code == 0)]


def tests_named(pattern: str) -> Sequence[str]:
    """Return the files of the suite that have such a name."""
    return sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(pattern))


FIGURES = (
    Figure("A14", "bad messages among good ones", bad_input),
    Figure("A17", "egress", egress),
    Figure("A18", "secrets", canaries),
    Figure("A19", "fuzz", fuzz),
)
