"""A daemon that meets one fault after the other and must hold no more after each than before."""

import time
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import uuid4

from tests.parts.daemon import Daemon
from tests.parts.receiver import Answer
from tests.parts.scene import eventually
from tests.parts.stage import Stage
from tests.parts.vitals import Vitals, vitals

QUEUE = "ward"
# Idle connections to endpoints and of clients are closed after some seconds.
RECOVERY_SECONDS = 25.0
LEAVE = {"Connection": "close"}
"""An answer with it leaves no idle connection, which would be kept for some seconds."""
# What an allocator keeps for itself is no leak.
MOST_GROWTH = 40_000_000
_LOOK_AGAIN_SECONDS = 0.2


@dataclass(slots=True)
class Patient:
    """``before`` is what it held when it was well, warm and idle."""

    stage: Stage
    daemon: Daemon
    port: int
    before: Vitals

    @classmethod
    def admit(cls, stage: Stage, daemon: Daemon, port: int) -> "Patient":
        """Warm a daemon up, so that what it makes once in its life is made, and look at it."""
        patient = cls(stage, daemon, port, Vitals(0, 0, 0, 0))
        base = stage.base.replace("127.0.0.1", "localhost")
        stage.receiver.script("/warm", [Answer(headers=LEAVE)])
        warming = [{"url": f"{base}/warm"} for _ in range(30)]
        patient.publish(*warming, {"url": "/warm", "countdown": 2})
        stage.receiver.wait_for(31, "/warm")
        eventually(patient._is_at_rest, RECOVERY_SECONDS)
        patient.before = patient.now()
        return patient

    def now(self) -> Vitals:
        """Return what it holds now."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=20) as answer:
            page = answer.read().decode()
        return vitals(self.daemon.pid, page)

    def publish(self, *tasks: Mapping[str, object]) -> None:
        """Publish tasks to its queue."""
        self.stage.publish(QUEUE, *tasks)

    def fail_at(self, urls: Iterable[str]) -> None:
        """Let it call each endpoint once, without a retry, and wait until every call has ended."""
        names = [uuid4().hex for _ in urls]
        self.publish(
            *(
                {"url": url, "id": name, "max_retries": 0, "timeout": 1.5}
                for url, name in zip(urls, names, strict=True)
            )
        )
        for name in names:
            self.daemon.wait_for_event("task.failed", task_id=name, timeout=30)

    def recovers(self) -> None:
        """Have it carry a task, and hold no more than before. Raises TimeoutError."""
        path = f"/after-{uuid4().hex}"
        self.publish({"url": path})
        self.stage.receiver.wait_for(1, path, timeout=30)
        until = time.monotonic() + RECOVERY_SECONDS
        while not (now := self.now()).is_back_at(self.before):
            if time.monotonic() > until:
                raise TimeoutError(f"before {self.before}, now {now}")
            time.sleep(_LOOK_AGAIN_SECONDS)
        assert now.resident <= self.before.resident + MOST_GROWTH

    def _is_at_rest(self) -> bool:
        """Tell whether no connection to the receiver is left, and nothing changes."""
        if self.stage.receiver.connected:
            return False
        first, second = self.now(), self.now()
        return first.is_back_at(second, 0) and second.is_back_at(first, 0)
