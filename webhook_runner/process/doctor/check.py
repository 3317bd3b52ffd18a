"""What an examination says: one line for each thing that was looked at, and what to do."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """``NOTE``: nothing is wrong, or it cannot be told from here; says how to look."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Check:
    """``area`` is what was looked at, ``remedy`` what to do, or ""."""

    area: str
    verdict: Verdict
    text: str
    remedy: str = ""


def ok(area: str, text: str) -> Check:
    return Check(area, Verdict.OK, text)


def note(area: str, text: str, remedy: str = "") -> Check:
    return Check(area, Verdict.NOTE, text, remedy)


def warning(area: str, text: str, remedy: str = "") -> Check:
    return Check(area, Verdict.WARNING, text, remedy)


def problem(area: str, text: str, remedy: str = "") -> Check:
    return Check(area, Verdict.PROBLEM, text, remedy)
