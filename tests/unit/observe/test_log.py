import io
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.unit.observe.events import CANARY, ENVELOPE, ONE_OF_EACH, ROLLBACK, SECRET, kinds
from webhook_runner.observe.log import LogObserver
from webhook_runner.observe.logger import LIBRARIES, configure
from webhook_runner.observe.redact import Redaction
from webhook_runner.observe.seldom import EVERY_SECONDS, Seldom
from webhook_runner.observe.sink import Sink
from webhook_runner.settings import LogSettings
from webhook_runner.task.event import (
    AttemptFinished,
    AttemptStarted,
    DaemonReady,
    Event,
    RetryScheduled,
    TaskRejected,
    TaskSucceeded,
    Warned,
)
from webhook_runner.task.outcome import Responded


@pytest.fixture(autouse=True)
def _libraries_as_they_were() -> Iterator[None]:
    before = {name: (logging.getLogger(name).level, name) for name in LIBRARIES}
    yield
    for level, name in before.values():
        library = logging.getLogger(name)
        library.handlers.clear()
        library.setLevel(level)
        library.propagate = True


def lines_of(
    *events: Event, form: str = "json", level: str = "debug", metadata: bool = False
) -> list[str]:
    stream = io.StringIO()
    redaction = Redaction()
    redaction.register_secret(SECRET)
    log = LogSettings.model_validate({"format": form, "level": level})
    observer = LogObserver(configure(log, stream, redaction), metadata=metadata)
    for event in events:
        observer.notice(event)
    return stream.getvalue().splitlines()


def parsed(*events: Event, level: str = "debug", metadata: bool = False) -> list[dict[str, object]]:
    return [json.loads(line) for line in lines_of(*events, level=level, metadata=metadata)]


def test_every_kind_of_event_is_tried_here() -> None:
    assert {type(event) for event in ONE_OF_EACH} == kinds()


@pytest.mark.parametrize("form", ["json", "console", "logfmt"])
@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: type(event).__name__)
def test_every_event_is_exactly_one_line(event: Event, form: str) -> None:
    assert len(lines_of(event, form=form)) == 1


@pytest.mark.parametrize("form", ["json", "console", "logfmt"])
@pytest.mark.parametrize("metadata", [False, True])
@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: type(event).__name__)
def test_no_secret_shows(event: Event, form: str, metadata: bool) -> None:
    (line,) = lines_of(event, form=form, metadata=metadata)
    assert CANARY not in line
    for spelling in (SECRET, json.dumps(SECRET)[1:-1], "Kanari", "vogel"):
        assert spelling not in line


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: type(event).__name__)
def test_every_line_has_time_level_and_a_dotted_name(event: Event) -> None:
    (line,) = parsed(event)
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert str(line["timestamp"]).endswith("Z")
    assert len(str(line["timestamp"])) == len("2026-01-31T08:00:00.000Z")
    assert "." in str(line["event"]) or line["event"] == "warning"


def test_the_names_of_the_lines_are_stable() -> None:
    assert {str(line["event"]) for line in parsed(*ONE_OF_EACH)} == {
        "task.accepted",
        "task.refused",
        "task.received",
        "task.rejected",
        "task.forwarded",
        "task.scheduled",
        "task.attempt.started",
        "task.attempt.finished",
        "task.retry.scheduled",
        "task.succeeded",
        "task.rolled_back",
        "task.failed",
        "task.expired",
        "task.rollback.failed",
        "task.dropped",
        "task.released",
        "task.cancelled",
        "store.failed",
        "store.mended",
        "queue.changed",
        "breaker.opened",
        "breaker.closed",
        "broker.connected",
        "broker.lost",
        "broker.blocked",
        "broker.unblocked",
        "queue.consuming",
        "queue.stopped",
        "warning",
        "config.reloaded",
        "config.refused",
        "worker.started",
        "worker.ended",
        "daemon.started",
        "daemon.first_run",
        "daemon.ready",
        "daemon.draining",
        "daemon.stopped",
    }


def test_the_line_that_ends_an_attempt_tells_what_it_met_with() -> None:
    begun = replace(ENVELOPE, last_attempt_at=ENVELOPE.due_at + 0.0025)
    (line,) = parsed(
        AttemptStarted(begun, 0.0025),
        AttemptFinished(begun, Responded(204), 0.0125),
        TaskSucceeded(ENVELOPE),
        level="info",
    )
    assert line["event"] == "task.succeeded"
    assert (line["task_id"], line["queue"], line["attempt"]) == ("task-1", "default", 2)
    assert (line["status"], line["duration_ms"], line["lag_ms"]) == (204, 12.5, 2.5)
    assert line["trace_id"] == "0af7651916cd43dd8448eb211c80319c"


def test_a_retry_tells_when_it_comes() -> None:
    (line,) = parsed(RetryScheduled(ENVELOPE, 10.0, "status"))
    assert line["level"] == "info"
    assert line["delay_s"] == 10.0
    assert line["next_at"] == "2023-11-14T22:13:30.500Z"
    assert line["status"] == 503


def test_what_is_below_the_level_is_left_out() -> None:
    assert lines_of(AttemptStarted(ENVELOPE, 0.0), DaemonReady(), level="warning") == []


def test_metadata_shows_only_when_asked_for() -> None:
    (without,) = parsed(TaskSucceeded(ROLLBACK))
    (with_it,) = parsed(TaskSucceeded(ROLLBACK), metadata=True)
    assert "metadata" not in without
    assert with_it["metadata"] == {
        "order": 7,
        "note": "see https://***@host.example/path?token=***&***",
    }


def test_a_warning_is_told_once_for_each_subject() -> None:
    lines = parsed(Warned("a", "one"), Warned("a", "two"), Warned("b", "three"))
    assert [line["text"] for line in lines] == ["one", "three"]


def test_rejected_messages_make_one_line_a_minute_that_counts_the_others() -> None:
    stream, now = io.StringIO(), [0.0]
    observer = LogObserver(configure(LogSettings(format="json"), stream), monotonic=lambda: now[0])
    bad = TaskRejected("default", "not_json", "no JSON")
    for moment in (0.0, 1.0, 59.9, 60.0, 61.0):
        now[0] = moment
        observer.notice(bad)
    observer.notice(TaskRejected("default", "too_big", "too big"))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["reason"], line.get("suppressed")) for line in lines] == [
        ("not_json", None),
        ("not_json", 2),
        ("too_big", None),
    ]


@pytest.mark.parametrize(
    "name", ["aio_pika.robust", "aiormq.connection", "uvicorn.error", "asyncio"]
)
def test_what_the_libraries_warn_about_goes_the_same_way(name: str) -> None:
    stream = io.StringIO()
    configure(LogSettings(format="json"), stream)
    library = logging.getLogger(name)
    library.info("not this")
    library.warning("lost amqp://me:%s@host/", CANARY)
    error = ValueError(f"https://me:{CANARY}@host/")
    library.error("that\nwent wrong", exc_info=error)
    lost, wrong = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (lost["event"], lost["level"], lost["text"]) == (
        "library",
        "warning",
        "lost amqp://***@host/",
    )
    assert (wrong["level"], wrong["text"]) == ("error", "that went wrong")
    assert wrong["error"] == "ValueError: https://***@host/"


def test_what_a_library_says_again_and_again_makes_one_line() -> None:
    stream = io.StringIO()
    configure(LogSettings(format="json"), stream)
    for number in range(100):
        logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
        logging.getLogger("uvicorn.error").warning("another %d", number)
    texts = [json.loads(line)["text"] for line in stream.getvalue().splitlines()]
    assert texts == ["Invalid HTTP request received.", "another 0"]


def test_seldom_news_tell_how_many_were_left_out() -> None:
    now = [0.0]
    seldom = Seldom(lambda: now[0])
    assert [seldom.suppressed("a") for _ in range(3)] == [0, None, None]
    assert seldom.suppressed("b") == 0
    now[0] = EVERY_SECONDS
    assert [seldom.suppressed("a"), seldom.suppressed("a")] == [2, None]


def test_a_library_with_a_broken_log_call_does_no_harm() -> None:
    stream = io.StringIO()
    configure(LogSettings(format="json"), stream)
    logging.getLogger("aiormq").warning("%d", "not a number")
    assert json.loads(stream.getvalue())["event"] == "library"


def test_auto_is_json_away_from_a_terminal_and_text_on_one() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    LogObserver(configure(LogSettings(), terminal)).notice(DaemonReady())
    assert "daemon.ready" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")
    (line,) = lines_of(DaemonReady(), form="auto")
    assert json.loads(line)["event"] == "daemon.ready"


def _closed_pipe() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize(
    "opened", [_closed_pipe, lambda: os.open("/dev/full", os.O_WRONLY)], ids=["closed", "full disk"]
)
def test_a_log_that_cannot_be_written_only_counts(opened: Callable[[], int]) -> None:
    with os.fdopen(opened(), "w") as stream:
        sink = Sink(stream)
        observer = LogObserver(configure(LogSettings(format="json"), sink))
        for _ in range(3):
            observer.notice(DaemonReady())
    assert sink.lost == 3


def test_a_pipe_that_nobody_reads_neither_blocks_nor_grows_without_bound() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream, os.fdopen(reading, "rb") as reader:
        sink = Sink(stream)
        for number in range(2000):
            sink.write(f"{number:0999d}")
        assert sink.lost > 0
        os.set_blocking(reader.fileno(), False)
        seen = b""
        while piece := reader.read():
            seen += piece
            sink.flush()
    numbers = [int(line) for line in seen.splitlines()]
    assert numbers == list(range(2000 - sink.lost))


def test_a_closed_stream_without_a_descriptor_only_counts() -> None:
    stream = io.StringIO()
    sink = Sink(stream)
    stream.close()
    sink.write("gone")
    assert sink.lost == 1


def test_text_that_is_no_unicode_still_makes_a_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w", encoding="utf-8") as stream:
        observer = LogObserver(configure(LogSettings(format="json"), stream))
        observer.notice(Warned("surrogate", "\ud800 alone"))
    assert "alone" in path.read_text(encoding="utf-8")
