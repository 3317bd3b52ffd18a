# ruff: noqa: E501 - the lines stand here as they are printed
"""Which file, which precedence, which origin; secrets by reference; warnings."""

from pathlib import Path

import pytest

from tests.unit.config.conftest import Load, Problems
from webhook_runner.config import loader
from webhook_runner.config.loader import load
from webhook_runner.errors import ConfigError
from webhook_runner.settings import Settings


def test_without_any_file_everything_but_the_server_is_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "USUAL_PATH", tmp_path / "taskqueue.ini")
    loaded = load(None, {"HOME": "/h"})
    embedded = "embedded:/h/.local/state/webhook-runner/queue.db"
    assert loaded.settings == Settings(server=embedded)
    assert loaded.path is None


def test_the_usual_file_is_read_when_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "taskqueue.ini"
    file.write_text("max_total = 7\n")
    monkeypatch.setattr(loader, "USUAL_PATH", file)
    assert load(None, {}).settings.max_total == 7
    assert load(None, {}).path == file


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    missing = tmp_path / "no.ini"
    for path, environ in ((missing, {}), (None, {"TASKQUEUE_CONFIG_FILE": str(missing)})):
        with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
            load(path, environ)


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="it is a directory; name the file in it"):
        load(tmp_path, {})


def test_the_flag_goes_before_the_variable(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("max_total = 1")
    (tmp_path / "b").write_text("max_total = 2")
    environ = {"TASKQUEUE_CONFIG_FILE": str(tmp_path / "b")}
    assert load(tmp_path / "a", environ).settings.max_total == 1
    assert load(None, environ).settings.max_total == 2


def test_an_empty_file_means_defaults(load_text: Load) -> None:
    assert load_text("").settings == Settings()


def test_flags_override_variables_override_the_file(load_text: Load) -> None:
    text = '[log]\nlevel = "error"\nformat = "json"\nmetadata = true'
    environ = {"WEBHOOK_RUNNER_LOG__LEVEL": "warning", "WEBHOOK_RUNNER_LOG__FORMAT": "logfmt"}
    loaded = load_text(text, environ, overrides={"log.level": "debug", "log.format": None})
    log = loaded.settings.log
    assert (log.level, log.format, log.metadata) == ("debug", "logfmt", True)
    origin = loaded.origins.of
    assert origin(("log", "level")) == "--log-level"
    assert origin(("log", "format")) == "WEBHOOK_RUNNER_LOG__FORMAT"
    assert origin(("log", "metadata")).endswith("t.ini:4")
    assert origin(("api", "listen")) == "default"


@pytest.mark.parametrize(
    ("name", "text", "path", "value"),
    [
        ("SERVER", "amqp://h/", ("server",), "amqp://h/"),
        ("SERVER", '["amqp://a/", "amqp://b/"]', ("server",), ("amqp://a/", "amqp://b/")),
        ("BROKER__PREFIX", "2026", ("broker", "prefix"), "2026"),
        ("BROKER__PREFIX", '"x"', ("broker", "prefix"), "x"),
        ("BASE_URL", "", ("base_url",), ""),
        ("MAX_TOTAL", "5", ("max_total",), 5),
        ("STRICT", "true", ("strict",), True),
        ("API__LISTEN", "[::1]:80", ("api", "listen"), "[::1]:80"),
        ("EGRESS__ALLOW", '["10.0.0.0/8"]', ("egress", "allow"), ("10.0.0.0/8",)),
    ],
)
def test_a_variable_sets_a_key(
    name: str, text: str, path: tuple[str, ...], value: object, load_text: Load
) -> None:
    found: object = load_text("", {f"WEBHOOK_RUNNER_{name}": text}).settings
    for key in path:
        found = getattr(found, key)
    assert found == value


def test_a_variable_finds_its_queue_whatever_its_spelling(load_text: Load) -> None:
    text = '[queues.Mail-out]\nrate = "1/s"\n[queues."a.b"]'
    environ = {
        "WEBHOOK_RUNNER_QUEUES__MAIL_OUT__CONCURRENCY": "5",
        "WEBHOOK_RUNNER_QUEUES__A_B__RATE": "2/s",
        "WEBHOOK_RUNNER_QUEUES__NEW__TIMEOUT": "7",
    }
    queues = load_text(text, environ).settings.queues
    assert set(queues) == {"Mail-out", "a.b", "new"}
    assert (queues["Mail-out"].concurrency, queues["Mail-out"].rate) == (5, 1)
    assert queues["a.b"].rate == 2
    assert queues["new"].timeout == 7


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("SERVR", "no setting has this name; did you mean WEBHOOK_RUNNER_SERVER?"),
        ("BROKER_PREFIX", "no setting has this name; did you mean WEBHOOK_RUNNER_BROKER__PREFIX?"),
        ("QUEUES__DEFAULT__CONCURENCY", "no setting has this name; did you mean WEBHOOK_RUNNER_QUEUES__DEFAULT__CONCURRENCY?"),
        ("", "no setting has this name; check-config --print shows every setting"),
        ("QUEUES__", "no setting has this name; did you mean WEBHOOK_RUNNER_QUEUES?"),
        ("SERVER__X", "no setting has this name; did you mean WEBHOOK_RUNNER_SERVER?"),
    ],
)  # fmt: skip
def test_an_unknown_variable_is_an_error(name: str, line: str, problems_of: Problems) -> None:
    assert problems_of("", {f"WEBHOOK_RUNNER_{name}": "1"}) == [f"WEBHOOK_RUNNER_{name}: {line}"]


def test_a_bad_value_in_a_variable_is_told_by_its_name(problems_of: Problems) -> None:
    (line,) = problems_of("", {"WEBHOOK_RUNNER_QUEUES__DEFAULT__CONCURRENCY": "ten"})
    assert line == (
        "WEBHOOK_RUNNER_QUEUES__DEFAULT__CONCURRENCY: [queues.default] concurrency:"
        ' "ten": write a whole number from 1 to 10000'
    )


def test_a_variable_cannot_smuggle_in_other_keys(problems_of: Problems) -> None:
    assert "max_total" in problems_of("", {"WEBHOOK_RUNNER_MAX_TOTAL": "5\nstrict = true"})[0]


def test_variables_of_the_tests_are_no_settings(load_text: Load) -> None:
    environ = {"WEBHOOK_RUNNER_TEST_AMQP_URL": "x", "WEBHOOK_RUNNER_FAILPOINTS": "y", "OTHER": "z"}
    assert load_text("", environ).settings == Settings()


def test_header_values_come_from_files_and_variables(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("Bearer abc\n")
    text = (
        f'[queues.a]\nheaders = {{Authorization = {{file = "{tmp_path}/token"}},'
        ' X-Key = {env = "KEY"}, X-Team = "t"}'
    )
    loaded = load_text(text, {"KEY": "k"})
    assert loaded.settings.queues["a"].headers == {
        "Authorization": "Bearer abc",
        "X-Key": "k",
        "X-Team": "t",
    }
    assert loaded.origins.of(("queues", "a", "headers", "X-Key")).endswith("t.ini:2 (variable KEY)")


def test_a_header_from_a_file_obeys_the_rules_of_headers(
    problems_of: Problems, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("two\nlines\n")
    (line,) = problems_of(f'[queues.a.headers]\nX = {{file = "{tmp_path}/token"}}')
    assert "has a value with a control" in line


def test_files_may_lie_in_the_credentials_directory(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("secret")
    (tmp_path / "pw").chmod(0o600)
    text = '[broker]\npassword_file = "${CREDENTIALS_DIRECTORY}/pw"'
    loaded = load_text(text, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert loaded.settings.broker.password_file == f"{tmp_path}/pw"
    assert loaded.warnings == ()


def test_a_password_file_that_everybody_can_read_is_warned_about(
    load_text: Load, tmp_path: Path
) -> None:
    (tmp_path / "pw").write_text("secret")
    (tmp_path / "pw").chmod(0o644)
    (line,) = load_text(f'[broker]\npassword_file = "{tmp_path}/pw"').warnings
    assert line.endswith(f"can be read by everybody; chmod 0640 {tmp_path}/pw")


def test_an_empty_password_file_is_an_error(problems_of: Problems, tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("\n")
    (line,) = problems_of(f'[broker]\npassword_file = "{tmp_path}/pw"')
    assert line.endswith("pw is empty")


def test_what_is_odd_but_works_is_warned_about(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("pem")
    text = f'max_total = 5\n[broker]\nca_file = "{tmp_path}/ca"\n'
    text += "[queues.a]\nconcurrency = 6\nper_host_concurrency = 7"
    assert [line.split(": ", 2)[2] for line in load_text(text).warnings] == [
        "7 is above concurrency = 6, which limits it",
        "6 is above max_total = 5, which limits it",
        "not used: no server is amqps://",
    ]
