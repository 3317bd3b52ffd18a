"""What may follow the question mark: filters and pages, the same for every list."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from webhook_runner.settings import QUEUE_NAME
from webhook_runner.task.instant import parse_instant
from webhook_runner.task.state import TaskState

LARGEST_RUN = 2**63 - 1
LONGEST = 2000
_NAMES = "|".join(state.value for state in TaskState)
_STATES = rf"^(?:(?:{_NAMES})(?:,(?:{_NAMES}))*)?$"
_NUMBER = re.compile(r"[0-9]{1,17}(\.[0-9]{1,9})?")
_OF_ID, _OF_LETTER = r"[A-Za-z0-9_~-]", r"[!-+\--~]"
_LONGEST_ID, _LONGEST_LETTER = 255, 200
ANY_ID = rf"^{_OF_ID}{{1,{_LONGEST_ID}}}$"
"""Ids of tasks and of their roll-backs."""

_MOST_NAMED = 100
# Counted here and not in the pattern: pydantic's automaton for that would take 14 MB.
_IDS = rf"^(?:{_OF_ID}+(?:,{_OF_ID}+)*)?$"
_LETTERS = rf"^(?:{_OF_LETTER}+(?:,{_OF_LETTER}+)*)?$"
_LETTER_CURSOR = r"^(?:[0-9]{1,16}\.[!-~]{1,200})?$"
PLAIN = r"^[ -~]*$"
"""Printable ASCII: what no store and no broker stumbles over."""

DESTINATION = (
    r"^(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]{2,45}\])"
    r":[1-9][0-9]{0,4}$"
)
"""A host and a port."""

Moment = Annotated[
    str,
    Field(
        max_length=40,
        pattern=PLAIN,
        description="RFC 3339, such as 2026-01-31T08:30:00Z, or epoch seconds.",
    ),
]
States = Annotated[str, Field(pattern=_STATES, description="One or several, with commas.")]
Queue = Annotated[str, Field(pattern=rf"^$|{QUEUE_NAME}")]
Run = Annotated[int, Field(ge=1, le=LARGEST_RUN, description="Which run; else the latest.")]


def _few(longest: int) -> AfterValidator:
    """Let no more names pass than one question may have, and none that is too long."""

    def check(text: str) -> str:
        names = text.split(",")
        if len(names) > _MOST_NAMED or max(map(len, names)) > longest:
            raise PydanticCustomError(
                "too_many_names",
                "at most {most} with commas, of at most {longest} characters",
                {"most": _MOST_NAMED, "longest": longest},
            )
        return text

    return AfterValidator(check)


class Parameters(BaseModel):
    """Unknown ones are refused: a filter that is misspelled must not mean everything."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Page(Parameters):
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    cursor: Annotated[
        str, Field(max_length=500, pattern=PLAIN, description="`next` of the page before.")
    ] = ""


class TaskListing(Page):
    state: States = ""
    queue: Queue = ""
    since: Annotated[Moment, Field(description="Created at this time or later.")] = ""
    until: Annotated[Moment, Field(description="Created before this time.")] = ""


class OfRun(Parameters):
    run: Run | None = None


class OneTask(OfRun):
    message: Annotated[bool, Field(description="Also the message as it was published.")] = False


class Cancelling(Parameters):
    force: Annotated[
        bool, Field(description="Also a task that the store does not know: it may yet come.")
    ] = False


class Hearing(Parameters):
    queue: Queue = ""
    state: States = ""


class Purging(Parameters):
    scheduled: Annotated[bool, Field(description="Also what waits for its time.")] = False


class DestinationListing(Parameters):
    state: Annotated[str, Field(pattern=r"^$|^(?:closed|open|half_open|paused)$")] = ""
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    cursor: Annotated[
        str, Field(pattern=rf"^$|{DESTINATION}", description="`next` of the page before.")
    ] = ""


class Closing(Parameters):
    keep: Annotated[bool, Field(description="Keep it closed from now on, whatever it answers.")] = (
        False
    )


class AsideParameters(Parameters):
    id: Annotated[
        str,
        Field(pattern=_IDS, description="Ids of tasks, at most 100, with commas."),
        _few(_LONGEST_ID),
    ] = ""
    letter: Annotated[
        str,
        Field(pattern=_LETTERS, description="Letters, at most 100, with commas."),
        _few(_LONGEST_LETTER),
    ] = ""
    reason: Annotated[str, Field(max_length=100, pattern=PLAIN)] = ""
    status: Annotated[int, Field(ge=100, le=599)] | None = None
    url_prefix: Annotated[str, Field(max_length=LONGEST, pattern=PLAIN)] = ""
    since: Annotated[Moment, Field(description="Put aside at this time or later.")] = ""
    until: Annotated[Moment, Field(description="Put aside before this time.")] = ""


class AsideListing(AsideParameters):
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    cursor: Annotated[
        str, Field(max_length=500, pattern=_LETTER_CURSOR, description="`next` of the page before.")
    ] = ""


class Dropping(AsideParameters):
    all: Annotated[bool, Field(description="Needed where no filter is given.")] = False


def states_of(text: str) -> frozenset[TaskState]:
    """Return the states named in a parameter."""
    return frozenset(TaskState(word) for word in text.split(",") if word)


def moment(value: str | float | None, field: str) -> float | None:
    """Return epoch seconds of a time as a caller writes it, None for none.

    Raises:
        InvalidTaskError: it is no time; says what would be right.

    """
    if value is None or value == "":
        return None
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    return parse_instant(value, field, round_up=False)
