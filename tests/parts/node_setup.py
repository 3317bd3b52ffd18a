"""What a private RabbitMQ node needs before it starts, and how one sees that it has started."""

import os
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.parts.ports import free_port
from tests.parts.tls import Tls, TlsFiles

_START_SECONDS = 90.0
_PROBE_SECONDS = 0.05
_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
# Frame type 1, channel 0, then behind four bytes of size: class 10, method 10 (Connection.Start).
_CONNECTION_START = slice(7, 11), b"\x00\x0a\x00\x0a"
_CONFIGURATION = """\
log.console = false
log.file.level = warning
loopback_users = none
disk_free_limit.absolute = 1MB
"""


@dataclass(frozen=True, slots=True)
class TlsListener:
    """A TLS listener beside the plain one, and where its PEM files lie."""

    port: int
    files: TlsFiles
    verify_peer: bool

    @classmethod
    def create(cls, directory: Path, tls: Tls) -> Self:
        """Choose a port and write the certificates."""
        return cls(free_port(), tls.write(directory), tls.verify_peer)

    def lines(self) -> str:
        """Return its part of rabbitmq.conf."""
        return f"""\
listeners.ssl.1 = 127.0.0.1:{self.port}
ssl_options.cacertfile = {self.files.authority}
ssl_options.certfile = {self.files.server_certificate}
ssl_options.keyfile = {self.files.server_key}
ssl_options.verify = {"verify_peer" if self.verify_peer else "verify_none"}
ssl_options.fail_if_no_peer_cert = {str(self.verify_peer).lower()}
"""


def write_configuration(
    directory: Path,
    config: str,
    advanced: str,
    listener: TlsListener | None,
    plugins: tuple[str, ...] = (),
) -> None:
    """Write rabbitmq.conf, advanced.config, the cookie and the list of plug-ins."""
    (directory / "mnesia").mkdir()
    (directory / "log").mkdir()
    (directory / "enabled_plugins").write_text(f"[{','.join(plugins)}].\n")
    lines = _CONFIGURATION + (listener.lines() if listener else "") + config
    (directory / "rabbitmq.conf").write_text(f"{lines}\n")
    (directory / "advanced.config").write_text(f"{advanced or '[].'}\n")
    cookie = directory / ".erlang.cookie"
    cookie.write_text(secrets.token_hex(16))
    cookie.chmod(0o400)


def node_environment(directory: Path, port: int, erl_args: str) -> dict[str, str]:
    """Return the whole environment of the node, its epmd and its control program."""
    return {
        "PATH": os.defpath + ":/usr/sbin:/sbin:" + os.environ.get("PATH", ""),
        "LANG": "C.UTF-8",
        "HOME": str(directory),
        # A name that does not resolve costs 20 s and then fails.
        "RABBITMQ_NODENAME": f"t{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        # An epmd that the node starts by itself outlives it, so each node has its own.
        "ERL_EPMD_PORT": str(free_port()),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_PID_FILE": str(directory / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "advanced.config"),
        "RABBITMQ_CONF_ENV_FILE": str(directory / "none.conf"),
        # Together these make the start script exec the virtual machine: the pid stays.
        "RABBITMQ_ALLOW_INPUT": "1",
        "RABBITMQ_SERVER_START_ARGS": "-noinput",
        # Without it the distribution port listens on every address.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            f"-kernel inet_dist_use_interface {{127,0,0,1}} {erl_args}"
        ),
    }


def wait_until(host: str, port: int, alive: Callable[[], bool] = lambda: True) -> None:
    """Return when a server there speaks AMQP. Raises TimeoutError, at once when not `alive`."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if not alive():
            raise TimeoutError("the RabbitMQ node ended while starting")
        if speaks_amqp(host, port):
            return
        time.sleep(_PROBE_SECONDS)
    raise TimeoutError(f"the RabbitMQ node did not answer in {_START_SECONDS:.0f} s")


def speaks_amqp(host: str, port: int, timeout: float = 5.0) -> bool:
    """Tell whether a server there answers the AMQP 0-9-1 header with Connection.Start."""
    where, expected = _CONNECTION_START
    try:
        with socket.create_connection((host, port), timeout=timeout) as probe:
            probe.sendall(_PROTOCOL_HEADER)
            answer = b""
            while len(answer) < where.stop:
                chunk = probe.recv(64)
                if not chunk:
                    return False
                answer += chunk
    except OSError:
        return False
    return answer[where] == expected
