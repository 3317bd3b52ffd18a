"""A daemon on the embedded broker: its queue file, its HTTP API, and whom it calls."""

from dataclasses import dataclass, field
from pathlib import Path

from tests.parts.daemon import Daemon
from tests.parts.ports import free_port
from tests.parts.receiver import Receiver


@dataclass(slots=True)
class EmbeddedSite:
    """What a daemon is started in. ``queue_lines`` are those of its only queue, default."""

    directory: Path
    receiver: Receiver
    queue_lines: str = "concurrency = 10"
    api_port: int = field(default_factory=free_port)

    @property
    def api(self) -> str:
        """The address of the HTTP API."""
        return f"http://127.0.0.1:{self.api_port}"

    def config(self) -> str:
        """Return the configuration."""
        return (
            f'server = "embedded:{self.directory / "queue.db"}"\n'
            f'base_url = "{self.receiver.url}"\n'
            f'[api]\nlisten = "127.0.0.1:{self.api_port}"\n'
            f'[log]\nlevel = "info"\nformat = "json"\n'
            f"[queues.default]\n{self.queue_lines}\n"
        )

    def daemon(self) -> Daemon:
        """Return a daemon of this site, not yet started."""
        return Daemon(self.config())
