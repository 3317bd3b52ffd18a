"""`check-config` and `config`."""

import json
from pathlib import Path

import pytest
import tomli

from tests.unit.cli.conftest import Run
from webhook_runner.config import loader
from webhook_runner.config.loader import load
from webhook_runner.config.sample import sample
from webhook_runner.settings import Settings


def test_a_good_configuration_is_told_in_one_line(run: Run) -> None:
    result = run("check-config", config_text="[queues.a]\n[queues.b]\n")
    assert result.exit_code == 0
    assert result.output.endswith("taskqueue.ini: ok, 2 queues\n")


def test_warnings_go_to_stderr(run: Run) -> None:
    result = run("check-config", config_text="max_total = 1")
    assert result.exit_code == 0
    assert result.stdout.count("\n") == 1
    assert result.stderr.startswith("warning: ")


def test_print_shows_toml_with_secrets_masked(run: Run) -> None:
    text = 'server = "amqp://u:hunter2@h/"\n[queues.a]\nheaders = {X = "zebra"}\n'
    result = run("check-config", "--print", config_text=text)
    assert result.exit_code == 0
    shown = tomli.loads(result.stdout)
    assert shown["server"] == "amqp://u:***@h/"
    assert shown["queues"]["a"]["headers"] == {"X": "***"}
    assert "taskqueue.ini:1" in result.stdout


def test_json_tells_settings_and_origins(run: Run) -> None:
    result = run("check-config", "--json", config_text="max_total = 5")
    found = json.loads(result.stdout)
    assert found["ok"] is True
    assert found["settings"]["max_total"] == 5
    assert found["origins"]["max_total"].endswith("taskqueue.ini:1")
    assert found["origins"]["queues.default.rate"] == "default"


def test_json_tells_all_problems(run: Run) -> None:
    result = run("check-config", "--json", config_text="max_total = 0\nstrict = 1")
    assert result.exit_code == 2
    found = json.loads(result.stdout)
    assert found["ok"] is False
    assert len(found["problems"]) == 2


def test_an_old_file_is_sent_to_the_converter(run: Run) -> None:
    result = run("check-config", config_text="[Queue1]\nrate = 5/s\n")
    assert result.exit_code == 2
    assert 'in TOML: rate = "5/s"' in result.stderr
    assert "webhook-runner config convert /" in result.stderr


def test_convert_reads_a_file_or_stdin(run: Run, tmp_path: Path) -> None:
    old = tmp_path / "old.ini"
    old.write_text("server = amqp://h\n[Queue1]\nrate = 5/s\n")
    from_file = run("config", "convert", str(old))
    from_stdin = run("config", "convert", "-", stdin=old.read_text())
    assert from_file.exit_code == 0
    assert from_file.stdout == from_stdin.stdout
    new = tmp_path / "new.ini"
    new.write_text(from_file.stdout)
    assert load(new, {}).settings.queues["Queue1"].rate == 5


def test_convert_tells_what_it_cannot_read(run: Run, tmp_path: Path) -> None:
    assert run("config", "convert", str(tmp_path / "no.ini")).exit_code == 1
    result = run("config", "convert", "-", stdin="[a b]\nhello\n")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "error: line 1: 'a b' can be no queue name here" in result.stderr
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff")
    assert run("config", "convert", str(binary)).exit_code == 1


def test_the_example_is_the_sample(run: Run, tmp_path: Path) -> None:
    result = run("config", "example")
    assert result.stdout == sample()
    file = tmp_path / "t.ini"
    file.write_text(result.stdout)
    assert load(file, {}).settings == Settings()


def test_without_a_file_it_is_told_where_tasks_go_and_how_to_go_on(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "USUAL_PATH", tmp_path / "etc.ini")
    monkeypatch.setenv("TASKQUEUE_CONFIG_FILE", "")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    result = run("check-config")
    assert result.exit_code == 0
    assert f"{tmp_path}/state/webhook-runner/queue.db" in result.stdout
    assert "http://127.0.0.1:7676/v1/tasks" in result.stdout
    assert "webhook-runner config example > taskqueue.ini" in result.stdout
    assert result.stdout.endswith("defaults: ok, 1 queue\n")
    assert result.stderr == ""
    assert not (tmp_path / "state").exists()


def test_the_place_of_the_queue_file_is_checked(run: Run, tmp_path: Path) -> None:
    text = f'server = "embedded:{tmp_path}/no/queue.db"'
    assert "no: no such directory" in run("check-config", config_text=text).stderr
    assert run("simulate", config_text=text).exit_code == 0


def test_an_embedded_server_needs_no_topology(run: Run) -> None:
    result = run("topology", config_text='server = "embedded:/x/queue.db"')
    assert result.exit_code == 2
    assert "error: the server is embedded: nothing has to be made in RabbitMQ" in result.stderr
