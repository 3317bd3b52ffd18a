"""Find the extensions that the configuration names as ``package.module:callable``."""

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from webhook_runner.errors import ConfigError
from webhook_runner.ports import Extension
from webhook_runner.settings import QueueSettings


def load_extensions(queues: Mapping[str, QueueSettings]) -> dict[str, tuple[Extension, ...]]:
    """Import every extension of every queue. Modules of the working directory are found too.

    Raises:
        ConfigError: one line for each that cannot be had, with the reason.

    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    found: dict[str, tuple[Extension, ...]] = {}
    problems: list[str] = []
    for queue, settings in queues.items():
        extensions = []
        for name in settings.extensions:
            try:
                extensions.append(_load(name))
            except Exception as error:  # noqa: BLE001 - importing runs foreign code
                problems.append(
                    f"[queues.{queue}] extensions: {name}: {type(error).__name__}: {error}"
                )
        found[queue] = tuple(extensions)
    if problems:
        raise ConfigError(*problems)
    return found


def _load(name: str) -> Extension:
    module, _, path = name.partition(":")
    found: object = importlib.import_module(module)
    for step in path.split("."):
        found = getattr(found, step)
    if not callable(found):
        raise TypeError("is not callable: it must take (request, task) and return a request")
    return cast("Extension", found)
