"""A merged table becomes settings; what the tree refuses becomes findings, all at once."""

import copy
import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from webhook_runner.config.expectation import expected, options, section_of, toml_kind
from webhook_runner.config.forebear import COMMAND, QUEUE_KEYS
from webhook_runner.config.place import Finding, Path, basic_string, quoted
from webhook_runner.settings import QUEUE_NAME, QueueSettings, Settings

_LONGEST_SHOWN = 10**18
_SECRET = {("store", "url"), ("api", "tokens"), ("broker", "auth")}
_LATER = frozenset(
    {
        "schedules",
        "taskq",
        "mode",
        "scope",
        "signing_secrets",
        "follow_redirects",
        "key_limits",
        "order_on_failure",
        "rollback_on_invalid",
        "max_deliveries",
        "lease_seconds",
    }
)


def validate(table: Mapping[str, Any]) -> tuple[Settings, list[Finding]]:
    """Return the settings and what is wrong with them.

    Where something is wrong the settings hold the default in its place, so that the rules that
    look at several settings can still be asked about the rest.
    """
    findings: list[Finding] = []
    sound = copy.deepcopy(dict(table))
    while True:
        try:
            return Settings.model_validate(_frozen(sound)), findings
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False)
        fresh = {found.path: found for found in (_finding(each, table) for each in details)}
        findings += (found for found in fresh.values() if not _is_echo(found, table))
        for path in fresh:
            _without(sound, path)


def _is_echo(finding: Finding, table: Mapping[str, Any]) -> bool:
    """Tell whether queues are missing only because each was found broken before."""
    return (
        finding.path == ("queues",) and bool(table["queues"]) and isinstance(table["queues"], dict)
    )


def _frozen(value: Any) -> Any:  # noqa: ANN401 - TOML holds anything
    if isinstance(value, dict):
        return {key: _frozen(inner) for key, inner in value.items()}
    return tuple(_frozen(inner) for inner in value) if isinstance(value, list | tuple) else value


def _without(table: dict[str, Any], path: Path) -> None:
    *outer, key = path
    for name in outer:
        if name not in table:  # gone already, with all that was wrong within
            return
        table = table[name]
    table.pop(key, None)


def _finding(error: ErrorDetails, table: Mapping[str, Any]) -> Finding:
    path = _path(error, table)
    value = _at(table, path)
    if error["type"] == "extra_forbidden" and path[-1] == error["loc"][-1]:
        return Finding(path, _unknown(path, value))
    if error["loc"][-1] == "[key]" or path == ("queues",):
        return Finding(path, _queue_problem(path, value))
    if error["type"] == "value_error":
        return Finding(path, f"{_shown(path, value)}: {error['msg'].removeprefix('Value error, ')}")
    return Finding(path, f"{_shown(path, value)}: write {_right(path, value)}")


def _path(error: ErrorDetails, table: Mapping[str, Any]) -> Path:
    """Keep of pydantic's location what is a key of the file: no items, no names of types."""
    path: list[str] = []
    inner: Any = table
    for name in error["loc"]:
        if not isinstance(inner, Mapping) or name not in inner:
            break
        path.append(str(name))
        inner = inner[name]
    return tuple(path)


def _at(table: Any, path: Path) -> Any:  # noqa: ANN401 - TOML holds anything
    for name in path:
        table = table[name]
    return table


def _queue_problem(path: Path, value: object) -> str:
    if path == ("queues",) and not isinstance(value, Mapping):
        return f"{toml_kind(value)}: write tables such as [queues.default]"
    if path == ("queues",):
        return "no queue is left; add a table such as [queues.default]"
    return (
        "no queue name: 1 to 100 letters, digits, dots, dashes and underscores, the first no dot"
        f" ({QUEUE_NAME})"
    )


def _unknown(path: Path, value: object) -> str:
    table, key = path[:-1], path[-1]
    if key in _LATER:
        return "not available in this version; remove it"
    if not table and _is_old_section(value):
        return (
            f"a queue's table is written [queues.{quoted(key)}]; `{COMMAND} FILE` prints"
            " a whole file of taskqueue anew"
        )
    return "unknown key" + _suggestion(table, key)


def _is_old_section(value: object) -> bool:
    return isinstance(value, Mapping) and bool(value) and set(value) <= set(QUEUE_KEYS)


def _suggestion(table: Path, key: str) -> str:
    section = section_of(table)
    own = list(section.model_fields) if section else []
    if close := difflib.get_close_matches(key.lower(), own, n=1):
        return f"; did you mean {close[0]}?"
    if home := next(_homes(key), ""):
        return f"; it belongs {home}"
    return f"; known here: {', '.join(own)}" if len(own) < 10 else ""  # noqa: PLR2004 - one line


def _homes(key: str) -> Iterator[str]:
    for section in ("broker", "store", "api", "egress", "performance", "log"):
        model = section_of((section,))
        if model and key in model.model_fields:
            yield f"in [{section}]"
    if key in QueueSettings.model_fields:
        yield "in a queue's table, such as [queues.default]"
    if key in Settings.model_fields:
        yield "at the top of the file, before the first [table]"


def _shown(path: Path, value: object) -> str:
    secret = path[0] == "server" or path in _SECRET or "headers" in path
    if secret or isinstance(value, Mapping | list | tuple):
        return toml_kind(value)
    if isinstance(value, str):
        return basic_string(value) if len(value) <= 80 else "a long string"  # noqa: PLR2004
    if isinstance(value, int) and abs(value) > _LONGEST_SHOWN:
        return "a huge number"
    return repr(value) if isinstance(value, float) else json.dumps(value, default=str)


def _right(path: Path, value: object) -> str:
    words = options(path)
    if words and isinstance(value, str):
        close = difflib.get_close_matches(value.lower(), words, n=1)
        return expected(path) + (f" (did you mean {basic_string(close[0])}?)" if close else "")
    if len(path) > 3 and path[2] == "headers":  # noqa: PLR2004 - below queues, a name, headers
        return 'a string, {file = "/path"} or {env = "NAME"}'
    return expected(path)
