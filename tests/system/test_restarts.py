"""The embedded broker's daemon stopped and frozen while tasks keep coming by HTTP."""

import itertools
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Self

import pytest

from tests.parts.embedded_stage import EmbeddedStage, NotAcceptedError
from tests.parts.receiver import Answer, Request
from tests.parts.scene import by_id
from tests.parts.stage import QUICK

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

RESTARTS = 20
PAUSE_SECONDS = 0.005
PATHS = ("/once", "/later", "/flaky")


def answer(request: Request) -> Answer:
    """Refuse the first attempt of what is flaky; every answer takes a moment."""
    refused = request.path == "/flaky" and request.header("Webhook-Runner-Attempt") == "1"
    return Answer(500 if refused else 200, delay=0.01)


@dataclass(slots=True)
class Sender:
    """Hands in task after task in a thread of its own, through every stop of the daemon.

    Attributes:
        accepted: ids that were answered with 202.
        unsure: ids whose connection broke before the answer: they may be kept or not.

    """

    stage: EmbeddedStage
    accepted: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        for number in itertools.count():
            path = PATHS[number % len(PATHS)]
            later = {"countdown": 0.3} if path == "/later" else {}
            self._send({"url": path, "id": f"{path[1:]}-{number}", **later})
            if self._ended.wait(PAUSE_SECONDS):
                return

    def _send(self, task: dict[str, object]) -> None:
        """Send one, again and again while it is certain that it was not taken."""
        while not self._ended.is_set():
            try:
                self.stage.publish("a", task)
            except ConnectionRefusedError:
                self._ended.wait(PAUSE_SECONDS)
            except NotAcceptedError:
                self._ended.wait(PAUSE_SECONDS)
            except OSError:
                self.unsure.append(str(task["id"]))
                return
            else:
                self.accepted.append(str(task["id"]))
                return


def excess(stage: EmbeddedStage, sender: Sender) -> Counter[str]:
    """Assert that every accepted task ran to its end; count the requests too many of each."""
    seen = by_id(stage.receiver.requests)
    assert set(sender.accepted) <= seen.keys()
    assert seen.keys() <= {*sender.accepted, *sender.unsure}
    found: Counter[str] = Counter()
    for name, requests in seen.items():
        needed = ["1", "2"] if name.startswith("flaky") else ["1"]
        numbers = [str(each.header("Webhook-Runner-Attempt")) for each in requests]
        assert set(numbers) == set(needed), name
        found[name] = len(numbers) - len(needed)
    return +found


@pytest.fixture
def busy_stage(stage: EmbeddedStage) -> EmbeddedStage:
    for path in PATHS:
        stage.receiver.script(path, answer)
    return stage


def test_twenty_stops_under_load_lose_and_double_nothing(busy_stage: EmbeddedStage) -> None:
    daemon = busy_stage.daemon({"a": QUICK})
    with Sender(busy_stage) as sender:
        for _ in range(RESTARTS):
            busy_stage.receiver.wait_for(len(busy_stage.receiver.requests) + 15)
            assert daemon.terminate() == 0
            stopped = [each for each in daemon.events if each["event"] == "daemon.stopped"]
            assert stopped[-1]["interrupted"] == 0
            mark = daemon.mark()
            daemon.start()
            daemon.ready(after=mark)
    busy_stage.comes_to_rest()
    assert excess(busy_stage, sender) == {}


def test_a_frozen_daemon_keeps_its_file_and_goes_on(busy_stage: EmbeddedStage) -> None:
    daemon = busy_stage.daemon({"a": QUICK})
    with Sender(busy_stage) as sender:
        for _ in range(3):
            busy_stage.receiver.wait_for(len(busy_stage.receiver.requests) + 15)
            daemon.pause()
            other = busy_stage.unready({"a": QUICK}, top='[api]\nlisten = ""\n')
            assert other.wait(20) not in {0, None}
            assert str(daemon.pid) in other.tail()
            daemon.resume()
    busy_stage.comes_to_rest()
    assert excess(busy_stage, sender) == {}
    assert daemon.terminate() == 0
