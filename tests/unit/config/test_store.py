# ruff: noqa: E501 - the lines stand here as they are printed
"""The store: which one goes with a broker, what a URL may be, where its password stands."""

import json
from pathlib import Path

import pytest

from tests.unit.config.conftest import Load, Problems
from webhook_runner.config.describe import as_json, describe
from webhook_runner.config.first_run import first_run
from webhook_runner.config.loader import load
from webhook_runner.config.secrets import password_in, store_address
from webhook_runner.errors import ConfigError

Q = "[queues.a]\n"
FILE = 'write "sqlite:/var/lib/webhook-runner/state.db"'
DATABASE = '"postgresql://user:password@host:5432/database"'
CODED = "with : / ? # @ in the user or password percent-encoded"
ROWS = [
    ('url = "state.db"', f'{FILE}, {DATABASE}, "none" or ""'),
    ('url = "sqlite:state.db"', f"the path must be absolute; {FILE}"),
    ('url = "sqlite:///x/state.db"', f"one slash is enough; {FILE}"),
    ('url = "sqlite:/x/"', f"the path of a file does not end in a slash; {FILE}"),
    (
        'url = "postgresql:///database"',
        f'no host; write {DATABASE}, or "postgresql:///database?host=/var/run/postgresql" for a socket',
    ),
    ('url = "postgresql://u:p/w@h/d"', f"'u:p' is no host; write {DATABASE}, {CODED}"),
    ('url = "postgresql://u:p@w@h/d"', f"write {DATABASE}, {CODED}"),
    ('url = "postgresql://h:99999/d"', f"'h:99999' is no host; write {DATABASE}, {CODED}"),
    (
        'url = "postgresql://h/d?password=x"',
        "no password after the question mark; write it before the host, or password_file",
    ),
    (
        'url = "postgresql://u:100%@h/d"',
        'a "%" that encodes nothing; write %25 for the sign itself',
    ),
]


@pytest.mark.parametrize(("text", "said"), ROWS)
def test_a_url_that_is_none_is_told_with_its_remedy(
    text: str, said: str, problems_of: Problems
) -> None:
    assert problems_of(f"[store]\n{text}") == [f"t.ini:2: [store] url: {said}"]


def test_a_url_of_another_type_is_not_shown(problems_of: Problems) -> None:
    (line,) = problems_of("[store]\nurl = 5")
    assert line.startswith("t.ini:2: [store] url: a whole number: write a string such as")


@pytest.mark.parametrize(
    "url",
    [
        *("none", "sqlite:/x/state.db", "sqlite::memory:", "postgresql://h/d", "postgres://u:p@h"),
        *("postgresql://u:p@h1:5432,h2:5433/d?target_session_attrs=read-write", "postgresql://[::1]/d"),
        *("postgresql:///d?host=/var/run/postgresql", "postgresql://u@%2Fvar%2Frun/d"),
        "postgresql:///?service=webhooks",
    ],
)  # fmt: skip
def test_a_url_says_which_store(url: str, load_text: Load) -> None:
    assert load_text(f'[store]\nurl = "{url}"').settings.store_url == url


@pytest.mark.parametrize(
    ("server", "url"),
    [
        ("embedded:/x/queue.db", "sqlite:/x/state.db"),
        ("embedded:/x/mail.db", "sqlite:/x/mail.state.db"),
        ("embedded:/x/state.db", "sqlite:/x/state.state.db"),
        ("embedded::memory:", "sqlite::memory:"),
        ("amqp://h/", "none"),
    ],
)
def test_without_a_url_the_store_goes_with_the_broker(
    server: str, url: str, load_text: Load
) -> None:
    assert load_text(f'server = "{server}"').settings.store_url == url


@pytest.mark.parametrize("suffix", ["", "-wal", ".lock"])
def test_the_queue_file_is_not_the_state_file(suffix: str, problems_of: Problems) -> None:
    text = f'server = "embedded:/x/q.db"\n[store]\nurl = "sqlite:/x/q.db{suffix}"'
    assert problems_of(text) == [
        f"t.ini:3: [store] url: /x/q.db{suffix} is of the queue file; name another"
    ]


def test_a_queue_that_refuses_duplicates_needs_a_store(
    problems_of: Problems, load_text: Load
) -> None:
    said = '[queues.a] dedup: needs a store: [store] url = "sqlite:/path/state.db" for one daemon, "postgresql://..." for many'
    assert problems_of(f"{Q}dedup = true") == [f"t.ini:2: {said}"]
    assert problems_of(f'[store]\nurl = "none"\n{Q}dedup = true') == [f"t.ini:4: {said}"]
    assert load_text(f'server = "embedded:/x/q.db"\n{Q}dedup = true').warnings == ()


def test_a_directory_for_the_state_file_that_is_missing_is_told_before_the_start(
    tmp_path: Path,
) -> None:
    file = tmp_path / "t.ini"
    file.write_text(f'[store]\nurl = "sqlite:{tmp_path}/no/state.db"')
    with pytest.raises(ConfigError) as caught:
        load(file, {}, to_serve=True)
    (line,) = caught.value.problems
    assert line.startswith(f"{file}:2: [store] url: {tmp_path}/no: no such directory; make it")


def test_one_directory_that_is_missing_is_told_once(tmp_path: Path) -> None:
    file = tmp_path / "t.ini"
    file.write_text(f'server = "embedded:{tmp_path}/no/queue.db"')
    with pytest.raises(ConfigError) as caught:
        load(file, {}, to_serve=True)
    assert len(caught.value.problems) == 1


def test_who_starts_without_a_file_is_told_where_the_state_lies() -> None:
    told = first_run(load(None, {"HOME": "/h"}))
    assert told is not None
    assert told.state_file == "/h/.local/state/webhook-runner/state.db"
    assert told.state_file in told.text()
    told = first_run(load(None, {"HOME": "/h", "WEBHOOK_RUNNER_STORE__URL": "none"}))
    assert told is not None
    assert "state.db" not in told.text()


def test_the_password_of_a_url_is_masked(load_text: Load) -> None:
    loaded = load_text('[store]\nurl = "postgresql://app:hunter2@h1,h2:5433/d"')
    for text in (describe(loaded), json.dumps(as_json(loaded))):
        assert "hunter2" not in text
        assert "postgresql://app:***@h1,h2:5433/d" in text
    assert password_in(loaded.settings.store_url) == "hunter2"


def test_a_password_of_a_file_goes_into_the_address(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("p/w@1\n")
    (tmp_path / "pw").chmod(0o600)
    text = '[store]\nurl = "postgresql://app:old@h:5433/d?sslmode=require"\npassword_file = "${CREDENTIALS_DIRECTORY}/pw"'
    loaded = load_text(text, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert loaded.warnings == ()
    address = store_address(loaded.settings)
    assert address == "postgresql://app:p%2Fw%401@h:5433/d?sslmode=require"
    (tmp_path / "pw").unlink()
    with pytest.raises(ConfigError, match="password_file"):
        store_address(loaded.settings)


def test_a_password_file_that_cannot_be_read_is_told_only_when_it_is_used(
    problems_of: Problems, load_text: Load
) -> None:
    key = 'password_file = "/nowhere"'
    assert problems_of(f'[store]\nurl = "postgresql://h/d"\n{key}') == [
        "t.ini:3: [store] password_file: /nowhere cannot be read: No such file or directory"
    ]
    (line,) = load_text(f"[store]\n{key}").warnings
    assert line.endswith("password_file: not used: the store is not PostgreSQL")


def test_what_has_no_effect_is_warned_about(load_text: Load) -> None:
    text = 'on_disconnect = "drain_exit"\nserver = "embedded:/x/q.db"\n[store]\nurl = "sqlite::memory:"'
    assert [line.partition(": ")[2] for line in load_text(text).warnings] == [
        "on_disconnect: not used: an embedded broker is never lost",
        "[store] url: what is known of tasks ends with the daemon",
    ]
