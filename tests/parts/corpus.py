"""The corpus of messages and what each must lead to, as tests/corpus/README.md says."""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from webhook_runner.errors import InvalidTaskError
from webhook_runner.task.codec import Decoded, Rules, decode
from webhook_runner.task.model import Message

CORPUS = Path(__file__).parents[1] / "corpus"
NOW = 1769848200.0  # 2026-01-31T08:30:00Z
UNREADABLE = frozenset({"not_json", "empty", "encoding"})
_FACTS = frozenset(
    {
        *("row", "name", "text", "base64", "parts", "message", "properties", "rules", "queues"),
        *("verdict", "reason", "field", "says", "body", "id", "queue", "due_in", "ends"),
        *("routed", "api"),
    }
)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a door must make of a message."""

    accepted: bool
    reason: str = ""
    field: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the corpus; ``tag`` is its own among all."""

    tag: str
    facts: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.tag} (row {self.facts['row']}): {self.facts['name']}"

    @property
    def body(self) -> bytes:
        return bytes_of(self.facts)

    @property
    def message(self) -> Mapping[str, Any]:
        """The AMQP properties that the task model knows."""
        message: Mapping[str, Any] = self.facts.get("message", {})
        return message

    @property
    def is_amqp(self) -> bool:
        """Whether it is about what only AMQP can say."""
        http = {"content_type", "content_encoding", "traceparent"}
        return "properties" in self.facts or not http.issuperset(self.message)

    @property
    def rules(self) -> Mapping[str, Any]:
        rules: Mapping[str, Any] = self.facts.get("rules", {})
        return rules

    @property
    def is_good(self) -> bool:
        """Whether the message in itself breaks no rule."""
        return bool(self.facts["verdict"] != "rejected")

    @property
    def breaks_arrays(self) -> bool:
        """Whether an array with this message in it may be none, or needs headers of its own."""
        unreadable = self.facts.get("reason") in UNREADABLE
        return unreadable or "api" in self.facts or bool(self.message)

    @property
    def ends(self) -> str:
        """How the task ends that it becomes."""
        return str(self.facts.get("ends", "succeeded"))

    def decoded(self) -> Decoded:
        """Decode it at ``NOW``. Raises InvalidTaskError."""
        return decode(
            Message(body=self.body, **self.message),
            "default",
            now=NOW,
            rules=Rules(**self.rules),
            make_id=lambda: "made",
        )

    def expected(self) -> Expected:
        """Return what every door must make of it; the field is the decoder's where none is told."""
        routed = self.facts.get("routed")
        if routed is not None:
            return Expected(accepted=False, reason=routed["reason"], field=routed["field"])
        if self.is_good:
            return Expected(accepted=True)
        try:
            self.decoded()
        except InvalidTaskError as error:
            field = str(self.facts.get("field", error.field))
        else:
            field = "?"
        return Expected(accepted=False, reason=str(self.facts["reason"]), field=field)


def bytes_of(facts: Mapping[str, Any]) -> bytes:
    """Return the bytes that ``text``, ``base64`` or ``parts`` stand for."""
    if "base64" in facts:
        return base64.b64decode(facts["base64"])
    parts = facts.get("parts", [[facts.get("text"), 1]])
    return "".join(text * count for text, count in parts).encode()


def lines(name: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file of the corpus."""
    for line in (CORPUS / name).read_text().splitlines():
        yield json.loads(line)


def cases() -> list[Case]:
    """Return all messages. Raises ValueError for a line with a misspelt key."""
    found = [
        Case(f"case-{number}", facts) for number, facts in enumerate(lines("messages.jsonl"), 1)
    ]
    for case in found:
        if strange := case.facts.keys() - _FACTS:
            raise ValueError(f"{case.name} has {strange}")
    return found


def amqp_value(value: Any) -> Any:
    """Return what a JSON value of ``properties`` stands for; ``{"$bytes": ...}`` and its like."""
    match value:
        case {"$bytes": text}:
            return base64.b64decode(text)
        case {"$time": seconds}:
            return datetime.fromtimestamp(seconds, UTC)
        case {"$decimal": text}:
            return Decimal(text)
        case {"$repeat": [text, count]}:
            return text * count
        case dict():
            return {key: amqp_value(inner) for key, inner in value.items()}
        case list():
            return [amqp_value(inner) for inner in value]
        case _:
            return value
