# ruff: noqa: E501 - the lines stand here as they are printed
"""An embedded server: its form, its place without a file, its directory, what it has no use for."""

from pathlib import Path

import pytest

from tests.unit.config.conftest import Load, Problems
from webhook_runner.config import loader
from webhook_runner.config.describe import describe
from webhook_runner.config.first_run import first_run
from webhook_runner.config.loader import Loaded, load
from webhook_runner.errors import ConfigError

FILE = 'write "embedded:/var/lib/webhook-runner/queue.db"'
ROWS = [
    ('server = "embedded:queue.db"', f"t.ini:1: server: the path must be absolute; {FILE}"),
    ('server = "embedded:"', f"t.ini:1: server: the path must be absolute; {FILE}"),
    ('server = "embedded:///x/q.db"', f"t.ini:1: server: one slash is enough; {FILE}"),
    (
        'server = "embedded:/x/q.db?mode=ro"',
        f't.ini:1: server: no "?", "#" or control characters in the path; {FILE}',
    ),
    (
        'server = "embedded:/x/"',
        f"t.ini:1: server: the path of a file does not end in a slash; {FILE}",
    ),
    (
        'server = ["amqp://h/", "embedded:/x/q.db"]',
        't.ini:1: server: an embedded broker stands alone, not in a list: server = "embedded:/path/queue.db"',
    ),
]


@pytest.fixture(autouse=True)
def _no_usual_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "USUAL_PATH", tmp_path / "etc/taskqueue.ini")


@pytest.mark.parametrize(("text", "line"), ROWS)
def test_a_wrong_embedded_server_is_told_with_its_remedy(
    text: str, line: str, problems_of: Problems
) -> None:
    assert problems_of(text) == [line]


@pytest.mark.parametrize("place", ["/x/y/q.db", ":memory:", "/a b/q%20.db"])
def test_an_embedded_server_names_a_file(place: str, load_text: Load) -> None:
    assert load_text(f'server = "embedded:{place}"').settings.queue_file == place


def test_a_list_or_an_amqp_url_names_no_file(load_text: Load) -> None:
    for server in ('"amqp://h/"', '["amqp://h/", "amqp://g/"]'):
        assert load_text(f"server = {server}").settings.queue_file == ""


def test_a_file_without_a_server_means_rabbitmq(load_text: Load, tmp_path: Path) -> None:
    loaded = load_text("strict = true", {"HOME": str(tmp_path)})
    assert loaded.settings.queue_file == ""
    assert loaded.settings.servers == ("amqp://guest:guest@localhost:5672/",)
    assert first_run(loaded) is None


@pytest.mark.parametrize(
    ("environ", "file"),
    [
        ({"HOME": "/h"}, "/h/.local/state/webhook-runner/queue.db"),
        ({"HOME": "/h", "XDG_STATE_HOME": "/x"}, "/x/webhook-runner/queue.db"),
        ({"HOME": "/h", "XDG_STATE_HOME": "x"}, "/h/.local/state/webhook-runner/queue.db"),
        ({"XDG_STATE_HOME": "/x", "STATE_DIRECTORY": "/s"}, "/s/queue.db"),
        ({"STATE_DIRECTORY": "/s:/t"}, "/s/queue.db"),
    ],
)
def test_without_a_file_the_broker_is_embedded_in_the_state_directory(
    environ: dict[str, str], file: str
) -> None:
    loaded = load(None, environ)
    assert loaded.settings.queue_file == file
    assert loaded.path is None
    assert loaded.warnings == ()
    assert loaded.origins.of(("server",)) == "default: no configuration file"
    assert f'server = "embedded:{file}"' in describe(loaded)


def test_a_server_by_variable_goes_before_the_embedded_one(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "WEBHOOK_RUNNER_SERVER": "amqp://h/"}
    loaded = load(None, environ, to_serve=True)
    assert loaded.settings.servers == ("amqp://h/",)
    assert loaded.state is None
    assert loaded.warnings == (
        f"{tmp_path}/etc/taskqueue.ini: no such file; every setting has its default",
    )


def test_without_any_place_for_the_file_it_is_told_how_to_name_one() -> None:
    with pytest.raises(ConfigError, match="WEBHOOK_RUNNER_SERVER=embedded:/path"):
        load(None, {"STATE_DIRECTORY": "", "HOME": ""})


def problems_to_serve(server: str, directory: Path) -> list[str]:
    (directory / "t.ini").write_text(f'server = "embedded:{server}"')
    with pytest.raises(ConfigError) as caught:
        load(directory / "t.ini", {}, to_serve=True)
    return [line.replace(f"{directory}", "D") for line in caught.value.problems]


def test_a_directory_that_is_missing_is_told_before_the_start(
    tmp_path: Path, load_text: Load
) -> None:
    assert problems_to_serve(f"{tmp_path}/no/q.db", tmp_path) == [
        "D/t.ini:1: server: D/no: no such directory; make it for the user that runs the daemon: install -d -m 0700 D/no"
    ]
    # Who only sends need not be able to write there.
    assert load_text(f'server = "embedded:{tmp_path}/no/q.db"').settings.queue_file


def test_a_directory_in_place_of_the_file_is_told(tmp_path: Path) -> None:
    assert problems_to_serve(str(tmp_path), tmp_path) == [
        "D/t.ini:1: server: D is a directory; name a file in it"
    ]


def test_a_file_in_place_of_the_directory_is_told(tmp_path: Path) -> None:
    assert problems_to_serve(f"{tmp_path}/t.ini/q.db", tmp_path) == [
        "D/t.ini:1: server: D/t.ini is no directory"
    ]


def test_a_place_where_nobody_can_write_is_told(tmp_path: Path) -> None:
    (line,) = problems_to_serve("/proc/q.db", tmp_path)
    assert line.startswith("D/t.ini:1: server: /proc")


def test_the_state_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    loaded = load(None, {"HOME": str(tmp_path)}, to_serve=True)
    assert loaded.state is not None
    assert not (tmp_path / ".local").exists()
    loaded.state.make()
    loaded.state.make()
    for level in (".local", ".local/state", ".local/state/webhook-runner"):
        assert (tmp_path / level).stat().st_mode & 0o777 == 0o700


def test_a_home_that_does_not_exist_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{tmp_path}/nobody: no such directory"):
        load(None, {"HOME": f"{tmp_path}/nobody"}, to_serve=True)


def test_what_only_rabbitmq_uses_is_warned_about(load_text: Load) -> None:
    text = """
server = "embedded:/x/q.db"
[broker]
password_file = "/nowhere"
auth = "external"
heartbeat = 10
reconnect_min_seconds = 90
[performance]
amqp = "aio-pika"
"""
    unused = [
        *(f"[broker] {key}" for key in ("password_file", "auth", "reconnect_min_seconds")),
        "[performance] amqp",
    ]
    assert [line.partition(": ")[2] for line in load_text(text).warnings] == [
        f"{key}: not used: it is for RabbitMQ, and server is embedded" for key in unused
    ]


def test_no_way_in_and_no_file_are_warned_about(load_text: Load) -> None:
    text = 'server = "embedded::memory:"\n[api]\nlisten = ""'
    assert [line.partition(": ")[2] for line in load_text(text).warnings] == [
        "server: tasks are kept in memory only and end with the daemon",
        '[api] listen: "" leaves no way in: with an embedded server tasks come by HTTP only',
    ]


def on_defaults(listen: str | None = None) -> Loaded:
    variable = {} if listen is None else {"WEBHOOK_RUNNER_API__LISTEN": listen}
    tokens = f'[{{name = "ops", hash = "sha256:{"0" * 64}"}}]'
    return load(None, {"HOME": "/h", "WEBHOOK_RUNNER_API__TOKENS": tokens, **variable})


def test_who_starts_without_a_file_is_told_what_to_do() -> None:
    told = first_run(on_defaults())
    assert told is not None
    assert told.tasks == "http://127.0.0.1:7676/v1/tasks"
    for said in (told.queue_file, told.tasks, told.trial, told.onward):
        assert said in told.text()
    assert '"http://127.0.0.1:7676/livez"' in told.trial


@pytest.mark.parametrize(
    ("listen", "tasks"),
    [
        ("0.0.0.0:80", "http://127.0.0.1:80/v1/tasks"),
        ("[::]:80", "http://[::1]:80/v1/tasks"),
        ("localhost:80", "http://localhost:80/v1/tasks"),
        ("127.0.0.1:0", ""),
        ("", ""),
    ],
)
def test_the_address_that_is_told_can_be_called(listen: str, tasks: str) -> None:
    told = first_run(on_defaults(listen))
    assert told is not None
    assert told.tasks == tasks
    assert ("Try it" in told.text()) == bool(tasks)
