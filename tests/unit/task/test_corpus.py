"""Every message of tests/corpus/messages.jsonl gets the verdict that is written beside it."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from webhook_runner.errors import InvalidTaskError
from webhook_runner.task.codec import Decoded, Rules, decode
from webhook_runner.task.model import Message

CORPUS = Path(__file__).parents[2] / "corpus" / "messages.jsonl"
CASES = [json.loads(line) for line in CORPUS.read_text().splitlines()]
NOW = 1769848200.0  # 2026-01-31T08:30:00Z


def body_of(case: dict[str, Any]) -> bytes:
    if "base64" in case:
        return base64.b64decode(case["base64"])
    parts = case.get("parts", [[case.get("text"), 1]])
    return "".join(text * count for text, count in parts).encode()


def decoded(case: dict[str, Any]) -> Decoded:
    return decode(
        Message(body=body_of(case), **case.get("message", {})),
        "default",
        now=NOW,
        rules=Rules(**case.get("rules", {})),
        make_id=lambda: "made",
    )


def named(cases: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(case, id=f"{case['row']}-{ascii(case['name'])[1:60]}") for case in cases]


@pytest.mark.parametrize("case", named([c for c in CASES if c["verdict"] == "rejected"]))
def test_a_bad_message_is_refused_with_its_reason(case: dict[str, Any]) -> None:
    with pytest.raises(InvalidTaskError) as caught:
        decoded(case)

    assert caught.value.reason == case["reason"]
    assert caught.value.field == case.get("field", caught.value.field)
    assert case.get("says", "") in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("case", named([c for c in CASES if c["verdict"] != "rejected"]))
def test_a_good_message_is_taken_as_it_was_meant(case: dict[str, Any]) -> None:
    answer = decoded(case)
    envelope = answer.envelope

    assert bool(answer.warnings) == (case["verdict"] == "warned"), answer.warnings
    assert envelope.task.source == body_of(case)
    assert envelope.task.body == case.get("body", envelope.task.body.decode()).encode()
    assert envelope.task.id == case.get("id", envelope.task.id)
    assert envelope.task.queue == case.get("queue", "default")
    assert envelope.due_at - NOW == pytest.approx(
        case.get("due_in", envelope.due_at - NOW), abs=1e-6
    )
