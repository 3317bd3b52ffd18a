"""What a reload may change while work goes on, and what needs a restart."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from webhook_runner.settings import Settings

FIXED = ("server", "processes", "broker", "store", "egress", "performance", "log")
"""Parts of the settings that live as long as the process."""

FIXED_KEYS = ("api.listen",)


def applicable(old: Settings, new: Settings) -> Settings:
    """Return the new settings with the parts that need a restart left as they were."""
    kept: dict[str, object] = {name: getattr(old, name) for name in FIXED}
    kept["api"] = new.api.model_copy(update={"listen": old.api.listen})
    return new.model_copy(update=kept)


def changes(old: Settings, new: Settings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the dotted keys that change at once, and those that need a restart.

    A queue that comes or goes is one key.
    """
    one_sided = old.queues.keys() ^ new.queues.keys()
    before, after = _leaves(old, one_sided), _leaves(new, one_sided)
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    changed |= {f"queues.{name}" for name in one_sided}
    fixed = {key for key in changed if key.partition(".")[0] in FIXED or key in FIXED_KEYS}
    return tuple(sorted(changed - fixed)), tuple(sorted(fixed))


def _leaves(settings: Settings, without: AbstractSet[str]) -> dict[str, Any]:
    tree = settings.model_dump()
    tree["queues"] = {name: each for name, each in tree["queues"].items() if name not in without}
    return dict(_walk("", tree))


def _walk(prefix: str, value: object) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _walk(f"{prefix}.{key}" if prefix else str(key), inner)
    else:
        yield prefix, value
