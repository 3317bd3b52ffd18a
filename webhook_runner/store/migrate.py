"""The numbered changes of a database's tables, and which of them it still needs."""

from dataclasses import dataclass
from importlib import resources

from webhook_runner.errors import StoreError
from webhook_runner.store.database import UNUSABLE


@dataclass(frozen=True, slots=True)
class Migration:
    """One step forward; there is none back."""

    number: int
    name: str
    sql: str


def migrations(room: str) -> list[Migration]:
    """Return the steps that lie as NNNN_name.sql beside the modules of ``room``."""
    found = []
    for file in resources.files(room).joinpath("migrations").iterdir():
        number, _, name = file.name.removesuffix(".sql").partition("_")
        if file.name.endswith(".sql"):
            found.append(Migration(int(number), name, file.read_text("utf-8")))
    return sorted(found, key=lambda migration: migration.number)


def pending(steps: list[Migration], version: int, place: str) -> list[Migration]:
    """Return the steps that a database of this version needs.

    Raises:
        StoreError: a newer program has taken steps that this one does not know.

    """
    known = steps[-1].number
    if version > known:
        raise StoreError(
            f"store {place}: its tables are of version {version}, but this webhook-runner knows "
            f"{known} at most; use the newer one that has written it",
            UNUSABLE,
        )
    return [step for step in steps if step.number > version]
