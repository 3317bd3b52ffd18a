"""The door: which targets of tests/corpus/targets.jsonl are no tasks at all, and why."""

import pytest

from tests.parts.targets import Case, cases
from webhook_runner.errors import InvalidTaskError
from webhook_runner.task.url import absolute

CASES = [case for case in cases() if case.profile == "public"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: ascii(case.name))
def test_a_target_is_taken_or_refused_at_the_door_as_it_is_written(case: Case) -> None:
    reason = ""
    try:
        absolute(case.url, "")
    except InvalidTaskError as error:
        reason = error.reason

    assert reason == case.door
