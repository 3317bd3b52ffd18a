"""`send`, up to the broker: what is built, what is refused before anything is published."""

import json
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

import pytest
import typer

from tests.unit.cli.conftest import Run
from webhook_runner.broker.amqp.send import Posting
from webhook_runner.cli.option import seconds
from webhook_runner.settings import BrokerSettings


@pytest.fixture
def sent(run: Run, monkeypatch: pytest.MonkeyPatch) -> list[Posting]:
    """What would have been published; the door itself is tested against a real broker."""
    run("send", "-h")
    taken: list[Posting] = []

    async def send(
        servers: Sequence[str], settings: BrokerSettings, postings: Iterable[Posting]
    ) -> AsyncIterator[Posting]:
        for posting in postings:
            taken.append(posting)
            yield posting

    monkeypatch.setattr(sys.modules["webhook_runner.cli.sending"], "send", send)
    return taken


def test_the_options_become_a_message(run: Run, sent: list[Posting]) -> None:
    result = run(
        *("send", "http://h/x", "--id", "order-7", "--in", "1m30s", "--expires", "1999999999"),
        *("--max-retries", "3", "--method", "PUT", "--header", "X-A: 1", "--header", "X-B:2"),
        *("--roll-back", "/undo", "--timeout", "5", "--metadata", "[1]"),
        *("--eta", "2026-01-01T00:00:00Z"),
        *("--payload", '{"a": 1.0, "a b": 1e2}', "--queue", "mail"),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    (posting,) = sent
    assert result.stdout == "order-7\n"
    assert (posting.id, posting.queue) == ("order-7", "mail")
    assert b'"payload":{"a": 1.0, "a b": 1e2}' in posting.body
    assert json.loads(posting.body) == {
        "id": "order-7",
        "url": "http://h/x",
        "method": "PUT",
        "payload": {"a": 1.0, "a b": 100.0},
        "headers": {"X-A": "1", "X-B": "2"},
        "countdown": 90.0,
        "eta": "2026-01-01T00:00:00Z",
        "expires": 1999999999,
        "max_retries": 3,
        "timeout": 5.0,
        "roll_back": "/undo",
        "metadata": [1],
    }


def test_without_an_id_one_is_made_and_travels_as_message_id(run: Run, sent: list[Posting]) -> None:
    result = run("send", "http://h/")
    assert sent[0].id == result.stdout.strip()
    assert json.loads(sent[0].body) == {"url": "http://h/"}
    assert sent[0].queue == "default"


def test_payloads_come_from_files_stdin_and_text(
    run: Run, sent: list[Posting], tmp_path: Path
) -> None:
    file = tmp_path / "p.json"
    file.write_text('{"from": "file"}\n')
    run("send", "http://h/", "--payload", f"@{file}")
    run("send", "http://h/", "--payload", "-", stdin='["stdin"]')
    run("send", "http://h/", "--text", "no { json")
    found = [json.loads(posting.body)["payload"] for posting in sent]
    assert found == [{"from": "file"}, ["stdin"], "no { json"]


@pytest.mark.parametrize(
    "text",
    [
        '[{"url": "http://h/1", "queue": "q1"}, {"url": "http://h/2", "id": "two"}]',
        '{"url": "http://h/1", "queue": "q1"}\n\n{"url": "http://h/2", "id": "two"}\n',
    ],
)
def test_whole_messages_go_as_they_are(
    text: str, run: Run, sent: list[Posting], tmp_path: Path
) -> None:
    file = tmp_path / "messages"
    file.write_text(text)
    for result in (
        run("send", "--file", str(file), "-o", "json"),
        run("send", "-", "-o", "json", stdin=text),
    ):
        assert result.exit_code == 0, result.output
        first, second = json.loads(result.stdout)
        assert first["queue"] == "q1"
        assert second == {"id": "two", "queue": "default"}
    assert sent[0].body == b'{"url": "http://h/1", "queue": "q1"}'
    assert len(sent) == 4


def test_one_message_over_several_lines_is_one(run: Run, sent: list[Posting]) -> None:
    run("send", "-", stdin='{\n  "url": "http://h/"\n}\n')
    assert len(sent) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("http://h/", "--max-retries", "-2"), "error: max_retries: must be an integer"),
        (("ftp://h/",), "error: url: "),
        (("http://h/", "--eta", "5"), "error: eta: "),
        (("http://h/", "--eta", "tomorrow"), "error: eta: "),
        (("http://h/", "--id", "a b"), "error: id: "),
        (("http://h/", "--header", "Host: x"), "error: headers.Host: "),
        (("http://h/", "--header", "nothing"), "error: the header 'nothing' has no colon"),
        (("http://h/", "--payload", "{"), "error: --payload is no JSON"),
        (("http://h/", "--payload", "@/nowhere"), "error: /nowhere cannot be read"),
        (("http://h/", "--payload", "1", "--text", "x"), "error: --payload and --text exclude"),
        (("http://h/", "--countdown", "1", "--in", "1s"), "error: --countdown and --in exclude"),
        (("http://h/", "--in", "soon"), "'soon' is no duration"),
        (("http://h/", "--method", "GET", "--payload", "1"), "error: payload: GET has no body"),
        ((), "error: a URL is missing"),
        (("-", "--id", "x"), "error: whole messages hold everything themselves; leave out id"),
        (("-",), "error: there is no message"),
        (("--file", "/nowhere"), "error: /nowhere cannot be read"),
    ],
)  # fmt: skip
def test_what_the_daemon_would_set_aside_is_not_sent(
    arguments: tuple[str, ...], words: str, run: Run, sent: list[Posting]
) -> None:
    result = run("send", *arguments)
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert sent == []


def test_one_bad_message_among_many_stops_all(run: Run, sent: list[Posting]) -> None:
    result = run("send", "-", stdin='{"url": "http://h/"}\n{"url": 5}\n')
    assert result.exit_code == 2
    assert "error: message 2: url: " in result.stderr
    assert sent == []


def test_warnings_of_the_daemon_are_shown(run: Run, sent: list[Posting]) -> None:
    result = run("send", "-", stdin='{"url": "/path", "colour": 1}')
    assert result.exit_code == 0
    assert "warning: unknown field 'colour' is ignored" in result.stderr
    assert "has no base_url" in result.stderr
    assert len(sent) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [("90", 90), ("0.5", 0.5), ("5m", 300), ("1h30m", 5400), ("2d", 172800), ("1w", 604800)],
)
def test_durations_are_read_as_people_write_them(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "-5", "5x", "m", "5 m", "1e3", "٣"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        seconds(text)
