"""The corpus of targets: what a task may name, and what must become of it under each profile."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parents[1] / "corpus" / "targets.jsonl"
PROFILES = ("public", "internal")
USUAL_PATIENCE = 20.0

Table = Mapping[str, Sequence[Sequence[str]]]


@dataclass(frozen=True)
class Case:
    """One target under one profile.

    Attributes:
        names: what the name server says, for each look-up in turn.
        egress: the other settings of [egress].
        verdicts: what each request in turn must meet with: "reached ADDRESS", "answered STATUS by
            ADDRESS", the rule of a refusal, or the word of a trouble.
        door: why the task is refused where it comes in; empty: it is not.
        patience: seconds until a connection is given up.
        server_name, host: what TLS and the header must say; empty: not looked at.

    """

    name: str
    url: str
    profile: str
    names: Table
    egress: Mapping[str, Any]
    verdicts: tuple[str, ...]
    door: str
    patience: float
    server_name: str
    host: str

    @property
    def id(self) -> str:
        return f"{self.profile}: {self.name}"

    @property
    def is_plain(self) -> bool:
        """Whether a daemon with nothing but the profile in [egress] can take it among others."""
        is_usual = not self.egress and self.patience == USUAL_PATIENCE
        return is_usual and len(self.verdicts) == 1 and self.verdicts != ("certificate",)


def cases() -> list[Case]:
    """Read the corpus: a line with a verdict for each profile is two cases."""
    return list(_read())


def _read() -> Iterator[Case]:
    for line in CORPUS.read_text().splitlines():
        row = json.loads(line)
        for profile in PROFILES:
            if (verdicts := row.get(profile)) is None:
                continue
            yield Case(
                name=row["name"],
                url=row["url"],
                profile=profile,
                names=_expanded(row.get("names", {})),
                egress={key: _frozen(value) for key, value in row.get("egress", {}).items()},
                verdicts=tuple([verdicts] if isinstance(verdicts, str) else verdicts),
                door=row.get("door", ""),
                patience=row.get("patience", USUAL_PATIENCE),
                server_name=row.get("sni", ""),
                host=row.get("host_header", ""),
            )


def _frozen(value: str | list[str]) -> str | tuple[str, ...]:
    return value if isinstance(value, str) else tuple(value)


def _expanded(table: Table) -> Table:
    """Write out "10.0.0.0 and 999 more"."""
    return {
        name: [[each for said in turn for each in _many(said)] for turn in turns]
        for name, turns in table.items()
    }


def _many(said: str) -> list[str]:
    first, _, more = said.removesuffix(" more").partition(" and ")
    return [first] if not more else [str(ip_address(first) + n) for n in range(int(more) + 1)]
