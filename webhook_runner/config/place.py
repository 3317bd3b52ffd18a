"""Where a setting stands: its path in the tree, what it came from, and a remark on it."""

from collections.abc import Mapping
from dataclasses import dataclass

Path = tuple[str, ...]
"""The names from the root of the tree to a setting, such as ``("queues", "default", "rate")``."""

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or worth a warning.

    Attributes:
        path: the setting it is about.
        text: what is wrong and what would be right.
        involves: other settings the finding rests on; if one of them is itself broken, the
            finding is not told.

    """

    path: Path
    text: str
    involves: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Origins:
    """What every setting that is not a default came from: ``FILE:LINE``, a variable, a flag."""

    places: Mapping[Path, str]
    home: str

    def of(self, path: Path) -> str:
        """Return the origin of a setting, or of the nearest table around it that has one."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return DEFAULT

    def told(self, finding: Finding) -> str:
        """Return the finding as one line: place, table, key, text."""
        paths = (finding.path, *finding.involves)
        exact = [self.places[path] for path in paths if path in self.places]
        near = [self.of(path) for path in paths]
        place = next((each for each in (*exact, *near) if each != DEFAULT), self.home)
        *table, key = finding.path
        inside = f"[{dotted(tuple(table))}] " if table else ""
        return f"{place}: {inside}{quoted(key)}: {finding.text}"


def quoted(name: str) -> str:
    """Return a key as TOML writes it."""
    bare = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if bare else basic_string(name)


def dotted(path: Path) -> str:
    return ".".join(quoted(name) for name in path)


def basic_string(text: str) -> str:
    """Return a TOML basic string, on one line."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    plain = "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in escaped)
    return f'"{plain}"'
