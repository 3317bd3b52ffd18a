"""webhook_runner as it is measured: all that it does is on."""

import os
import sys
from pathlib import Path

from bench.race.contender import IN_FLIGHT, QUEUE, Command, Contender, Ground, plain

ROOT = Path(__file__).resolve().parents[2]
ONE_CORE = (0,)
OURS = "ours"
_QUORUM = {
    "x-delivery-limit": 50,
    "x-dead-letter-exchange": "wr.v1.poison",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}
_CONFIG = """
server = "{server}"
processes = {processes}
max_total = {total}
[api]
listen = "127.0.0.1:0"
[store]
url = "sqlite:{directory}/state.db"
[egress]
ca_file = "{ca_file}"
[log]
level = "info"
format = "json"
[queues.{queue}]
concurrency = {concurrency}
per_host_concurrency = {concurrency}
rate = "1000000/s"
{lines}
"""


def ours(
    name: str = OURS,
    *,
    tasks: int = 60_000,
    cpus: tuple[int, ...] = ONE_CORE,
    processes: int = 1,
    concurrency: int = IN_FLIGHT,
    ca_file: str = "",
    lines: str = "",
) -> Contender:
    """Return ourselves; ``lines`` go to the table of the queue."""

    def command(ground: Ground) -> Command:
        file = ground.directory / "taskqueue.ini"
        text = _CONFIG.format(
            server=ground.broker,
            processes=processes,
            total=max(1000, concurrency),
            directory=ground.directory,
            ca_file=ca_file,
            queue=QUEUE,
            concurrency=concurrency,
            lines=lines,
        )
        file.write_text(text)
        environment = {"TASKQUEUE_CONFIG_FILE": str(file), "PYTHONPATH": str(ROOT)}
        return Command((sys.executable, "-m", "webhook_runner", "serve"), environment)

    return Contender(name, tasks, command, plain, lambda k: _QUORUM if k == "quorum" else {}, cpus)


def inherited() -> dict[str, str]:
    """Return our environment without what would configure a daemon."""
    ours = ("WEBHOOK_RUNNER_", "TASKQUEUE_")
    return {key: value for key, value in os.environ.items() if not key.startswith(ours)}
