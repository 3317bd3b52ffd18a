"""A daemon whose log goes nowhere - closed, full, unread, its reader gone - does its work."""

import sys
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from tests.parts.daemon import Daemon
from tests.parts.embedded_stage import EmbeddedStage
from tests.parts.scene import eventually

pytestmark = pytest.mark.system

SERVE = f'exec "{sys.executable}" -m webhook_runner serve'
PIPE = "mkfifo pipe && exec 3<>pipe 2>pipe"
PLACES = {
    "closed": f"{SERVE} >&- 2>&-",
    "no descriptor at all": f"{SERVE} <&- >&- 2>&-",
    "a full disk": f"{SERVE} >/dev/full 2>&1",
    "a pipe whose reader is gone": f"{PIPE} && exec 1>&2 3<&- && {SERVE}",
    "a pipe that nobody reads": f"{PIPE} && exec 1>&2 && {SERVE}",
}
# Much more than a pipe and what waits for it can take.
TASKS = 700


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("place", PLACES)
def test_p3_a_log_that_goes_nowhere_stops_nothing(stage: EmbeddedStage, place: str) -> None:
    config = stage.configuration({"a": "concurrency = 50"})
    with Daemon(config, command=("sh", "-c", PLACES[place])) as daemon:
        eventually(lambda: is_ready(stage.port), 20)
        names = [f"t{number}" for number in range(TASKS)]
        stage.publish("a", *({"url": "/x", "id": each, "metadata": "y" * 400} for each in names))
        stage.receiver.wait_for(TASKS, timeout=30)
        stage.comes_to_rest()
        seen = Counter(each.header("Idempotency-Key") for each in stage.receiver.requests)
        assert seen == dict.fromkeys(names, 1)
        standard = [Path(f"/proc/{daemon.pid}/fd/{number}") for number in (0, 1, 2)]
        used = [str(each.readlink()) for each in standard if each.is_symlink()]
        # Whatever a library writes there must not end in the queue file or go to a caller.
        assert not [each for each in used if str(stage.file) in each or each.startswith("socket:")]
        assert daemon.terminate() == 0
