"""Defaults, file, environment and flags become one tree of settings, or every problem at once."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from webhook_runner.config.environ import Override, from_environment
from webhook_runner.config.place import Finding, Origins
from webhook_runner.config.rules import broken_rules, doubts
from webhook_runner.config.secrets import Resolver, exposed_files, unreadable_files
from webhook_runner.config.source import Source, read
from webhook_runner.config.validation import validate
from webhook_runner.errors import ConfigError
from webhook_runner.settings import Settings

PATH_VARIABLE = "TASKQUEUE_CONFIG_FILE"
USUAL_PATH = Path("/etc/taskqueue/taskqueue.ini")
_NONE: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and where they came from.

    Attributes:
        settings: the whole tree, valid.
        path: the file, or None when the usual one is absent and everything is default.
        origins: FILE:LINE, variable or flag of every setting that is no default.
        warnings: one line each, of what works but should be looked at.

    """

    settings: Settings
    path: Path | None
    origins: Origins
    warnings: tuple[str, ...] = ()


def load(
    path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, object] = _NONE
) -> Loaded:
    """Return the settings of defaults < file < environment < ``overrides``.

    ``path`` is what ``--config`` named; without it TASKQUEUE_CONFIG_FILE, then the usual place,
    which alone may be missing. ``overrides`` are flags by dotted key, such as ``log.level``.

    Raises:
        ConfigError: with every problem found, one line each.

    """
    home, required = _home(path, environ)
    absent = not required and _is_missing(home)
    source = Source() if absent else read(home)
    queues = source.table.get("queues")
    found, problems = from_environment(environ, queues if isinstance(queues, dict) else ())
    flags = [
        Override(tuple(key.split(".")), value, "--" + key.replace(".", "-"))
        for key, value in overrides.items()
        if value is not None
    ]
    places = {key: f"{home}:{line}" for key, line in source.lines.items()}
    table = _merged(source.table, [*found, *flags], places)
    resolver = Resolver(environ)
    resolver.resolve(table)
    places |= {key: f"{places.get(key, home)} ({said})" for key, said in resolver.sources.items()}
    origins = Origins(places, str(home))
    settings, told = _checked(table, resolver.findings)
    told.sort(key=lambda finding: source.lines.get(finding.path, 0))
    problems += [origins.told(finding) for finding in told]
    if problems:
        raise ConfigError(*problems)
    remarks = [origins.told(each) for each in (*doubts(settings), *exposed_files(settings))]
    if absent:
        remarks.insert(0, f"{home}: no such file; every setting has its default")
    return Loaded(settings, None if absent else home, origins, tuple(remarks))


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
