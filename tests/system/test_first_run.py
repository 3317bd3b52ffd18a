"""The daemon of somebody who has configured nothing: what it says, and that what it says works."""

import os
import pty
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts.daemon import ROOT, SERVE, Daemon
from tests.parts.ports import free_port
from webhook_runner.config.loader import USUAL_PATH

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(USUAL_PATH.exists(), reason=f"{USUAL_PATH} would be read"),
]


def nothing_configured(home: Path) -> dict[str, str]:
    """Return variables that take the configuration file away; the address is the test's own."""
    return {
        "TASKQUEUE_CONFIG_FILE": "",
        "STATE_DIRECTORY": "",
        "XDG_STATE_HOME": "",
        "HOME": str(home),
        "WEBHOOK_RUNNER_API__LISTEN": f"127.0.0.1:{free_port()}",
    }


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with Daemon("", environment=nothing_configured(tmp_path)) as started:
        started.ready()
        yield started


def test_the_first_line_tells_a_command_that_works(daemon: Daemon, tmp_path: Path) -> None:
    told = daemon.events[0]
    assert told["event"] == "daemon.first_run"
    assert told["queue_file"] == f"{tmp_path}/.local/state/webhook-runner/queue.db"
    assert "webhook-runner config example > taskqueue.ini" in str(told["onward"])
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    answer = subprocess.run(
        ["sh", "-c", f"{told['try']} --silent --show-error --fail --noproxy '*'"],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert '"queue":"default"' in answer.stdout.replace(" ", "")
    daemon.wait_for_event("task.succeeded", status=200)


def test_the_queue_file_is_for_its_owner_alone(daemon: Daemon, tmp_path: Path) -> None:
    directory = tmp_path / ".local/state/webhook-runner"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "queue.db").is_file()
    assert daemon.terminate() == 0


def test_a_second_daemon_is_refused_by_one_line_that_names_the_first(
    daemon: Daemon, tmp_path: Path
) -> None:
    with Daemon("", environment=nothing_configured(tmp_path)) as second:
        assert second.wait(20) == 4
        refusal = [event for event in second.events if event["event"] == "warning"]
        assert f"process {daemon.pid} has it" in str(refusal[0]["text"])
        assert not any("Traceback" in line for line in second.lines)
    assert daemon.returncode is None


def test_a_file_that_is_no_queue_ends_the_start_by_one_line(tmp_path: Path) -> None:
    (tmp_path / "queue.db").write_bytes(b"no database at all, but long enough" * 100)
    config = f'server = "embedded:{tmp_path}/queue.db"\n[api]\nlisten = "127.0.0.1:0"'
    with Daemon(config) as daemon:
        assert daemon.wait(20) == 74
        refusal = [event for event in daemon.events if event["event"] == "warning"]
        assert "queue.db: it is no SQLite database" in str(refusal[0]["text"])
        assert not any("Traceback" in line for line in daemon.lines)


def test_a_missing_directory_is_told_before_the_start(tmp_path: Path) -> None:
    with Daemon(f'server = "embedded:{tmp_path}/no/queue.db"') as daemon:
        assert daemon.wait(20) == 2
        assert f"{tmp_path}/no: no such directory" in daemon.tail()


def test_a_person_at_a_terminal_is_told_in_words_before_the_log(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, **nothing_configured(tmp_path), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([*SERVE], stderr=theirs, stdout=theirs, env=environment)
    os.close(theirs)
    try:
        with os.fdopen(ours, "rb", buffering=0) as terminal:
            said = b""
            while b"daemon.ready" not in said:
                said += terminal.read(4096)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    words, _, log = said.decode().partition("daemon.started")
    assert words.startswith("No configuration file: ")
    assert f"{tmp_path}/.local/state/webhook-runner/queue.db" in words
    assert environment["WEBHOOK_RUNNER_API__LISTEN"] in words
    assert "daemon.first_run" not in words + log


def test_a_reload_that_changes_the_server_asks_for_a_restart(tmp_path: Path) -> None:
    text = 'server = "embedded:{}/queue.db"\n[api]\nlisten = "127.0.0.1:0"\n'
    with Daemon(text.format(tmp_path)) as daemon:
        daemon.ready()
        (tmp_path / "other").mkdir()
        daemon.configure(text.format(tmp_path / "other"))
        daemon.signal(signal.SIGHUP)
        assert daemon.wait_for_event("config.reloaded")["need_restart"] == ["server"]
        daemon.configure(text.format(tmp_path / "missing"))
        mark = daemon.mark()
        daemon.signal(signal.SIGHUP)
        refused = daemon.wait_for_event("config.refused", after=mark)
        assert "no such directory" in str(refused["problems"])
