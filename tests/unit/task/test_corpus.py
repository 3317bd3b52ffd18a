"""Every message of tests/corpus/messages.jsonl gets the verdict that is written beside it."""

from collections import Counter
from typing import Any

import pytest

from tests.parts.corpus import NOW, Case, cases
from webhook_runner.errors import InvalidTaskError

CASES = cases()
# What is about one part of a message. The rest of the rows is about others: see README.md there.
ROWS = frozenset(
    {
        *range(1, 19),
        *range(21, 36),
        *range(38, 63),
        *range(63, 80),
        *(83, 84),
    }
) - {19, 20, 30, 33, 36, 37, 40, 42, 43, 44, 45, 49, 54, 56}


def named(chosen: list[Case]) -> list[Any]:
    return [pytest.param(case, id=ascii(case.name)[1:70]) for case in chosen]


def test_no_row_is_without_a_case_and_no_case_is_there_twice() -> None:
    assert ROWS - {case.facts["row"] for case in CASES} == set()
    assert len(CASES) >= 500
    names = Counter((case.facts["row"], case.facts["name"]) for case in CASES)
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("case", named([case for case in CASES if not case.is_good]))
def test_a_bad_message_is_refused_with_its_reason(case: Case) -> None:
    with pytest.raises(InvalidTaskError) as caught:
        case.decoded()

    assert caught.value.reason == case.facts["reason"]
    assert caught.value.field == case.facts.get("field", caught.value.field)
    assert case.facts.get("says", "") in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("case", named([case for case in CASES if case.is_good]))
def test_a_good_message_is_taken_as_it_was_meant(case: Case) -> None:
    answer = case.decoded()
    facts, envelope = case.facts, answer.envelope

    assert bool(answer.warnings) == (facts["verdict"] == "warned"), answer.warnings
    assert envelope.task.source == case.body
    assert envelope.task.body == facts.get("body", envelope.task.body.decode()).encode()
    assert envelope.task.id == facts.get("id", envelope.task.id)
    assert envelope.task.queue == facts.get("queue", "default")
    assert envelope.due_at - NOW == pytest.approx(
        facts.get("due_in", envelope.due_at - NOW), abs=1e-6
    )
