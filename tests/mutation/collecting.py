"""Tests collected as ever by pytest, and then not simply run; which of them touch which lines."""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import coverage
import pytest
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, Phase, settings

_OPTIONS = (
    *("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts="),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # hypothesis is imported already
)
_OURS = frozenset({"webhook_runner", "tests", "__main__"})
_PROFILE = "mutants"
# The same examples every time; the first one that fails is enough.
settings.register_profile(
    _PROFILE,
    derandomize=True,
    deadline=None,
    max_examples=40,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


class _Collector:
    """A plugin of pytest."""

    def __init__(self, instead: Callable[[pytest.Session], None]) -> None:
        self._instead = instead

    def pytest_configure(self) -> None:
        settings.load_profile(_PROFILE)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._instead(session)
        return True


def collected(files: Sequence[str], instead: Callable[[pytest.Session], None]) -> None:
    """Have pytest collect ``files``, and do something with them instead of running them."""
    pytest.main([*_OPTIONS, *files], plugins=[_Collector(instead)])


def write_coverage(tests: Sequence[str], sources: Sequence[Path], into: Path) -> None:
    """Run ``tests``; write how long each took, which failed, and which lines each touched."""
    tracer = coverage.Coverage(
        data_file=None, config_file=False, include=[str(path.resolve()) for path in sources]
    )
    seconds: dict[str, float] = {}
    failed: list[str] = []

    def instead(session: pytest.Session) -> None:
        for item, following in pairwise([*session.items, None]):
            assert item is not None
            tracer.switch_context(item.nodeid)
            began = time.monotonic()
            reports = runtestprotocol(item, log=False, nextitem=following)
            seconds[item.nodeid] = time.monotonic() - began
            if any(report.failed for report in reports):
                failed.append(item.nodeid)

    tracer.start()
    collected(tests, instead)
    tracer.stop()
    told = {
        "seconds": seconds,
        "failed": failed,
        "lines": _lines(tracer, sources),
        "modules": [name for name in sys.modules if name.partition(".")[0] not in _OURS],
    }
    into.write_text(json.dumps(told))


def _lines(tracer: coverage.Coverage, sources: Sequence[Path]) -> dict[str, Any]:
    data = tracer.get_data()
    lines: dict[str, dict[int, list[str]]] = defaultdict(dict)
    for path in sources:
        for line, contexts in data.contexts_by_lineno(str(path.resolve())).items():
            lines[str(path)][line] = [context for context in contexts if context]
    return lines
