"""Imports that do without what another package would bring along."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hidden(package: str) -> Iterator[None]:
    """Let nobody import a package meanwhile, unless somebody has."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # as the import system wants it
    try:
        yield
    finally:
        del sys.modules[package]
