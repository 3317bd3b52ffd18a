"""The parts that the other tests stand on, each against the real thing."""

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.parts import publisher
from tests.parts.daemon import Daemon, DaemonError
from tests.parts.hostile import Drip, Endless, HostileServer, Read, Reset, Send
from tests.parts.node import RabbitNode
from tests.parts.proxy import FaultProxy, Side
from tests.parts.receiver import Answer, Receiver
from tests.parts.tls import Tls

STAND_IN = textwrap.dedent(
    """
    import json, os, signal, sys, time
    def say(**fields):
        # Not print: the signal may come while its buffer is being written.
        os.write(2, json.dumps(fields).encode() + b"\\n")
    def end(*_):
        say(event="daemon.stopped")
        sys.exit(7)
    signal.signal(signal.SIGTERM, end)
    config = open(os.environ["TASKQUEUE_CONFIG_FILE"]).read()
    say(event="daemon.ready", config=config, extra=os.environ.get("WEBHOOK_RUNNER_FAILPOINTS"))
    while True:
        signal.pause()
    """
)


def post(url: str, body: bytes = b"") -> int:
    request = urllib.request.Request(url, data=body, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.rabbitmq
def test_a_persistent_message_survives_kill_9_of_the_node(own_node: RabbitNode) -> None:
    publisher.declare_classic(own_node.url, "kept")
    publisher.publish(own_node.url, "kept", {"url": "/a"}, headers={"n": 1})
    own_node.kill()
    own_node.restart()
    assert own_node.queue_depths() == {"kept": (1, 0)}
    (message,) = publisher.drain(own_node.url, "kept")
    assert message.body == b'{"url": "/a"}'
    assert message.headers == {"n": 1}


@pytest.mark.rabbitmq
def test_alarms_are_raised_and_cleared(own_node: RabbitNode) -> None:
    own_node.memory_alarm(on=True)
    assert "memory" in own_node.ctl("eval", "rabbit_alarm:get_alarms().")
    own_node.memory_alarm(on=False)
    own_node.disk_alarm(on=True)
    assert "disk" in own_node.ctl("eval", "rabbit_alarm:get_alarms().")
    own_node.disk_alarm(on=False)
    assert own_node.ctl("eval", "rabbit_alarm:get_alarms().").strip() == "[]"


@pytest.mark.rabbitmq
def test_every_test_has_a_virtual_host_of_its_own(vhost_url: str) -> None:
    publisher.declare_quorum(vhost_url, "mine")
    publisher.publish_many(vhost_url, "mine", [b"1", b"2"])
    assert publisher.depth(vhost_url, "mine") == 2


@pytest.mark.rabbitmq
def test_a_node_leaves_nothing_behind_when_its_owner_is_killed(node: RabbitNode) -> None:
    code = "from tests.parts.node import RabbitNode; n = RabbitNode.start();"
    code += "print(n.pid, n.directory, n._guardian._process.pid, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        beam, directory, guardian = owner.stdout.readline().split()
        watched = [os.pidfd_open(int(each)) for each in (beam, guardian)]
        owner.kill()
    for each in watched:
        wait_for_end(each)
    assert not Path(directory).exists()


def wait_for_end(pidfd: int) -> None:
    ended, _, _ = select.select([pidfd], [], [], 20.0)
    os.close(pidfd)
    assert ended, "still running"


def test_the_receiver_answers_by_its_script_in_order(receiver: Receiver) -> None:
    receiver.script("/a", [Answer(500), Answer(200, {"X-Y": "z"}, b"fine"), Answer(204)])
    assert [post(f"{receiver.url}/a?n={n}", b"body") for n in range(4)] == [500, 200, 204, 204]
    assert [each.query for each in receiver.wait_for(4, "/a")] == ["n=0", "n=1", "n=2", "n=3"]
    assert receiver.requests[0].body == b"body"
    assert receiver.requests[0].header("content-length") == "4"


async def test_a_hanging_answer_waits_for_its_release(receiver: Receiver) -> None:
    receiver.script("/slow", [Answer(201, hang=True)])
    call = asyncio.create_task(asyncio.to_thread(post, f"{receiver.url}/slow"))
    await receiver.wait_for_async(1, "/slow")
    assert receiver.in_flight == 1
    receiver.release("/slow")
    assert await call == 201
    assert receiver.in_flight == 0


def test_the_receiver_can_reset_the_connection(receiver: Receiver) -> None:
    receiver.script("/cut", [Answer(reset=True)])
    with pytest.raises(ConnectionResetError):
        post(f"{receiver.url}/cut")


def test_a_client_that_hangs_up_is_noticed(receiver: Receiver) -> None:
    receiver.script("/slow", [Answer(hang=True)])
    with socket.create_connection(("127.0.0.1", receiver.port)) as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        receiver.wait_for(1)
    receiver.wait_until(lambda: len(receiver.aborted) == 1)


def test_the_receiver_reads_chunked_bodies(receiver: Receiver) -> None:
    with socket.create_connection(("127.0.0.1", receiver.port)) as client:
        client.sendall(b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        client.sendall(b"2;x=y\r\nde\r\n0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
    assert receiver.requests[0].body == b"abcde"


def test_a_hostile_server_plays_one_script_per_connection() -> None:
    drip = (Read(), Drip(b"HTTP/1.1 200 OK\r\n\r\n", pause=0.001))
    with HostileServer((Read(), Reset()), (Send(b"garbage"),), drip, (Endless(b"x" * 999),)) as it:
        with pytest.raises(ConnectionResetError):
            exchange(it.port, b"GET / HTTP/1.1\r\n\r\n")
        assert exchange(it.port, b"") == b"garbage"
        assert exchange(it.port, b"GET / HTTP/1.1\r\n\r\n") == b"HTTP/1.1 200 OK\r\n\r\n"
        with socket.create_connection(("127.0.0.1", it.port)) as client:
            assert len(client.recv(5_000, socket.MSG_WAITALL)) == 5_000


def test_a_hostile_server_speaks_tls() -> None:
    tls = Tls()
    with (
        HostileServer((Read(), Send(b"hello")), tls=tls.server_context()) as it,
        socket.create_connection(("127.0.0.1", it.port)) as plain,
        tls.client_context().wrap_socket(plain, server_hostname="localhost") as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert client.recv(100) == b"hello"


def exchange(port: int, sent: bytes) -> bytes:
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(sent)
        while chunk := client.recv(100):
            answer += chunk
    return answer


def test_a_black_hole_keeps_what_was_sent_and_delivers_it_afterwards(receiver: Receiver) -> None:
    with (
        FaultProxy("127.0.0.1", receiver.port) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port)) as client,
    ):
        client.sendall(b"GET /1 HTTP/1.1\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        proxy.black_hole()
        client.sendall(b"GET /2 HTTP/1.1\r\n\r\n")
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(100)
        assert [each.path for each in receiver.requests] == ["/1"]
        proxy.pass_through()
        receiver.wait_for(1, "/2")


def test_the_proxy_cuts_half_closes_and_refuses(receiver: Receiver) -> None:
    with FaultProxy("127.0.0.1", receiver.port) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port)) as client:
            client.sendall(b"GET /1 HTTP/1.1\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200")
            proxy.half_close(Side.CLIENT)
            assert client.recv(100) == b""
            client.sendall(b"GET /2 HTTP/1.1\r\n\r\n")
            receiver.wait_for(1, "/2")
            proxy.cut()
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", proxy.port))
        proxy.pass_through()
        assert post(proxy.url_for(f"{receiver.url}/3")) == 200


def test_a_daemon_is_followed_by_its_events() -> None:
    command = (sys.executable, "-c", STAND_IN)
    extra = {"WEBHOOK_RUNNER_FAILPOINTS": "x:1:kill9"}
    with Daemon("[a]\n", environment=extra, command=command) as daemon:
        assert daemon.ready()["config"] == "[a]\n"
        daemon.wait_for_event("daemon.ready", extra="x:1:kill9")
        mark = daemon.mark()
        daemon.restart()
        daemon.ready(after=mark)
        assert daemon.terminate() == 7
        daemon.wait_for_event("daemon.stopped")
        with pytest.raises(DaemonError, match="ended with 7"):
            daemon.wait_for_event("never")
    assert not daemon.directory.exists()


def test_a_killed_daemon_answers_its_signal() -> None:
    with Daemon("", command=(sys.executable, "-c", STAND_IN)) as daemon:
        daemon.ready()
        daemon.kill()
        assert daemon.returncode == -signal.SIGKILL
