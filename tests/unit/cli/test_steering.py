"""The commands that ask a daemon, which a stand-in plays: what they ask, print and end with."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts.ports import free_port
from tests.parts.receiver import Answer
from tests.parts.steering_api import (
    SteeringApi,
    attempt,
    destination,
    events,
    letter,
    lines,
    page,
    queue,
    refused,
    said,
    task,
)
from tests.unit.cli.conftest import Run
from webhook_runner.api.credentials import Role, token_line

FIRST = "2026-01-31 08:30:00Z"


@pytest.fixture
def api() -> Iterator[SteeringApi]:
    with SteeringApi() as started:
        yield started


def rows(output: str) -> list[list[str]]:
    return [line.split() for line in output.splitlines()]


def test_a_task_is_shown_without_what_is_not_known(run: Run, api: SteeringApi) -> None:
    api.on("GET", "tasks/a", said(task("a")))
    result = run("status", "a", "--utc", "--url", api.url)
    assert result.exit_code == 0, result.output
    assert ["state", "scheduled"] in rows(result.stdout)
    assert ["created_at", *FIRST.split()] in rows(result.stdout)
    assert ["roll_back", "http://h/undo"] in rows(result.stdout)
    assert "ended_at" not in result.stdout


def test_times_are_of_here_unless_utc_is_asked_for(
    run: Run, api: SteeringApi, local_zone: None
) -> None:
    api.on("GET", "tasks/a", said(task("a")))
    assert "2026-01-31 14:00:00+05:30" in run("status", "a", "--url", api.url).stdout


def test_json_is_one_document_with_times_as_the_api_has_them(run: Run, api: SteeringApi) -> None:
    api.on("GET", "tasks/a", said(task("a", message={"n": 1})))
    result = run("status", "a", "--message", "-o", "json", "--url", api.url)
    found = json.loads(result.stdout)
    assert found["created_at"] == "2026-01-31T08:30:00.125Z"
    assert (found["message"], found["ended_at"], found["state"]) == ({"n": 1}, None, "scheduled")
    api.on("GET", "tasks/a/attempts", page(attempt()))
    (found,) = json.loads(run("attempts", "a", "-o", "json", "--url", api.url).stdout)
    assert (found["attempt"], found["seconds"], found["response"]["headers"]) == (
        1,
        0.25,
        {"x": "y"},
    )


def test_attempts_and_tasks_are_tables(run: Run, api: SteeringApi) -> None:
    api.on("GET", "tasks/a/attempts", page(attempt(), attempt(2, error="timeout", status=None)))
    found = rows(run("attempts", "a", "--utc", "--url", api.url).stdout)
    assert found[1] == ["1", *FIRST.split(), "0.250", "responded", "503"]
    assert found[2][-1] == "timeout"
    api.on("GET", "tasks", page(task("a"), task("b")))
    result = run("tasks", "list", "--state", "failed,held", "--limit", "2", "--url", api.url)
    assert [row[0] for row in rows(result.stdout)] == ["id", "a", "b"]
    assert api.asked()[-1] == ("GET", "tasks?state=failed%2Cheld&limit=2")
    assert result.stderr == "note: --limit 2 is reached; --limit 0 lists all\n"


def test_since_may_be_a_while_ago(run: Run, api: SteeringApi) -> None:
    api.on("GET", "tasks", page())
    result = run("tasks", "list", "--since", "1h30m", "--until", "2026-01-01", "--url", api.url)
    assert result.exit_code == 0, result.output
    _, asked = api.asked()[0]
    assert "since=20" in asked
    assert "until=2026-01-01" in asked


@pytest.mark.parametrize(
    ("state", "code"), [("succeeded", 0), ("failed", 1), ("cancelled", 1), ("expired", 1)]
)
def test_the_exit_code_of_watch_is_how_the_task_ended(
    state: str, code: int, run: Run, api: SteeringApi
) -> None:
    known = {"at": "2026-01-31T08:30:00.125Z", "id": "a", "queue": "mail"}
    api.on(
        "GET",
        "tasks/a/events",
        events(
            ("task.attempt.finished", {**known, "state": "running", "attempt": 1, "status": 500}),
            (f"task.{state}", {**known, "state": state}),
        ),
    )
    result = run("watch", "a", "--utc", "--url", api.url)
    assert result.exit_code == code, result.output
    first, second = rows(result.stdout)
    assert first == [
        *FIRST.split(),
        "task.attempt.finished",
        "a",
        "mail",
        "running",
        "attempt=1",
        "status=500",
    ]
    assert second[2] == f"task.{state}"
    result = run("watch", "a", "-o", "json", "--url", api.url)
    assert [json.loads(line)["event"] for line in result.stdout.splitlines()] == [
        "task.attempt.finished",
        f"task.{state}",
    ]


def test_tail_tells_until_there_is_no_more(run: Run, api: SteeringApi) -> None:
    api.on("GET", "events", events(("task.received", {"id": "a"})), Answer(204))
    result = run("tail", "--queue", "mail", "--url", api.url)
    assert result.exit_code == 0, result.output
    assert rows(result.stdout) == [["task.received", "a"]]
    assert api.asked()[0] == ("GET", "events?queue=mail")


def test_one_task_is_cancelled(run: Run, api: SteeringApi) -> None:
    api.on("DELETE", "tasks/a", said({"id": "a", "state": "cancel_requested"}, 202))
    result = run("cancel", "a", "--force", "--url", api.url)
    assert (result.exit_code, result.stdout) == (0, "cancel requested\n")
    assert api.asked() == [("DELETE", "tasks/a?force=true")]


def test_many_are_cancelled_and_counted(run: Run, api: SteeringApi) -> None:
    gone = {"id": "c", "problem": {"status": 409, "detail": "it has succeeded"}}
    cancelled = [{"id": name, "state": "cancelled"} for name in "ab"]
    api.on("POST", "tasks/cancel", said({"results": [*cancelled, gone]}))
    result = run("cancel", "-", "--url", api.url, stdin="a\nb\n\nc\n")
    assert result.exit_code == 4
    assert rows(result.stdout) == [
        ["result", "tasks"],
        ["cancelled", "2"],
        ["ended", "already", "1"],
    ]
    assert result.stderr == "error: c: it has succeeded\n"
    result = run("cancel", "a", "b", "c", "-o", "json", "--url", api.url)
    assert [each["id"] for each in json.loads(result.stdout)] == ["a", "b", "c"]


def test_a_thousand_go_in_hundreds(run: Run, api: SteeringApi) -> None:
    api.on("POST", "tasks/cancel", said({"results": []}))
    run("cancel", "-", "--url", api.url, stdin=" ".join(map(str, range(250))))
    assert [len(json.loads(each.body)["ids"]) for each in api.requests] == [100, 100, 50]


def test_tasks_are_hurried_and_repeated(run: Run, api: SteeringApi) -> None:
    api.on("POST", "tasks/a/run", said(task("a", state="ready"), 202))
    api.on("POST", "tasks/a/replay", said({"id": "a", "run": 7, "queue": "mail"}, 202))
    assert run("run", "a", "--url", api.url).stdout == "a is ready\n"
    assert "run 7" in run("replay", "a", "--url", api.url).stdout
    assert json.loads(run("replay", "a", "-o", "json", "--url", api.url).stdout)["run"] == 7


def test_queues_are_a_table_and_each_can_be_shown(run: Run, api: SteeringApi) -> None:
    api.on("GET", "queues", page(queue("default", paused=True), queue("mail")))
    api.on("GET", "queues/mail", said(queue(changed=["rate"])))
    _, first, second = rows(run("queues", "--url", api.url).stdout)
    assert first == ["default", "paused", "3", "1", "?", "2", "0", "1.5s"]
    assert second[:2] == ["mail", "consuming"]
    shown = rows(run("queues", "show", "mail", "--url", api.url).stdout)
    assert ["rate", "unlimited", "(changed)"] in shown
    assert ["concurrency", "10"] in shown
    assert json.loads(run("queues", "-o", "json", "--url", api.url).stdout)[0]["paused"] is True


def test_a_queue_is_paused_resumed_and_limited(run: Run, api: SteeringApi) -> None:
    for path in ("queues/mail/pause", "queues/mail/resume"):
        api.on("POST", path, said(queue(paused=path.endswith("pause"))))
    api.on("PATCH", "queues/mail", said(queue()))
    api.on("GET", "queues/mail", said(queue(changed=["rate", "timeout"])))
    assert ["state", "paused"] in rows(run("pause", "mail", "--url", api.url).stdout)
    assert ["state", "consuming"] in rows(run("resume", "mail", "--url", api.url).stdout)
    options = ("--concurrency", "5", "--rate", "10/s", "--set", "timeout=2.5", "--url", api.url)
    assert run("limits", "mail", *options).exit_code == 0
    assert json.loads(api.requests[-1].body) == {"concurrency": 5, "rate": "10/s", "timeout": 2.5}
    assert run("limits", "mail", "--reset", "--url", api.url).exit_code == 0
    assert json.loads(api.requests[-1].body) == {"rate": None, "timeout": None}
    run("limits", "mail", "--url", api.url)
    assert api.asked()[-1] == ("GET", "queues/mail")


def test_destinations_are_a_table_and_what_is_open_comes_first(run: Run, api: SteeringApi) -> None:
    closed = destination("a.test:80", state="closed", until=None, failures=0)
    api.on("GET", "destinations", page(closed, destination(forced=True)))
    _, first, second = rows(run("destinations", "list", "--utc", "--url", api.url).stdout)
    assert first == ["h.test:443", "open", *FIRST.split(), "24", "20", "3", "yes"]
    assert second == ["a.test:80", "closed", "24", "0", "3"]
    assert len(rows(run("destinations", "--url", api.url).stdout)) == 3
    assert json.loads(run("destinations", "-o", "json", "--url", api.url).stdout)[1]["held"] == 3
    run("destinations", "list", "--state", "open", "--url", api.url)
    assert api.asked()[-1] == ("GET", "destinations?state=open&limit=1000")


def test_a_destination_is_opened_and_closed(run: Run, api: SteeringApi) -> None:
    for word, state in (("open", "open"), ("close", "closed")):
        path = f"destinations/h.test%3A443/{word}"
        api.on("POST", path, said(destination(state=state, until=None)))
        shown = run("destinations", word, "h.test:443", "--url", api.url)
        assert rows(shown.stdout)[1][:2] == ["h.test:443", state], shown.output
        as_json = run("destinations", word, "h.test:443", "-o", "json", "--url", api.url)
        assert json.loads(as_json.stdout)["state"] == state
    run("destinations", "close", "h.test:443", "--keep", "--url", api.url)
    assert api.asked()[-1] == ("POST", "destinations/h.test%3A443/close?keep=true")


def test_a_name_that_is_no_destination_is_told(run: Run, api: SteeringApi) -> None:
    api.on("POST", "destinations/h.test/open", refused(422, "write HOST:PORT"))
    result = run("destinations", "open", "h.test", "--url", api.url)
    assert result.exit_code == 2
    assert "write HOST:PORT" in result.stderr


def test_what_cannot_be_undone_needs_yes_where_nobody_can_be_asked(
    run: Run, api: SteeringApi
) -> None:
    api.on("GET", "queues/mail", said(queue()))
    api.on("POST", "queues/mail/purge", said({"ready": 3, "scheduled": 9}))
    result = run("purge", "mail", "--scheduled", "--url", api.url)
    assert result.exit_code == 2
    assert "throw away 3 ready and an unknown number of scheduled tasks of mail" in result.stderr
    assert "hint: give --yes" in result.stderr
    result = run("purge", "mail", "--scheduled", "--yes", "--url", api.url)
    assert result.stdout == "threw away 3 ready and 9 scheduled tasks\n"
    assert [method for method, _ in api.asked()] == ["GET", "POST"]


@pytest.mark.parametrize("word", ["dead", "invalid"])
def test_letters_are_listed_grouped_and_shown(word: str, run: Run, api: SteeringApi) -> None:
    late = letter("l3", at="2026-02-01T00:00:00Z", last_status=None, last_error="timeout")
    api.on("GET", f"queues/mail/{word}", page(letter("l1"), letter("l2"), late))
    api.on("GET", f"queues/mail/{word}/l1", said(letter("l1", message={"url": "/x"}, summary="s")))
    listed = rows(run(word, "list", "mail", "--reason", "status", "--utc", "--url", api.url).stdout)
    assert [row[0] for row in listed] == ["letter", "l1", "l2", "l3"]
    assert api.asked()[0] == ("GET", f"queues/mail/{word}?reason=status&limit=100")
    grouped = rows(run(word, "list", "mail", "--group", "--utc", "--url", api.url).stdout)
    assert grouped[1][:3] == ["status", "500", "2"]
    assert grouped[2][:3] == ["status", "timeout", "1"]
    shown = run(word, "show", "mail", "l1", "--url", api.url).stdout
    assert '"url": "/x"' in shown
    assert ["last_status", "500"] in rows(shown)


def test_letters_are_exported_as_they_were_written(run: Run, api: SteeringApi) -> None:
    body = b'{"letter":"l1","message":{"n": 1.0}}\n'
    api.on("GET", "queues/mail/dead/export", Answer(200, {}, body))
    assert run("dead", "export", "mail", "--url", api.url).stdout_bytes == body


def test_letters_are_dropped_after_a_question(run: Run, api: SteeringApi) -> None:
    api.on("GET", "queues/mail/dead", page(letter("l1"), letter("l2")))
    api.on("DELETE", "queues/mail/dead", said({"dropped": 2}))
    assert run("dead", "drop", "mail", "--url", api.url).exit_code == 2
    result = run("dead", "drop", "mail", "--status", "500", "--url", api.url)
    assert result.exit_code == 2
    assert "error: delete 2 of mail for good: not done without" in result.stderr
    result = run("dead", "drop", "mail", "--all", "--yes", "--url", api.url)
    assert result.stdout == "dropped 2\n"
    assert api.asked()[-1] == ("DELETE", "queues/mail/dead?all=true")


def test_letters_are_replayed_and_failures_told(run: Run, api: SteeringApi, tmp_path: Path) -> None:
    api.on(
        "POST",
        "queues/mail/dead/replay",
        lines(
            {"letter": "l1", "id": "a", "run": 9},
            {"letter": "l2", "id": "b", "error": "no such queue"},
            {"replayed": 1, "failed": 1, "matched": 2, "dry_run": False},
        ),
    )
    edit = tmp_path / "edit.json"
    edit.write_text('{"url":  "/new"}')
    options = ("--id", "a", "--id", "b", "--rate", "10/s", "--edit", f"@{edit}", "--yes")
    result = run("dead", "replay", "mail", *options, "--url", api.url)
    assert result.exit_code == 1
    assert result.stdout == "1 of 2 replayed, 1 failed\n"
    assert result.stderr == "error: l2 b: no such queue\n"
    assert json.loads(api.requests[0].body) == {
        "id": ["a", "b"],
        "dry_run": False,
        "rate": "10/s",
        "edit": {"url": "/new"},
    }
    result = run("dead", "replay", "mail", "--all", "--dry-run", "-o", "json", "--url", api.url)
    assert [json.loads(line).get("letter") for line in result.stdout.splitlines()] == [
        "l1",
        "l2",
        None,
    ]


def test_the_token_comes_from_a_file_or_the_environment(
    run: Run, api: SteeringApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.on("GET", "queues", page())
    file = tmp_path / "token"
    file.write_text("of-file\n")
    monkeypatch.setenv("WEBHOOK_RUNNER_TOKEN", "of-environment")
    listen = f'[api]\nlisten = "127.0.0.1:{api.receiver.port}"\n'
    assert run("queues", config_text=listen).exit_code == 0
    assert run("queues", "--token-file", str(file)).exit_code == 0
    assert run("queues", "--token", "given").exit_code == 0
    assert [each.header("Authorization") for each in api.requests] == [
        "Bearer of-environment",
        "Bearer of-file",
        "Bearer given",
    ]
    assert run("queues", "--token-file", str(tmp_path / "none")).exit_code == 2


def test_who_may_read_the_file_of_a_token_needs_to_name_none(
    run: Run, api: SteeringApi, tmp_path: Path
) -> None:
    api.on("GET", "queues", page())
    (tmp_path / "looks").write_text("of-the-board")
    (tmp_path / "does").write_text("of-the-operator\n")
    tokens = "".join(
        f"[[api.tokens]]\nname = '{name}'\nrole = '{role}'\nfile = '{tmp_path / name}'\n"
        for name, role in (("looks", "read"), ("does", "full"))
    )
    listen = f'[api]\nlisten = "127.0.0.1:{api.receiver.port}"\n'
    assert run("queues", config_text=listen + tokens).exit_code == 0
    run("queues", "--url", api.url)
    assert [each.header("Authorization") for each in api.requests] == [
        "Bearer of-the-operator",
        None,
    ]


@pytest.mark.parametrize(
    ("status", "code", "hint"),
    [
        (404, 3, ""),
        (409, 4, ""),
        (422, 2, ""),
        (501, 1, "hint: a daemon with [store] url"),
        (401, 1, "hint: give one by --token-file"),
        (503, 69, "hint: --url asks another daemon"),
        (500, 1, ""),
    ],
)
def test_each_refusal_has_its_exit_code(
    status: int, code: int, hint: str, run: Run, api: SteeringApi
) -> None:
    api.on("POST", "tasks/a/run", refused(status, "says why"))
    result = run("run", "a", "-o", "json", "--url", api.url)
    assert (result.exit_code, result.stdout) == (code, "")
    assert "says why" in result.stderr
    assert hint in result.stderr


def test_without_a_daemon_every_command_ends_with_69(run: Run) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    for arguments in (("status", "a"), ("tail",), ("queues",), ("dead", "export", "mail")):
        result = run(*arguments, "--url", url)
        assert result.exit_code == 69, arguments
        assert f"error: no daemon answers at {url}" in result.stderr


def test_a_token_is_made_with_the_line_that_lets_it_in(run: Run) -> None:
    result = run("token", "--name", "grafana", "--role", "read")
    assert len(result.stdout.strip()) == 43
    line = token_line("grafana", Role.READ, result.stdout.strip())
    assert f"tokens = [{line}]" in result.stderr
    assert result.stdout.strip() not in result.stderr
    assert run("token").stdout != run("token").stdout
    assert run("token", "--name", "a b").exit_code == 2


def complete(words: str) -> dict[str, str]:
    count = len(words.split(" "))
    return {
        "_WEBHOOK_RUNNER_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(count - 1),
    }


def test_names_of_queues_are_completed_and_nothing_without_a_daemon(
    run: Run, api: SteeringApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.on("GET", "queues", page(queue("mail"), queue("main"), queue("default")))
    for name, value in complete(f"webhook-runner pause --url {api.url} ma").items():
        monkeypatch.setenv(name, value)
    assert run().stdout.split() == ["mail", "main"]
    gone = f"http://127.0.0.1:{free_port()}"
    for name, value in complete(f"webhook-runner queues show --url {gone} ma").items():
        monkeypatch.setenv(name, value)
    assert run().stdout.split() == []
