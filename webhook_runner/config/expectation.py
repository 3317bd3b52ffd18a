"""What each setting may be, in words: read off the tree of settings, never written twice."""

from collections.abc import Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from webhook_runner.config.place import Path, basic_string
from webhook_runner.settings import QueueSettings, Section, Settings

_KINDS: Mapping[object, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a string",
}
_SHAPES = {
    "rate": '"unlimited" or a rate such as "5/s", "21.5/m", "3/h", "1/d"',
    "success_codes": '200, "200-299" or "200,202,204"',
    "schedule": "a list of seconds such as [5, 300, 1800]",
    "server": 'a string such as "amqp://user:password@host:5672/", or a list of them,'
    ' or "embedded:/var/lib/webhook-runner/queue.db"',
    "headers": 'a table such as {X-Team = "billing", Authorization = {file = "/path"}}',
    "listen": 'an address such as "127.0.0.1:7676", or "" to switch it off',
    "tokens": 'a list of tables such as {name = "ops", role = "full", hash = "sha256:..."}, of'
    " which `webhook-runner token` prints one",
    "url": 'a string such as "sqlite:/path/state.db", "postgresql://user@host/database", "none"',
    "prefix": "1 to 50 letters, digits, dots, dashes or underscores, the first no dot",
    "default_queue": "a queue name: letters, digits, dots, dashes, underscores",
    "success_json": 'a pair such as "status=success", or ""',
    "extensions": 'a list such as ["package.module:callable"]',
    "queues": "tables such as [queues.default]",
}


def section_of(path: Path) -> type[Section] | None:
    """Return the table at a path of the tree, or None where there is no table."""
    if len(path) == 2 and path[0] == "queues":  # noqa: PLR2004 - queues and a name
        return QueueSettings
    model: type[Section] = Settings
    for name in path:
        info = model.model_fields.get(name)
        kind = info.annotation if info else None
        if not (isinstance(kind, type) and issubclass(kind, Section)):
            return None
        model = kind
    return model


def field_of(path: Path) -> FieldInfo | None:
    """Return the setting at a path of the tree, or None where there is none."""
    section = section_of(path[:-1])
    return section.model_fields.get(path[-1]) if section and path else None


def takes_only_strings(path: Path) -> bool:
    info = field_of(path)
    return info is not None and _only_strings(info.annotation)


def options(path: Path) -> tuple[str, ...]:
    """Return the words a setting may be, where it is a choice or a list of choices."""
    info = field_of(path)
    return _words(info.annotation) if info else ()


def expected(path: Path) -> str:
    """Return what a setting may be, as the object of "write"."""
    info = field_of(path)
    if section_of(path) or info is None:
        return "a table"
    if path[-1] in _SHAPES:
        return _SHAPES[path[-1]]
    words = _words(info.annotation)
    several = get_origin(info.annotation) is tuple
    if words:
        choice = ", ".join(basic_string(word) for word in words[:-1])
        choice = f"{choice} or {basic_string(words[-1])}"
        return f"a list of {choice}" if several else choice
    if several:
        return 'a list of strings such as ["..."]'
    return _KINDS.get(info.annotation, "a value") + _range(info)


def _range(info: FieldInfo) -> str:
    bounds: dict[str, Any] = {}
    for rule in info.metadata:
        bounds |= {name: getattr(rule, name) for name in ("ge", "gt", "le") if hasattr(rule, name)}
    low = bounds.get("ge")
    parts = [
        f"from {low}" if low is not None and "le" in bounds else "",
        f"not below {low}" if low is not None and "le" not in bounds else "",
        f"above {bounds['gt']}" if "gt" in bounds else "",
        f"to {bounds['le']}" if "le" in bounds and low is not None else "",
        f"and at most {bounds['le']}" if "le" in bounds and low is None else "",
    ]
    said = " ".join(part for part in parts if part)
    return f" {said}" if said else ""


def _words(kind: object) -> tuple[str, ...]:
    if get_origin(kind) is Literal:
        return tuple(str(word) for word in get_args(kind))
    return tuple(word for part in get_args(kind) for word in _words(part))


def _only_strings(kind: object) -> bool:
    if get_origin(kind) in {Union, UnionType}:
        return False
    return kind is str or get_origin(kind) is Literal


def toml_kind(value: object) -> str:
    """Return what a value of a TOML file is called."""
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    return names.get(type(value), "a date or time")
