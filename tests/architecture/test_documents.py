"""The documents against the code: links, keys, commands, blocks, and what is generated."""

import re
import shlex
from pathlib import Path

import pytest
import tomli
from typer.testing import CliRunner

from docs.generate import PLACE, pages
from webhook_runner.cli.app import app
from webhook_runner.config.loader import load
from webhook_runner.config.sample import sample
from webhook_runner.errors import ConfigError

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DOCUMENTS = sorted(
    path
    for folder in (
        ".",
        "docs",
        "docs/adr",
        "docs/guide",
        "docs/reference",
        "bench",
        "examples",
        "init",
    )
    for path in (ROOT / folder).glob("*.md")
)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)]*)?\)")
CODE = re.compile(r"`([^`\n]+)`")
KEY = re.compile(r"^([a-z]+_[a-z_]+|[a-z]+(?= = ))(?: = .+)?$")
# Words of the message, of answers and of ends, which look like keys but are none.
OTHER_WORDS = frozenset(
    {
        *("max_retries", "roll_back", "message_id", "crash_loop", "webhook_runner", "task_id"),
        "cancel_requested",
    }
)
GROUPS = {"config", "dead", "invalid", "tasks", "queues"}
# A document tells what is, not who wrote it on which machine.
FORBIDDEN = re.compile(
    r"\b(?<!User-)(?i:agents?|assistants?|worktrees?|(?:issue|ticket) #?\d+)\b|/(work|home)/"
)
EVENTS = re.compile(r"`((?:task|daemon|broker|queue|config)\.[a-z_.]+)`")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(language: str, text: str = README) -> list[str]:
    return [body for found, body in BLOCK.findall(text) if found == language]


def keys(table: object) -> set[str]:
    if not isinstance(table, dict):
        return set()
    return set(table).union(*(keys(inner) for inner in table.values()))


def command_lines() -> list[tuple[str, str]]:
    found = set()
    for path in DOCUMENTS:
        text = path.read_text()
        lines = [line for body in blocks("sh", text) for line in body.splitlines()]
        lines += CODE.findall(BLOCK.sub("", text))
        found |= {
            (name(path), line) for line in lines if re.match(r"(\S*/)?webhook-runner [a-z]", line)
        }
    return sorted(found)


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) < 200


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_link_leads_to_a_file(path: Path) -> None:
    wanted = [link for link in LINK.findall(path.read_text()) if "://" not in link]
    assert [link for link in wanted if not (path.parent / link).exists()] == []


def test_every_guarantee_is_numbered_and_linked_to_tests_that_exist() -> None:
    chapters = re.split(r"^## ", (ROOT / "docs/guarantees.md").read_text(), flags=re.MULTILINE)
    promises = [each for each in chapters if re.match(r"G\d+\. ", each)]
    assert [each.split(".")[0] for each in promises] == [f"G{n}" for n in range(1, 19)]
    for promise in promises:
        proofs = re.findall(r"\[(test_\w+)\]\(\.\./([^)]+)\)", promise)
        assert proofs or "Not in this version" in promise, promise
        for test, file in proofs:
            assert f"def {test}(" in (ROOT / file).read_text(), f"{file} has no {test}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_no_document_tells_who_wrote_it_where(path: Path) -> None:
    found = FORBIDDEN.search(path.read_text())
    assert found is None, found


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_file_that_a_document_names_is_there(path: Path) -> None:
    words = [word for word in CODE.findall(path.read_text()) if re.fullmatch(r"[\w./-]+", word)]
    rooted = re.compile(r"(webhook_runner|tests|docs|bench|examples|init)/.*|\w+/\w+\.py")
    wanted = [word.rstrip("/") for word in words if rooted.fullmatch(word)]
    places = (ROOT, ROOT / "webhook_runner")
    assert [each for each in wanted if not any((at / each).exists() for at in places)] == []


def test_every_key_in_the_readme_exists() -> None:
    known = keys(tomli.loads(sample())) | OTHER_WORDS
    words = [KEY.match(word) for word in CODE.findall(BLOCK.sub("", README))]
    assert {match[1] for match in words if match} - known == set()


@pytest.mark.parametrize(
    "text", [t for each in DOCUMENTS for t in blocks("toml", each.read_text())]
)
def test_every_configuration_in_a_document_loads(text: str, tmp_path: Path) -> None:
    file = tmp_path / "taskqueue.ini"
    file.write_text(text)
    assert load(file, {}).settings.queues


def test_a_configuration_with_an_unknown_key_would_be_noticed(tmp_path: Path) -> None:
    file = tmp_path / "taskqueue.ini"
    file.write_text("colour = 1\n")
    with pytest.raises(ConfigError, match="colour"):
        load(file, {})


@pytest.mark.parametrize(("document", "line"), command_lines())
def test_every_command_line_has_a_command_and_options_that_exist(document: str, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    words = words[: next((i for i, word in enumerate(words) if word in {">", "|", "&&"}), None)]
    command = words[:2] if words[0] in GROUPS and len(words) > 1 else words[:1]
    result = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(app, [*command, "--help"])
    assert result.exit_code == 0, document
    for option in (word for word in words if word.startswith("--")):
        assert re.search(rf"{option}\b", result.output), f"{document}: {option}"


@pytest.mark.parametrize("page", sorted(pages()))
def test_the_reference_is_what_make_docs_writes(page: str) -> None:
    assert (PLACE / page).read_text() == pages()[page], "stale: run `make docs`"


def test_every_event_that_a_document_names_is_told() -> None:
    told = set(EVENTS.findall(pages()["events.md"]))
    for path in DOCUMENTS:
        if path.parent.name != "reference":
            named = set(EVENTS.findall(path.read_text()))
            assert {each for each in named if not each.endswith((".py", ".ini", ".db"))} <= told, (
                name(path)
            )


def test_every_decision_is_in_the_index() -> None:
    index = (ROOT / "docs/adr/README.md").read_text()
    records = sorted((ROOT / "docs/adr").glob("[0-9]*.md"))
    assert [path.name for path in records if f"({path.name})" not in index] == []
    for path in records:
        for heading in ("## Context", "## Decision", "## Consequences"):
            assert heading in path.read_text(), path.name
