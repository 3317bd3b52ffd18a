"""Settings as a person may read them: merged, with the origin of each, secrets masked."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from webhook_runner.config.loader import Loaded
from webhook_runner.config.place import DEFAULT, Origins, Path, basic_string, dotted, quoted
from webhook_runner.settings import Section
from webhook_runner.values import Codes, rate_text

MASK = "***"
_COLUMN = 48
_PASSWORD = re.compile(r"^([a-z][a-z0-9+.-]*://[^:/@]*:).*@", re.IGNORECASE)


def describe(loaded: Loaded) -> str:
    """Return the configuration in force as TOML; a comment tells where each value came from."""
    head = f"# {loaded.path or 'no file'}, merged with environment and flags; secrets are masked\n"
    return head + "\n".join(_table((), loaded.settings, loaded.origins)) + "\n"


def as_json(loaded: Loaded) -> dict[str, object]:
    """Return the same as ``describe`` for programs: path, warnings, settings, origins."""
    origins = {
        dotted(path): place for path, place in _leaf_origins((), loaded.settings, loaded.origins)
    }
    return {
        "path": str(loaded.path) if loaded.path else None,
        "warnings": list(loaded.warnings),
        "settings": _plain((), loaded.settings),
        "origins": origins,
    }


def masked_url(url: str) -> str:
    """Return a URL without its password."""
    return _PASSWORD.sub(rf"\1{MASK}@", url)


def _table(path: Path, section: Section, origins: Origins) -> Iterator[str]:
    tables: list[tuple[Path, Section]] = []
    for name, value in section:
        place = (*path, name)
        if isinstance(value, Section):
            tables.append((place, value))
        elif path == () and name == "queues":
            tables += [((*place, queue), policy) for queue, policy in value.items()]
        else:
            line = f"{name} = {_toml(_plain(place, value))}"
            yield f"{line:<{_COLUMN}}# {_origin(place, origins)}"
    for place, inner in tables:
        yield ""
        yield f"[{dotted(place)}]"
        yield from _table(place, inner, origins)


def _origin(path: Path, origins: Origins) -> str:
    """Tell apart a key that is set from one whose table is set."""
    if path in origins.places:
        return origins.places[path]
    below = [place for key, place in origins.places.items() if key[: len(path)] == path]
    return below[0] if below else DEFAULT


def _leaf_origins(path: Path, value: Any, origins: Origins) -> Iterator[tuple[Path, str]]:  # noqa: ANN401 - a node of the tree
    if isinstance(value, BaseModel) or path == ("queues",):
        for name, inner in value if isinstance(value, BaseModel) else value.items():
            yield from _leaf_origins((*path, name), inner, origins)
    else:
        yield path, _origin(path, origins)


def _plain(path: Path, value: Any) -> Any:  # noqa: ANN401 - a node of the tree
    """Return a value as TOML and JSON know it, masked where it is secret."""
    key = path[-1] if path else ""
    if isinstance(value, BaseModel):
        return {name: _plain((*path, name), inner) for name, inner in value}
    if isinstance(value, Mapping):
        is_secret = key == "headers"
        return {
            name: MASK if is_secret else _plain((*path, name), inner)
            for name, inner in value.items()
        }
    if isinstance(value, tuple):
        return [_plain(path, inner) for inner in value]
    if isinstance(value, Codes):
        return str(value)
    if key == "rate":
        return rate_text(value)
    if (key == "file" or key.endswith("_file")) and value and "/" not in value:
        return MASK  # a bare name may be the secret, written where its file should
    return masked_url(value) if key in {"server", "proxy", "url"} else value


def _toml(value: Any) -> str:  # noqa: ANN401 - a plain value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return basic_string(value)
    if isinstance(value, list):
        return "[" + ", ".join(_toml(inner) for inner in value) + "]"
    if isinstance(value, dict):
        pairs = ", ".join(f"{quoted(name)} = {_toml(inner)}" for name, inner in value.items())
        return "{" + pairs + "}"
    return str(int(value)) if value == int(value) else repr(value)
