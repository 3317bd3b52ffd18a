"""Every small wrong change that could be made to a source: one node of its tree at a time.

Prose is left alone: no test shall pin how a complaint is worded.
"""

import ast
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_NEGATED = frozenset({"test", "guard", "ifs"})
_UNTOUCHED = frozenset({"decorator_list", "returns", "cause", "bases", "type_params"})
_SHOWN = 70


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change. ``function``: the outermost one around it, "" when it acts at import."""

    name: str
    line: int
    function: str
    apply: Callable[[], None]


def mutations(tree: ast.Module) -> list[Mutation]:
    """Return all changes of ``tree``, in the same order every time; each one changes the tree."""
    found: list[Mutation] = []
    times: Counter[str] = Counter()
    for mutation in _inside(tree, (), ""):
        times[mutation.name] += 1
        count = times[mutation.name]
        name = f"{mutation.name} #{count}" if count > 1 else mutation.name
        found.append(Mutation(name, mutation.line, mutation.function, mutation.apply))
    return found


def _inside(node: ast.AST, place: tuple[str, ...], function: str) -> Iterator[Mutation]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        place = (*place, node.name)
    for field, seat, index, child in _children(node):
        within = function
        if field == "body" and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            within = function or ".".join(place)
        for changed in _variants(child, field):
            apply = _replacing(node, field, seat, index, changed)
            name = f"{'.'.join(place)}: {_said(child)} -> {_said(changed)}"
            yield Mutation(name, getattr(child, "lineno", 0), within, apply)
        if not isinstance(child, ast.JoinedStr):
            yield from _inside(child, place, within)


def _children(node: ast.AST) -> Iterator[tuple[str, list[ast.AST] | None, int, ast.AST]]:
    """Yield what stands in a node: in which field, in which list if it is one, and where there."""
    for field, value in ast.iter_fields(node):
        if field in _UNTOUCHED:
            continue
        if field == "annotation":
            # Types change nothing; but what is called there, as the bounds of a field, does.
            calls = [each for each in ast.walk(value) if isinstance(each, ast.Call)]
            for call in calls:
                yield from _children(call)
            continue
        seat = value if isinstance(value, list) else None
        for index, child in enumerate([value] if seat is None else seat):
            if isinstance(child, ast.AST) and not _is_docstring(child):
                yield field, seat, index, child


def _replacing(
    node: ast.AST, field: str, seat: list[ast.AST] | None, index: int, changed: ast.AST
) -> Callable[[], None]:
    def apply() -> None:
        if seat is None:
            setattr(node, field, changed)
        else:
            seat[index] = changed

    return apply


def _variants(node: ast.AST, field: str) -> Iterator[ast.AST]:
    for changed in (*_changed(node), *_negated(node, field)):
        yield ast.fix_missing_locations(ast.copy_location(changed, node))


def _negated(node: ast.AST, field: str) -> Iterator[ast.AST]:
    told_apart = isinstance(node, ast.Compare | ast.UnaryOp)
    if field in _NEGATED and isinstance(node, ast.expr) and not told_apart:
        yield ast.UnaryOp(ast.Not(), node)


def _changed(node: ast.AST) -> Iterator[ast.AST]:
    change = _CHANGES.get(type(node))
    return iter(()) if change is None else change(node)


def _compared(node: ast.Compare) -> Iterator[ast.AST]:
    for index, op in enumerate(node.ops):
        for other in _COMPARISONS[type(op)]:
            yield _with(node, ops=[*node.ops[:index], other(), *node.ops[index + 1 :]])


def _joined(node: ast.BoolOp) -> Iterator[ast.AST]:
    yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())


def _signed(node: ast.UnaryOp) -> Iterator[ast.AST]:
    if isinstance(node.op, ast.Not | ast.USub):
        yield node.operand


def _computed(node: ast.BinOp | ast.AugAssign) -> Iterator[ast.AST]:
    if type(node.op) in _ARITHMETIC:
        yield _with(node, op=_ARITHMETIC[type(node.op)]())


def _constant(node: ast.Constant) -> Iterator[ast.AST]:
    yield from map(ast.Constant, _values(node.value))


def _returned(node: ast.Return) -> Iterator[ast.AST]:
    if node.value is not None and ast.unparse(node.value) != "None":
        yield _with(node, value=ast.Constant(None))


def _said_or_done(node: ast.Expr) -> Iterator[ast.AST]:
    if isinstance(node.value, ast.Call | ast.Await):
        yield ast.Pass()


def _table(node: ast.Set | ast.Tuple | ast.List) -> Iterator[ast.AST]:
    """Leave out each row: of constants, or of rows of them."""
    parts = node.elts
    if len(parts) > 1 and all(isinstance(part, ast.Constant | ast.Tuple) for part in parts):
        for index in range(len(parts)):
            yield _with(node, elts=_without(parts, index))


def _mapping(node: ast.Dict) -> Iterator[ast.AST]:
    for index in range(len(node.keys) if len(node.keys) > 1 else 0):
        yield _with(node, keys=_without(node.keys, index), values=_without(node.values, index))


_CHANGES: dict[type[ast.AST], Callable[[Any], Iterator[ast.AST]]] = {
    ast.Compare: _compared,
    ast.BoolOp: _joined,
    ast.UnaryOp: _signed,
    ast.BinOp: _computed,
    ast.AugAssign: _computed,
    ast.Constant: _constant,
    ast.Return: _returned,
    ast.Expr: _said_or_done,
    ast.Raise: lambda _: iter([ast.Pass()]),
    ast.Break: lambda _: iter([ast.Continue()]),
    ast.Continue: lambda _: iter([ast.Break()]),
    ast.Set: _table,
    ast.Tuple: _table,
    ast.List: _table,
    ast.Dict: _mapping,
}


def _values(value: object) -> Iterator[str | bytes | float | bool]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield value + 1
    elif isinstance(value, bytes):
        yield value + b"~"
    elif isinstance(value, str) and value and " " not in value:
        yield value + "~"


def _without(parts: Sequence[object], index: int) -> list[object]:
    return [*parts[:index], *parts[index + 1 :]]


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _said(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
