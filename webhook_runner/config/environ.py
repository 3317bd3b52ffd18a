"""Environment variables WEBHOOK_RUNNER_SECTION__KEY become settings that override the file."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import tomli

from webhook_runner.config.expectation import field_of, section_of, takes_only_strings
from webhook_runner.config.place import Path
from webhook_runner.settings import QueueSettings, Section, Settings

PREFIX = "WEBHOOK_RUNNER_"
_NOT_SETTINGS = re.compile(r"^WEBHOOK_RUNNER_(TEST_.*|FAILPOINTS|TOKEN)$")


@dataclass(frozen=True, slots=True)
class Override:
    """One setting from outside the file, and the name of the variable or flag it came by."""

    path: Path
    value: object
    name: str


def from_environment(
    environ: Mapping[str, str], queues: Iterable[str]
) -> tuple[list[Override], list[str]]:
    """Return the overrides among ``environ`` and a line for every name that is none.

    ``queues`` are the names in the file: a variable can only spell them in capitals.
    """
    known = tuple(queues)
    overrides: list[Override] = []
    problems: list[str] = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or _NOT_SETTINGS.match(name):
            continue
        path = _path(name, known)
        if path is None:
            problems.append(_unknown(name, known))
        else:
            overrides.append(Override(path, _value(path, environ[name]), name))
    return overrides, problems


def _path(name: str, queues: tuple[str, ...]) -> Path | None:
    words = name.removeprefix(PREFIX).split("__")
    path = tuple(word.lower() for word in words)
    if path[0] == "queues" and len(words) > 1:
        path = ("queues", _queue(words[1], queues), *path[2:])
    exists = all(path) and (field_of(path) is not None or section_of(path) is not None)
    return path if exists else None


def _queue(word: str, queues: tuple[str, ...]) -> str:
    same = [name for name in queues if _spelled(name) == word.upper()]
    return same[0] if len(same) == 1 else word.lower()


def _spelled(queue: str) -> str:
    return re.sub(r"[.-]", "_", queue).upper()


def _value(path: Path, text: str) -> object:
    try:
        parsed = tomli.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    if set(parsed) != {"value"}:
        return text
    value: object = parsed["value"]
    return text if takes_only_strings(path) and not isinstance(value, str) else value


def _unknown(name: str, queues: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name.removeprefix(PREFIX), list(_names(queues)), n=1)
    right = "check-config --print shows every setting"
    hint = f"did you mean {PREFIX}{close[0]}?" if close else right
    shown = name if name.isprintable() else ascii(name)
    return f"{shown}: no setting has this name; {hint}"


def _names(queues: tuple[str, ...]) -> Iterator[str]:
    yield from _paths_in(Settings)
    for queue in queues or ("default",):
        yield from (f"QUEUES__{_spelled(queue)}__{key}" for key in _paths_in(QueueSettings))


def _paths_in(section: type[Section]) -> Iterator[str]:
    for name, info in section.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from (f"{name.upper()}__{rest}" for rest in _paths_in(kind))
        else:
            yield name.upper()
