"""Each mutant in a process of its own, forked where most of the work is done already."""

import gc
import os
import re
import signal
import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import _lru_cache_wrapper
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from itertools import pairwise
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from tests.mutation.collecting import collected
from tests.mutation.mutations import DATA

_LOOK_AGAIN_SECONDS = 0.005
_TABLES = (int, float, str, bytes, tuple, list, dict, set, frozenset, re.Pattern)


class End(IntEnum):
    """What came of a mutant; one that is stillborn cannot be imported, and does not count."""

    SURVIVED = 0
    KILLED = 1
    STILLBORN = 2


@dataclass(frozen=True, slots=True)
class Mutant:
    """A file with one change; the tests that could notice it, and the seconds they may take."""

    file: Path
    name: str
    line: int
    function: str
    code: CodeType
    tests: tuple[str, ...]
    limit: float

    @property
    def module(self) -> str:
        return ".".join(self.file.with_suffix("").parts)


Ended = tuple[Mutant, End]


def imported(mutants: Sequence[Mutant], jobs: int) -> Iterator[Ended]:
    """Try changes that act at import. Call it before anything of the package is imported."""

    def trial(mutant: Mutant) -> End:
        end = End.STILLBORN

        def instead(session: pytest.Session) -> None:
            nonlocal end
            end = End.STILLBORN if session.testsfailed else _tried(session, mutant)

        sys.meta_path.insert(0, _Finder(mutant))
        collected(_files_of([mutant]), instead)
        return end

    return _in_parallel(mutants, trial, jobs)


def patched(mutants: Sequence[Mutant], jobs: int) -> list[Ended]:
    """Try changes inside functions and of tables, put in place where all is imported already."""
    ended: list[Ended] = []

    def instead(session: pytest.Session) -> None:
        functions, caches = _functions(), _caches()

        def trial(mutant: Mutant) -> End:
            if mutant.function == DATA:
                _patch_data(mutant)
            else:
                _patch(functions[mutant.module, mutant.function], mutant)
            for cache in caches:
                cache.cache_clear()
            return _tried(session, mutant)

        ended.extend(_in_parallel(mutants, trial, jobs))

    if mutants:
        collected(_files_of(mutants), instead)
    return ended


def _files_of(mutants: Sequence[Mutant]) -> list[str]:
    return sorted({test.partition("::")[0] for mutant in mutants for test in mutant.tests})


def _tried(session: pytest.Session, mutant: Mutant) -> End:
    items = {item.nodeid: item for item in session.items}
    chosen = [items[test] for test in mutant.tests]
    for item, following in pairwise([*chosen, None]):
        assert item is not None
        if any(r.failed for r in runtestprotocol(item, log=False, nextitem=following)):
            return End.KILLED
    return End.SURVIVED


def _functions() -> dict[tuple[str, str], list[FunctionType]]:
    found = defaultdict(list)
    for each in gc.get_objects():
        if isinstance(each, FunctionType):
            found[each.__module__, each.__code__.co_qualname].append(each)
    return found


def _caches() -> "list[_lru_cache_wrapper[Any]]":
    return [each for each in gc.get_objects() if isinstance(each, _lru_cache_wrapper)]


def _patch(functions: list[FunctionType], mutant: Mutant) -> None:
    changed = {_place(code): code for code in _codes(mutant.code)}
    for function in functions:
        function.__code__ = changed[_place(function.__code__)]


def _patch_data(mutant: Mutant) -> None:
    """Give the new tables to all who imported the old ones by their names."""
    fresh: dict[str, object] = {"__name__": mutant.module}
    try:
        exec(mutant.code, fresh)
    except Exception:  # noqa: BLE001 - whatever a change may lead to
        os._exit(End.STILLBORN)
    old = dict(vars(sys.modules[mutant.module]))
    for name, value in fresh.items():
        if isinstance(value, _TABLES) and value != old[name]:
            for module in list(sys.modules.values()):
                if vars(module).get(name) is old[name]:
                    setattr(module, name, value)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _place(code: CodeType) -> tuple[str, int]:
    return code.co_qualname, code.co_firstlineno


class _Finder(SourceFileLoader):
    """Stands before all finders of modules, for one module."""

    def __init__(self, mutant: Mutant) -> None:
        super().__init__(mutant.module, str(mutant.file.resolve()))
        self._mutant = mutant

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        wanted = name == self._mutant.module
        return spec_from_file_location(name, self.path, loader=self) if wanted else None

    def get_code(self, fullname: str) -> CodeType:
        return self._mutant.code


def _in_parallel(
    mutants: Sequence[Mutant], trial: Callable[[Mutant], End], jobs: int
) -> Iterator[Ended]:
    waiting, running = deque(mutants), dict[int, tuple[Mutant, float]]()
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.popleft()
            running[_forked(mutant, trial)] = (mutant, time.monotonic() + mutant.limit)
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid in running:
            ended = os.waitstatus_to_exitcode(status)
            # Killed for taking too long, or by itself: that is noticed too.
            yield running.pop(pid)[0], End(ended) if ended in set(End) else End.KILLED
            continue
        for late, (_, until) in running.items():
            if time.monotonic() > until:
                os.kill(late, signal.SIGKILL)
        time.sleep(_LOOK_AGAIN_SECONDS)


def _forked(mutant: Mutant, trial: Callable[[Mutant], End]) -> int:
    pid = os.fork()
    if pid:
        return pid
    quiet = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(quiet, stream)
    end = End.KILLED
    try:
        end = trial(mutant)
    finally:
        os._exit(end)
