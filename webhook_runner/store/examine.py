"""Look at the store of an address and change nothing; whichever database it is."""

import importlib
import re
from collections.abc import Callable

from webhook_runner.errors import StoreError
from webhook_runner.settings import SQLITE
from webhook_runner.store.sighting import Sighting
from webhook_runner.store.sqlite.look import look

_PLACE = re.compile(r"^store \S+: ")


def examine(url: str) -> Sighting:
    """Look at sqlite:PATH or postgresql://...; blocks for some seconds at most."""
    try:
        if url.startswith(SQLITE):
            return look(url.removeprefix(SQLITE))
        room = importlib.import_module("webhook_runner.store.postgresql.look")
        look_at_server: Callable[[str], Sighting] = room.look
        return look_at_server(url)
    except ImportError:
        return Sighting(problem="it needs a package more: pip install 'webhook-runner[postgresql]'")
    except StoreError as error:
        return Sighting(problem=_PLACE.sub("", str(error)))
