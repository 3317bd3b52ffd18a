"""How a store stands, seen from outside: for `doctor`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sighting:
    """What could be seen.

    Attributes:
        exists: its tables are there.
        owner: the process that has it; "" for none, or when many may.
        version: of its tables; ``known`` is the newest that this program knows.
        problem: why it cannot be used, or "".
        unchecked: why it was not looked into, or "".

    """

    exists: bool = False
    owner: str = ""
    version: int = 0
    known: int = 0
    problem: str = ""
    unchecked: str = ""
