"""Defaults, file, environment and flags become one tree of settings, or every problem at once."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from webhook_runner.config.environ import Override, from_environment
from webhook_runner.config.place import Finding, Origins
from webhook_runner.config.queue_file import (
    NAME,
    NO_PLACE,
    StateDirectory,
    state_directory,
    unusable_place,
)
from webhook_runner.config.rules import broken_rules, doubts
from webhook_runner.config.secrets import Resolver, exposed_files, unreadable_files
from webhook_runner.config.source import Source, read
from webhook_runner.config.validation import validate
from webhook_runner.errors import ConfigError
from webhook_runner.settings import EMBEDDED, Settings

PATH_VARIABLE = "TASKQUEUE_CONFIG_FILE"
USUAL_PATH = Path("/etc/taskqueue/taskqueue.ini")
NO_FILE = "default: no configuration file"
_PLACES = (("server",), ("store", "url"))
_NONE: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and where they came from.

    Attributes:
        settings: the whole tree, valid.
        path: the file, or None when the usual one is absent and everything is default.
        origins: FILE:LINE, variable or flag of every setting that is no default.
        warnings: one line each, of what works but should be looked at.
        state: where the embedded broker keeps its file because no file and no variable named a
            server; the daemon makes the directory. None otherwise.

    """

    settings: Settings
    path: Path | None
    origins: Origins
    warnings: tuple[str, ...] = ()
    state: StateDirectory | None = None


def load(
    path: Path | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, object] = _NONE,
    *,
    to_serve: bool = False,
) -> Loaded:
    """Return the settings of defaults < file < environment < ``overrides``.

    ``path`` is what ``--config`` named; without it TASKQUEUE_CONFIG_FILE, then the usual place,
    which alone may be missing: then the broker is embedded, if no variable names another.
    ``overrides`` are flags by dotted key, such as ``log.level``. ``to_serve`` asks also whether
    this user could keep the queue file where it should be.

    Raises:
        ConfigError: with every problem found, one line each.

    """
    home, required = _home(path, environ)
    absent = not required and _is_missing(home)
    source = Source() if absent else read(home)
    found, problems = _outside(source.table, environ, overrides)
    state = _embed(found, problems, environ) if absent else None
    places = {key: f"{home}:{line}" for key, line in source.lines.items()}
    table = _merged(source.table, found, places)
    resolver = Resolver(environ)
    resolver.resolve(table)
    places |= {key: f"{places.get(key, home)} ({said})" for key, said in resolver.sources.items()}
    origins = Origins(places, str(home))
    settings, told = _checked(table, resolver.findings)
    if to_serve and not any(finding.path in _PLACES for finding in told):
        told += unusable_place(settings, state)
    told.sort(key=lambda finding: source.lines.get(finding.path, 0))
    problems += [origins.told(finding) for finding in told]
    if problems:
        raise ConfigError(*problems)
    remarks = [origins.told(each) for each in (*doubts(settings), *exposed_files(settings))]
    if absent and state is None:
        remarks.insert(0, f"{home}: no such file; every setting has its default")
    return Loaded(settings, None if absent else home, origins, tuple(remarks), state)


def _outside(
    table: Mapping[str, object], environ: Mapping[str, str], overrides: Mapping[str, object]
) -> tuple[list[Override], list[str]]:
    """Return what variables and flags set, and a line for each variable that sets nothing."""
    queues = table.get("queues")
    found, problems = from_environment(environ, queues if isinstance(queues, dict) else ())
    flags = [
        Override(tuple(key.split(".")), value, "--" + key.replace(".", "-"))
        for key, value in overrides.items()
        if value is not None
    ]
    return [*found, *flags], problems


def _embed(
    found: list[Override], problems: list[str], environ: Mapping[str, str]
) -> StateDirectory | None:
    """Add the server of who has named none to ``found``, and return the directory of its file."""
    if any(override.path == ("server",) for override in found):
        return None
    state = state_directory(environ)
    if state is None:
        problems.append(NO_PLACE)
    else:
        found.append(Override(("server",), f"{EMBEDDED}{state.path / NAME}", NO_FILE))
    return state


def _home(path: Path | None, environ: Mapping[str, str]) -> tuple[Path, bool]:
    if path is not None:
        return path, True
    named = environ.get(PATH_VARIABLE, "")
    return (Path(named), True) if named else (USUAL_PATH, False)


def _is_missing(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def _merged(
    table: Mapping[str, object], overrides: Iterable[Override], places: dict[tuple[str, ...], str]
) -> dict[str, Any]:
    merged: dict[str, Any] = copy.deepcopy(dict(table))
    for override in overrides:
        *outer, key = override.path
        inner: Any = merged
        for name in outer:
            # A table that the file wrote as something else is told about by validation.
            inner = inner.setdefault(name, {}) if isinstance(inner, dict) else {}
        if isinstance(inner, dict):
            old, new = inner.get(key), override.value
            inner[key] = old | new if isinstance(old, dict) and isinstance(new, dict) else new
            places[override.path] = override.name
    return merged


def _checked(table: Mapping[str, Any], before: Iterable[Finding]) -> tuple[Settings, list[Finding]]:
    """Return the settings and all findings, less those that rest on a broken setting."""
    settings, findings = validate(table)
    findings = [*before, *findings]
    broken = {finding.path for finding in findings}
    later = [*broken_rules(settings), *unreadable_files(settings)]
    findings += (
        finding
        for finding in later
        if not any(
            path[: len(bad)] == bad for path in (finding.path, *finding.involves) for bad in broken
        )
    )
    return settings, findings
