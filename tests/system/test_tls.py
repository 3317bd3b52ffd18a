"""The daemon and a broker that speaks TLS: trust, client certificates, a password in a file."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts import publisher
from tests.parts.installation import Installation
from tests.parts.node import RabbitNode
from tests.parts.receiver import Receiver
from tests.parts.scene import Scene
from tests.parts.tls import Tls, TlsFiles
from webhook_runner.broker.amqp.probe import Probe
from webhook_runner.settings import BrokerSettings

pytestmark = [pytest.mark.rabbitmq, pytest.mark.system]

EXTERNAL = (
    "auth_mechanisms.1 = PLAIN\nauth_mechanisms.2 = EXTERNAL\nssl_cert_login_from = common_name"
)


def start(*, verify_peer: bool) -> Iterator[RabbitNode]:
    if Installation.find() is None:
        pytest.skip("no RabbitMQ to test against: install rabbitmq-server")
    with RabbitNode.start(
        tls=Tls(verify_peer=verify_peer),
        plugins=("rabbitmq_auth_mechanism_ssl",),
        config=EXTERNAL,
    ) as node:
        yield node


@pytest.fixture(scope="module")
def tls_node() -> Iterator[RabbitNode]:
    """A node that asks for a client certificate, signed by the authority of its own."""
    yield from start(verify_peer=True)


@pytest.fixture
def scene(tls_node: RabbitNode, receiver: Receiver) -> Scene:
    return Scene(tls_node, "/", receiver, url=tls_node.tls_url)


def files(node: RabbitNode) -> TlsFiles:
    assert node.tls is not None
    return node.tls.files


def client(node: RabbitNode) -> str:
    """Return the configuration's lines that trust the broker and show a certificate."""
    own = files(node)
    return (
        f'ca_file = "{own.authority}"\ncert_file = "{own.client_certificate}"\n'
        f'key_file = "{own.client_key}"\n'
    )


def assert_works(scene: Scene) -> None:
    with scene.daemon() as daemon:
        daemon.ready()
        publisher.publish(scene.direct_url, "quorum", {"url": "/by-tls"})
        scene.receiver.wait_for(1, "/by-tls")
        assert daemon.terminate() == 0


def test_a_trusted_broker_is_used_over_tls(scene: Scene) -> None:
    scene.broker_lines = client(scene.node)
    assert_works(scene)


async def test_the_end_of_its_certificate_is_known(scene: Scene) -> None:
    own = files(scene.node)
    settings = BrokerSettings(
        ca_file=str(own.authority),
        cert_file=str(own.client_certificate),
        key_file=str(own.client_key),
    )
    probe = await Probe.open(scene.url, settings)
    try:
        assert probe.is_encrypted
        assert await probe.certificate_ends() > time.time()
    finally:
        await probe.close()


def test_the_client_certificate_is_the_user(scene: Scene) -> None:
    scene.broker_lines = client(scene.node) + 'auth = "external"\n'
    scene.url = scene.url.replace("guest:guest@", "")
    assert_works(scene)


def test_the_password_comes_from_a_file(scene: Scene, tmp_path: Path) -> None:
    scene.node.ctl("add_user", "filed", "p@ss/word %41")
    scene.node.ctl("set_permissions", "filed", ".*", ".*", ".*")
    password = tmp_path / "password"
    password.write_text("p@ss/word %41\n")
    password.chmod(0o600)
    scene.broker_lines = client(scene.node) + f'password_file = "{password}"\n'
    scene.url = scene.url.replace("guest:guest@", "filed@")
    assert_works(scene)


def test_an_unknown_authority_is_refused_and_told(scene: Scene, tmp_path: Path) -> None:
    other = Tls().write(tmp_path)
    scene.broker_lines = client(scene.node).replace(
        str(files(scene.node).authority), str(other.authority)
    )
    with scene.daemon() as daemon:
        lost = daemon.wait_for_event("broker.lost")
        assert "certificate verify failed" in str(lost["error"]).lower()
        assert scene.becomes_ready(ready=False)["broker"] == "not connected"


def test_a_client_without_a_certificate_is_refused_and_told(scene: Scene) -> None:
    scene.broker_lines = f'ca_file = "{files(scene.node).authority}"\n'
    with scene.daemon() as daemon:
        lost = daemon.wait_for_event("broker.lost")
        assert str(lost["error"]).strip()
        assert "guest:guest" not in "".join(daemon.lines)
        assert scene.becomes_ready(ready=False)["broker"] == "not connected"
