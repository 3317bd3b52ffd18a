"""Every small wrong change that could be made to a source: one node of its tree at a time.

Prose is left alone: no test shall pin how a complaint is worded.
"""

import ast
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
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
DATA = "<module>"
AT_IMPORT = ""


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change. ``function``: the outermost one around it, or one of these.

    ``DATA``: a table of the module that its functions read; ``AT_IMPORT``: what a class is made
    of, a default, anything else that has done its work when the module is imported.
    """

    name: str
    line: int
    function: str
    seat: Any
    index: int | str
    original: ast.AST
    changed: ast.AST

    def apply(self) -> None:
        self._seat(self.changed)

    def undo(self) -> None:
        self._seat(self.original)

    def _seat(self, node: ast.AST) -> None:
        if isinstance(self.seat, list):
            self.seat[int(self.index)] = node
        else:
            setattr(self.seat, str(self.index), node)


def mutations(tree: ast.Module) -> list[Mutation]:
    """Return all changes of ``tree``; each is made to it, and taken back."""
    found: list[Mutation] = []
    times: Counter[str] = Counter()
    for mutation in _everywhere(tree):
        times[mutation.name] += 1
        count = times[mutation.name]
        name = f"{mutation.name} #{count}" if count > 1 else mutation.name
        found.append(replace(mutation, name=name))
    return found


def _everywhere(tree: ast.Module) -> Iterator[Mutation]:
    known = {name for statement in tree.body for name in _needed_at_once(statement)}
    for child in _children(tree):
        node = child.node
        if isinstance(node, ast.Import | ast.ImportFrom):
            continue
        targets = tuple(_names(*node.targets)) if isinstance(node, ast.Assign) else ()
        is_data = targets and not known & set(targets)
        yield from _of(child, targets, DATA if is_data else AT_IMPORT)


def _needed_at_once(node: ast.AST) -> Iterator[str]:
    """Yield the names that are read when a class or a function is made."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield from _names(node.args, *node.decorator_list)
    elif isinstance(node, ast.ClassDef):
        yield from _names(*node.decorator_list)
        for each in node.body:
            is_function = isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from _needed_at_once(each) if is_function else _names(each)
    elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript):
        yield from _names(node)  # an alias of a type


def _names(*nodes: ast.AST) -> Iterator[str]:
    for node in nodes:
        yield from (each.id for each in ast.walk(node) if isinstance(each, ast.Name))


@dataclass(frozen=True, slots=True)
class _Child:
    """A node, and where it sits: in which list or node, at which place or in which field."""

    node: ast.AST
    field: str
    seat: Any
    index: int | str


def _of(child: _Child, place: tuple[str, ...], function: str) -> Iterator[Mutation]:
    node = child.node
    for changed in _variants(node, child.field):
        name = f"{'.'.join(place)}: {_said(node)} -> {_said(changed)}"
        line = getattr(node, "lineno", 0)
        yield Mutation(name, line, function, child.seat, child.index, node, changed)
    if isinstance(node, ast.JoinedStr):
        return
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        place = (*place, node.name)
    for inner in _children(node):
        within = function
        if inner.field == "body" and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            within = function if function not in {DATA, AT_IMPORT} else ".".join(place)
        yield from _of(inner, place, within)


def _children(node: ast.AST) -> Iterator[_Child]:
    for field, value in ast.iter_fields(node):
        if field in _UNTOUCHED or value is None:
            continue
        if field == "annotation":
            yield from _called(value)
        elif isinstance(value, ast.AST):
            yield _Child(value, field, node, field)
        elif isinstance(value, list):
            yield from (
                _Child(each, field, value, index)
                for index, each in enumerate(value)
                if isinstance(each, ast.AST) and not _is_docstring(each)
            )


def _called(annotation: ast.AST) -> Iterator[_Child]:
    """Types change nothing; but what is called there, as the bounds of a field, does."""
    for each in ast.walk(annotation):
        if isinstance(each, ast.Call):
            yield from _children(each)


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
    says_no = node.value is None or ast.unparse(node.value) in {"None", "False", "''"}
    if not says_no:
        yield _with(node, value=ast.Constant(None))


def _said_or_done(node: ast.Expr) -> Iterator[ast.AST]:
    if isinstance(node.value, ast.Call | ast.Await):
        yield ast.Pass()


def _table(node: ast.Set | ast.Tuple | ast.List) -> Iterator[ast.AST]:
    """Leave out each row: of constants, or of rows of them."""
    parts = node.elts
    if len(parts) > 1 and all(isinstance(part, ast.Constant | ast.Tuple) for part in parts):
        for index in range(len(parts)):
            yield _with(node, elts=_without(parts, index), told=f"without {_said(parts[index])}")


def _mapping(node: ast.Dict) -> Iterator[ast.AST]:
    for index in range(len(node.keys) if len(node.keys) > 1 else 0):
        keys, values = _without(node.keys, index), _without(node.values, index)
        yield _with(node, keys=keys, values=values, told=f"without {_said(node.values[index])}")


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
        yield value + b"X"
    elif isinstance(value, str) and value and " " not in value:
        yield value + "X"


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
    text = " ".join(getattr(node, "told", ast.unparse(node)).split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
