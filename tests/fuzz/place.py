"""The targets by their names, what each was fed before, and what finds out whether it holds."""

import importlib
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
TARGETS = sorted(path.stem for path in (HERE / "targets").glob("[a-z]*.py"))

Check = Callable[[bytes], None]


def check_of(target: str) -> Check:
    """Return what raises anything at all when the product gets ``target`` wrong for some bytes."""
    check: Check = importlib.import_module(f"tests.fuzz.targets.{target}").check
    return check


def corpus_of(target: str) -> Path:
    return HERE / "corpus" / target
