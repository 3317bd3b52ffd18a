"""Which inputs are worth keeping: those that lead somewhere no kept one does."""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.place import Check, check_of, corpus_of

_PACKAGE = "/webhook_runner/"
Step = tuple[str, int, int]
"""A file, and two of its lines of which the second was run after the first."""
_Trace = Callable[[FrameType, str, Any], Any]


def keep(target: str, found: Path) -> int:
    """Copy such inputs from ``found``, the shortest first; return how many there were."""
    check, kept = check_of(target), corpus_of(target)
    kept.mkdir(exist_ok=True)
    known: set[Step] = set()
    for file in kept.iterdir():
        known |= steps(check, file.read_bytes())
    before = len(list(kept.iterdir()))
    for file in sorted(found.iterdir(), key=lambda file: (file.stat().st_size, file.name)):
        data = file.read_bytes()
        if new := steps(check, data) - known:
            known |= new
            (kept / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)
    return len(list(kept.iterdir())) - before


def steps(check: Check, data: bytes) -> set[Step]:
    """Return which ways through the package an input takes."""
    seen: set[Step] = set()

    def traced(frame: FrameType, event: str, arg: Any) -> _Trace | None:
        file = frame.f_code.co_filename
        if _PACKAGE not in file:
            return None
        last = 0

        def step(frame: FrameType, event: str, arg: Any) -> _Trace:
            nonlocal last
            seen.add((file, last, frame.f_lineno))
            last = frame.f_lineno
            return step

        return step

    sys.settrace(traced)
    try:
        check(data)
    finally:
        sys.settrace(None)
    return seen
