"""Each mutant in a process of its own, forked where most of the work is done already."""

import ast
import gc
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import _lru_cache_wrapper
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from itertools import pairwise
from pathlib import Path
from types import CodeType, FunctionType

import pytest
from _pytest.runner import runtestprotocol

from tests.mutation.collecting import collected
from tests.mutation.mutations import mutations

_LOOK_AGAIN_SECONDS = 0.005


class End(IntEnum):
    """What came of a mutant; one that is stillborn cannot be imported, and does not count."""

    SURVIVED = 0
    KILLED = 1
    STILLBORN = 2


@dataclass(frozen=True, slots=True)
class Mutant:
    """The change number ``index`` of a file; the tests that could notice; seconds they may take."""

    file: Path
    index: int
    name: str
    line: int
    function: str
    tests: tuple[str, ...]
    limit: float

    @property
    def module(self) -> str:
        return ".".join(self.file.with_suffix("").parts)

    def code(self) -> CodeType:
        tree = ast.parse(self.file.read_text("utf-8"))
        mutations(tree)[self.index].apply()
        return compile(tree, str(self.file.resolve()), "exec")


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
    """Try changes inside functions, which get their new code where all is imported already."""
    ended: list[Ended] = []

    def instead(session: pytest.Session) -> None:
        def trial(mutant: Mutant) -> End:
            _patch(mutant)
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


def _patch(mutant: Mutant) -> None:
    changed = {_place(code): code for code in _codes(mutant.code())}
    functions = [
        each
        for each in gc.get_objects()
        if isinstance(each, FunctionType)
        and each.__module__ == mutant.module
        and each.__code__.co_qualname == mutant.function
    ]
    if not functions:
        raise LookupError(f"{mutant.function} of {mutant.module} is nowhere")
    for function in functions:
        function.__code__ = changed[_place(function.__code__)]
    for each in gc.get_objects():
        if isinstance(each, _lru_cache_wrapper):
            each.cache_clear()


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
        return self._mutant.code()


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
