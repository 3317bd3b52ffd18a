"""Texts that must show nowhere, each planted in one secret place."""

import base64
import json
from secrets import token_hex
from urllib.parse import quote


class Canaries:
    """Makes them, and finds them again in any spelling they could have got."""

    def __init__(self) -> None:
        self._planted: dict[str, str] = {}

    def plant(self, place: str) -> str:
        """Return the text for a place: always the same; every URL, header and JSON may hold it."""
        return self._planted.setdefault(place, f"canary-{token_hex(8)}")

    def shown_in(self, text: str) -> set[str]:
        """Return the places whose text shows."""
        return {
            place
            for place, canary in self._planted.items()
            if any(spelling in text for spelling in _spellings(canary))
        }


def _spellings(canary: str) -> set[str]:
    # Whatever stands before it shifts base64 by one or two bytes: the middle of it stays the same.
    shifted = {base64.b64encode(b"x" * n + canary.encode()).decode()[4:-4] for n in range(3)}
    return {canary, quote(canary, safe=""), json.dumps(canary)[1:-1], *shifted}
