"""A private RabbitMQ node of the installed server: throw-away directory, random ports."""

import contextlib
import os
import re
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.parts.guardian import Guardian
from tests.parts.installation import Installation
from tests.parts.node_setup import (
    TlsListener,
    node_environment,
    wait_until,
    write_configuration,
)
from tests.parts.ports import free_port
from tests.parts.tls import Tls

_ONE_QUIET_SCHEDULER = "+S 1:1 +sbwt none"
_DEPTHS = """
[case amqqueue:get_type(Q) of
   rabbit_quorum_queue ->
     {ok, {_, M}, _} = ra:leader_query(amqqueue:get_pid(Q), fun rabbit_fifo:overview/1),
     #{num_messages := All, num_checked_out := Out} = M,
     {element(4, amqqueue:get_name(Q)), All - Out, Out};
   _ ->
     [{_, Ready}, {_, Out}] =
       rabbit_amqqueue:info(Q, [messages_ready, messages_unacknowledged]),
     {element(4, amqqueue:get_name(Q)), Ready, Out}
 end || Q <- rabbit_amqqueue:list(<<"%s">>)].
"""
_CLOSE = """
[catch rabbit_networking:close_connection(C, "%s") || C <- rabbit_networking:connections_local()].
"""


class NodeError(RuntimeError):
    """The node did not start, or its control program refused a command."""


@dataclass(slots=True)
class RabbitNode:
    """One running node, made by `start`; `close` or our own end leaves nothing behind."""

    directory: Path
    port: int
    tls: TlsListener | None
    _installation: Installation
    _environment: dict[str, str]
    _guardian: Guardian
    _epmd: subprocess.Popen[bytes]
    _beam: subprocess.Popen[bytes] | None = field(default=None)

    @classmethod
    def start(
        cls,
        *,
        config: str = "",
        advanced: str = "",
        tls: Tls | None = None,
        plugins: tuple[str, ...] = (),
        erl_args: str = _ONE_QUIET_SCHEDULER,
    ) -> Self:
        """Start a node and wait until it speaks AMQP.

        `config` are further lines of rabbitmq.conf, `advanced` is the whole of advanced.config
        (`[{rabbit,[{channel_tick_interval,2000}]}].`), `plugins` are enabled. Raises NodeError.
        """
        installation = Installation.find()
        if installation is None:
            raise NodeError("no RabbitMQ server is installed here")
        # A port can be taken between our look and the server's bind.
        for _ in range(2):
            with contextlib.suppress(NodeError):
                return cls._start_once(installation, config, advanced, tls, plugins, erl_args)
        return cls._start_once(installation, config, advanced, tls, plugins, erl_args)

    @classmethod
    def _start_once(
        cls,
        installation: Installation,
        config: str,
        advanced: str,
        tls: Tls | None,
        plugins: tuple[str, ...],
        erl_args: str,
    ) -> Self:
        directory = Path(tempfile.mkdtemp(prefix="wr-rabbitmq-"))
        guardian = Guardian(directory)
        epmd = None
        try:
            port = free_port()
            listener = None if tls is None else TlsListener.create(directory, tls)
            write_configuration(directory, config, advanced, listener, plugins)
            environment = node_environment(directory, port, erl_args)
            epmd = _spawn(guardian, [str(installation.epmd)], environment)
            node = cls(directory, port, listener, installation, environment, guardian, epmd)
            node._start_beam()
        except BaseException:
            guardian.close()
            if epmd is not None:
                epmd.wait()
            raise
        return node

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The plain AMQP address of the default virtual host."""
        return self.vhost_url("/")

    @property
    def tls_url(self) -> str:
        """The AMQPS address of the default virtual host; only for a node started with `tls`."""
        return f"amqps://guest:guest@localhost:{self.tls.port if self.tls else 0}/"

    @property
    def pid(self) -> int:
        """The process id of the Erlang virtual machine."""
        return self._running().pid

    def vhost_url(self, name: str) -> str:
        """The plain AMQP address of a virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{'' if name == '/' else name}"

    def ctl(self, *args: str) -> str:
        """Run rabbitmqctl (about 0.4 s) and return what it printed. Raises NodeError."""
        done = subprocess.run(
            [str(self._installation.ctl), "-n", self._environment["RABBITMQ_NODENAME"], *args],
            env=self._environment,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise NodeError(f"rabbitmqctl {' '.join(args)}: {done.stderr or done.stdout}")
        return done.stdout

    def kill(self) -> None:
        """SIGKILL the node; its data stay.

        RabbitMQ 3.10.8 forgets a quorum queue, confirmed messages and all, when it is killed within
        about a second of the queue's declaration: wait for that long, or declare it earlier.
        """
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the node in order (SIGTERM, about 1 s); its data stay until `close`."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Freeze the node: its sockets stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen node go on."""
        os.kill(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        """Start again after `kill` or `stop`, or stop first; same data, same ports."""
        if self._beam is not None:
            self.stop()
        self._start_beam()

    def close(self) -> None:
        """Kill the node and its epmd and remove its directory."""
        self._guardian.close()
        if self._beam is not None:
            self._beam.wait()
            self._beam = None
        self._epmd.wait()

    def close_all_connections(self, reason: str = "closed by a test") -> None:
        """Close every client connection as an operator would (CONNECTION_FORCED)."""
        # The command of that name goes by a table that misses connections after a hard restart.
        self.ctl("eval", _CLOSE % reason)

    def memory_alarm(self, *, on: bool) -> None:
        """Raise or clear the memory alarm, which blocks publishing connections."""
        self.ctl("set_vm_memory_high_watermark", "0.0000001" if on else "0.4")

    def disk_alarm(self, *, on: bool) -> None:
        """Raise or clear the disk alarm, which blocks publishing connections."""
        self.ctl("set_disk_free_limit", "9999999GB" if on else "1MB")

    def delete_queue(self, name: str, vhost: str = "/") -> None:
        """Delete a queue with its messages under its consumers."""
        self.ctl("delete_queue", "-p", vhost, name)

    def queue_depths(self, vhost: str = "/") -> dict[str, tuple[int, int]]:
        """Return (ready, unacked) of each queue, asked of the queues themselves.

        `list_queues` would answer from statistics that are up to 5 s old for quorum queues.
        """
        printed = self.ctl("eval", _DEPTHS % vhost)
        found = re.findall(r'\{<<"([^"]*)">>,\s*(\d+),\s*(\d+)\}', printed)
        return {name: (int(ready), int(unacked)) for name, ready, unacked in found}

    def log(self) -> str:
        """Return what the node has logged."""
        return "".join(path.read_text() for path in sorted((self.directory / "log").glob("*.log")))

    def _running(self) -> subprocess.Popen[bytes]:
        if self._beam is None:
            raise NodeError("the node is not running")
        return self._beam

    def _start_beam(self) -> None:
        beam = _spawn(self._guardian, [str(self._installation.server)], self._environment)
        self._beam = beam
        try:
            wait_until("127.0.0.1", self.port, alive=lambda: _lives(beam))
        except TimeoutError as late:
            self.kill()
            raise NodeError(f"{late}\n{self.log()}") from late

    def _end(self, how: signal.Signals) -> None:
        beam = self._running()
        # Not Popen.send_signal, which would reap.
        os.kill(beam.pid, how)
        os.kill(beam.pid, signal.SIGCONT)
        # The pid may be given out again once it is reaped, so it is forgotten before.
        os.waitid(os.P_PID, beam.pid, os.WEXITED | os.WNOWAIT)
        self._guardian.forget(beam.pid)
        beam.wait()
        self._beam = None


def _lives(process: subprocess.Popen[bytes]) -> bool:
    # Popen.poll would reap it, and the guardian must forget a pid before it is free again.
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def _spawn(
    guardian: Guardian, command: list[str], environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    # A session of its own: an interrupt typed at the terminal is for the tests, not for the broker.
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    guardian.guard(process.pid)
    return process
