"""The sample configuration: in the wheel beside this module, in the sources at the root."""

from pathlib import Path

_HERE = Path(__file__).parent


def sample() -> str:
    """Return the text of taskqueue.ini as shipped."""
    places = (_HERE / "taskqueue.ini", _HERE.parent.parent / "taskqueue.ini")
    return next(place for place in places if place.is_file()).read_text(encoding="utf-8")
