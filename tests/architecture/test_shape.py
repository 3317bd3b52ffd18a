"""The shape of the code: sizes, rooms, and who alone may settle a delivery."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "webhook_runner"
MODULES = sorted(PACKAGE.rglob("*.py"))
WRITTEN = [path for path in MODULES if path.name != "__init__.py"]
MOST_LINES_OF_A_FILE = 300
MOST_LINES_OF_A_FUNCTION = 40
MOST_LINES_FOR_ONE_MESSAGE = 25
SETTLING = {"ack", "bury", "release", "quarantine"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


each_module = pytest.mark.parametrize("path", WRITTEN, ids=name_of)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def functions_of(path: Path) -> Iterator[Function]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, Function):
            yield node


def lines_of(function: Function) -> int:
    """Lines from def to end without the docstring: what is well told is not longer for it."""
    first = function.body[0]
    said = ast.get_docstring(function) is not None
    told = (first.end_lineno or first.lineno) - first.lineno + 1 if said else 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - told


@each_module
def test_no_file_is_too_long(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= MOST_LINES_OF_A_FILE


@each_module
def test_no_function_is_too_long(path: Path) -> None:
    long = {f.name: lines_of(f) for f in functions_of(path)}

    assert not {name: n for name, n in long.items() if n > MOST_LINES_OF_A_FUNCTION}


@each_module
def test_every_module_says_what_it_is_in_one_to_three_lines(path: Path) -> None:
    said = ast.get_docstring(tree_of(path)) or ""

    assert 1 <= len(said.splitlines()) <= 3


def test_packages_are_empty_but_for_the_version_and_the_public_names() -> None:
    written = {
        name_of(path)
        for path in MODULES
        if path.name == "__init__.py" and path.read_text("utf-8").strip()
    }
    assert written == {"__init__.py", "client/__init__.py"}

    *_, last = tree_of(PACKAGE / "__init__.py").body
    assert isinstance(last, ast.Assign)
    assert ast.unparse(last.targets[0]) == "__version__"


def test_the_face_of_the_client_only_names_what_is_public() -> None:
    said, *imports, listed = tree_of(PACKAGE / "client/__init__.py").body
    assert isinstance(said, ast.Expr)
    froms = [each for each in imports if isinstance(each, ast.ImportFrom)]
    names = sorted(alias.name for each in froms for alias in each.names)
    assert len(froms) == len(imports)
    assert ast.unparse(listed) == f"__all__ = {names}"


@each_module
def test_imports_stand_at_the_top_are_absolute_and_real(path: Path) -> None:
    imports = [n for n in ast.walk(tree_of(path)) if isinstance(n, ast.Import | ast.ImportFrom)]
    nested = {node for function in functions_of(path) for node in ast.walk(function)}
    assert not [ast.unparse(node) for node in imports if node in nested]
    assert not [n.module for n in imports if isinstance(n, ast.ImportFrom) and n.level]
    assert "TYPE_CHECKING" not in path.read_text("utf-8")


@pytest.mark.parametrize("name", ["execute", "_carry"])
def test_what_handles_one_message_fits_on_half_a_page(name: str) -> None:
    [function] = [f for f in functions_of(PACKAGE / "engine/executor.py") if f.name == name]

    assert lines_of(function) < MOST_LINES_FOR_ONE_MESSAGE


def test_only_settlement_settles_deliveries() -> None:
    callers = {
        path.name
        for path in (PACKAGE / "engine").glob("*.py")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in SETTLING
        and "broker" in ast.unparse(node.func.value).lower()
    }

    assert callers == {"settlement.py"}


def test_decisions_read_no_clock_and_wait_for_nothing() -> None:
    waiting = [
        f"{path.name}: {node.name}"
        for path in (PACKAGE / "policy").glob("*.py")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.AsyncFunctionDef)
    ]

    assert waiting == []


def test_no_room_is_named_after_nothing() -> None:
    attic = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager", "types"}

    assert not [name_of(path) for path in MODULES if attic & {*path.parts, path.stem}]


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()
