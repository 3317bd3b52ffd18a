"""Where the locally installed RabbitMQ server, its control program and epmd lie."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_SEARCH = (
    "/usr/lib/rabbitmq/bin",
    "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin",
    "/opt/rabbitmq*/sbin",
    "/usr/local/opt/rabbitmq/sbin",
    "/opt/homebrew/opt/rabbitmq/sbin",
)
_EPMD_SEARCH = "/usr/lib/erlang/bin/epmd", "/usr/lib/erlang/erts-*/bin/epmd"


def find_server() -> Path | None:
    """Return the server's own start script, never the distribution's wrapper.

    The wrapper in /usr/sbin changes to the user rabbitmq and refuses everybody but root.
    """
    for pattern in _SEARCH:
        for directory in sorted(Path("/").glob(pattern.lstrip("/")), reverse=True):
            script = directory / "rabbitmq-server"
            if script.is_file():
                return script
    return None


def _find_epmd() -> Path | None:
    on_path = shutil.which("epmd")
    if on_path:
        return Path(on_path)
    found = (path for pattern in _EPMD_SEARCH for path in Path("/").glob(pattern.lstrip("/")))
    return next(found, None)


@dataclass(frozen=True, slots=True)
class Installation:
    """The three programs a private node needs."""

    server: Path
    ctl: Path
    epmd: Path

    @classmethod
    def find(cls) -> Self | None:
        """Return the installation, or None when a part of it is missing."""
        server, epmd = find_server(), _find_epmd()
        if server is None or epmd is None:
            return None
        return cls(server, server.with_name("rabbitmqctl"), epmd)
