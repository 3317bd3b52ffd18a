import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

INIT = Path(__file__).parents[2] / "init"
PROGRAM = "/opt/webhook-runner/bin/webhook-runner"

# Stands in for the daemon: notes what it is asked, ends cleanly on the first SIGTERM.
STAND_IN = """#!/bin/sh
echo "$1 $TASKQUEUE_CONFIG_FILE" >>"{notes}"
[ "$1" = serve ] || {{ [ ! -e "{broken}" ]; exit $?; }}
trap 'echo reloaded >>"{notes}"' HUP
trap '[ -e "{stubborn}" ] && rm "{stubborn}" || {{ echo drained >>"{notes}"; exit 0; }}' TERM
echo serving
[ -e "{short_lived}" ] && exit 1
while :; do sleep 0.05; done
"""

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


class Script:
    """The SysV script with everything it touches moved to a directory of the test."""

    def __init__(self, folder: Path, *, helper: str) -> None:
        self.folder = folder
        self.pid_file = folder / "taskqueue.pid"
        daemon = folder / "webhook-runner"
        names = ("notes", "broken", "stubborn", "short_lived")
        daemon.write_text(STAND_IN.format(**{name: folder / name for name in names}))
        daemon.chmod(0o755)
        (folder / "defaults").write_text(
            f"DAEMON={daemon}\nTASKQUEUE_CONFIG_FILE={folder}/mine.ini\nPIDFILE={self.pid_file}\n"
            f"LOGFILE={folder}/log\nSTATEDIR={folder}/state\nRUN_AS=\nSTOP_TIMEOUT=10\n"
            f"USE_START_STOP_DAEMON={helper}\n"
        )

    def __call__(self, action: str) -> tuple[int, str]:
        done = subprocess.run(
            ["sh", INIT / "taskqueue", action],
            env={**os.environ, "TASKQUEUE_DEFAULTS": str(self.folder / "defaults")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout

    def touch(self, name: str) -> None:
        (self.folder / name).touch()

    def set(self, line: str) -> None:
        with (self.folder / "defaults").open("a") as defaults:
            defaults.write(f"{line}\n")

    @property
    def notes(self) -> list[str]:
        return (self.folder / "notes").read_text().splitlines()

    @property
    def pid(self) -> int:
        return int(self.pid_file.read_text())


@pytest.fixture(params=["yes", "no"], ids=["start-stop-daemon", "plain sh"])
def script(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Script]:
    if request.param == "yes" and shutil.which("start-stop-daemon") is None:
        pytest.skip("start-stop-daemon is not installed")
    script = Script(tmp_path, helper=request.param)
    yield script
    script.set("STOP_TIMEOUT=1")
    script("stop")


@pytest.mark.system
def test_the_script_starts_reloads_and_stops_the_daemon(script: Script) -> None:
    assert script("status")[0] == 3
    code, said = script("start")
    assert (code, said) == (0, f"taskqueue: started (process {script.pid})\n")
    assert script("status") == (0, f"taskqueue: is running (process {script.pid})\n")
    first = script.pid
    assert script("start") == (0, f"taskqueue: is running already (process {first})\n")
    assert script("reload")[0] == 0
    assert script("restart")[0] == 0
    assert script.pid != first
    assert script("stop") == (0, "taskqueue: stopped\n")
    assert not script.pid_file.exists()
    assert script("stop")[0] == 0
    assert (script.folder / "log").read_text() == "serving\nserving\n"
    config = f"{script.folder}/mine.ini"
    notes = [note for note in script.notes if not note.startswith("check-config")]
    assert notes == [f"serve {config}", "reloaded", "drained", f"serve {config}", "drained"]


@pytest.mark.system
def test_a_broken_configuration_neither_starts_nor_stops_anything(script: Script) -> None:
    assert script("start")[0] == 0
    pid = script.pid
    script.touch("broken")
    for action in ("restart", "reload", "try-restart"):
        code, said = script(action)
        assert code == 6
        assert "the configuration has errors" in said
    assert script("status") == (0, f"taskqueue: is running (process {pid})\n")
    script("stop")
    assert script("start")[0] == 6
    assert script("status")[0] == 3


@pytest.mark.system
def test_a_daemon_that_ends_at_once_is_no_start(script: Script) -> None:
    script.touch("short_lived")
    code, said = script("start")
    assert code == 1
    assert "ended at once" in said
    assert script("status")[0] == 1


@pytest.mark.system
def test_a_daemon_that_does_not_drain_in_time_is_told_a_second_time(script: Script) -> None:
    script.set("STOP_TIMEOUT=1")
    assert script("start")[0] == 0
    script.touch("stubborn")
    code, said = script("stop")
    assert code == 0
    assert "asked to stop at once" in said
    assert script.notes[-1] == "drained"


@pytest.mark.system
def test_a_pid_file_that_names_another_process_is_not_believed(script: Script) -> None:
    with subprocess.Popen(["sleep", "60"]) as stranger:
        script.pid_file.write_text(f"{stranger.pid}\n")
        assert script("status")[0] == 1
        assert script("stop")[0] == 0
        assert stranger.poll() is None
        stranger.send_signal(signal.SIGKILL)


@pytest.mark.system
def test_what_is_not_running_cannot_reload_and_need_not_restart(tmp_path: Path) -> None:
    script = Script(tmp_path, helper="no")
    assert script("reload")[0] == 7
    assert script("try-restart") == (0, "")
    assert script("dance")[0] == 2
    script.set("DAEMON=/nowhere/webhook-runner")
    assert script("start")[0] == 5


def test_the_script_is_portable_and_may_be_run() -> None:
    script = INIT / "taskqueue"
    shell = shutil.which("dash") or "sh"
    subprocess.run([shell, "-n", script], check=True)
    assert script.stat().st_mode & stat.S_IXUSR
    if checker := shutil.which("shellcheck"):
        subprocess.run([checker, script], check=True)


@pytest.fixture
def unit(tmp_path: Path) -> Callable[[str], Path]:
    def copy(name: str) -> Path:
        # The program is not installed where the tests run; its path is the only change.
        text = (INIT / name.replace("mail", "")).read_text().replace(PROGRAM, "/bin/true")
        path = tmp_path / name
        path.write_text(text)
        return path

    return copy


@needs_systemd
@pytest.mark.system
@pytest.mark.parametrize("name", ["taskqueue.service", "taskqueue@mail.service"])
def test_systemd_finds_no_fault_in_the_unit(unit: Callable[[str], Path], name: str) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit(name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
@pytest.mark.system
@pytest.mark.parametrize("name", ["taskqueue.service", "taskqueue@mail.service"])
def test_systemd_calls_the_unit_well_shielded(unit: Callable[[str], Path], name: str) -> None:
    done = subprocess.run(
        [
            "systemd-analyze",
            "security",
            "--offline=true",
            "--threshold=15",
            "--no-pager",
            unit(name),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-200:] + done.stderr


def test_the_template_differs_from_the_unit_only_in_its_names() -> None:
    unit = (INIT / "taskqueue.service").read_text().splitlines()[1:]
    template = (INIT / "taskqueue@.service").read_text().splitlines()[1:]
    differing = {
        one.partition("=")[0].lstrip("# ")
        for one, other in zip(unit, template, strict=True)
        if one != other
    }
    assert differing == {
        "Description",
        "Environment",
        "StateDirectory",
        "RuntimeDirectory",
        "WorkingDirectory",
        "password_file ",
    }
