"""Every dispatcher over TLS: only what is proven to be the endpoint gets the request."""

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from tests.contract.dispatching import ENGINES, ENVELOPE, TableResolver, post
from tests.contract.scripted import OK, Peer, endpoint, saying
from webhook_runner.dispatch.http import HttpDispatcher
from webhook_runner.errors import ConfigError
from webhook_runner.settings import EgressSettings
from webhook_runner.task.outcome import Refused, Responded, Trouble, Unreachable

NAMES = TableResolver(
    {name: [("127.0.0.1",)] for name in ("good.test", "good.test.", "other.test")}
)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(params=ENGINES)
async def dispatcher(
    request: pytest.FixtureRequest, authority: trustme.CA, tmp_path: Path
) -> AsyncIterator[HttpDispatcher]:
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    made = ENGINES[request.param](EgressSettings(ca_file=str(ca_file)), resolver=NAMES)
    yield made
    await made.close()


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.mark.parametrize("host", ["good.test", "good.test.", "GOOD.test", "127.0.0.1"])
async def test_a_proven_endpoint_gets_the_request_and_its_own_name(
    dispatcher: HttpDispatcher, authority: trustme.CA, host: str
) -> None:
    seen: list[bytes] = []
    names: list[str | None] = []
    context = server_context(authority.issue_cert("good.test", "127.0.0.1"))
    context.sni_callback = lambda _socket, name, _context: names.append(name)

    async def script(peer: Peer) -> None:
        while request := await peer.request():
            seen.append(request)
            await peer.say(OK)

    async with endpoint(script, tls=context, host=host) as server:
        outcomes = [await dispatcher.send(post(server.url), ENVELOPE) for _ in range(3)]
        assert server.connections == 1
    assert all(isinstance(outcome, Responded) for outcome in outcomes), outcomes
    assert f"Host: {host}:{server.port}".encode().lower() in seen[0].lower()
    assert names == [None if host == "127.0.0.1" else "good.test"]


def _expired(authority: trustme.CA) -> trustme.LeafCert:
    past = datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 2, 1, tzinfo=UTC)
    return authority.issue_cert("good.test", not_before=past[0], not_after=past[1])


def _wrong_host(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("other.test")


def _unknown_authority(authority: trustme.CA) -> trustme.LeafCert:
    return trustme.CA().issue_cert("good.test")


@pytest.mark.parametrize(
    ("make", "words"),
    [(_expired, "expired"), (_wrong_host, "not valid for"), (_unknown_authority, "issuer")],
)
async def test_a_certificate_that_proves_nothing_ends_the_task(
    dispatcher: HttpDispatcher, authority: trustme.CA, make: object, words: str
) -> None:
    received: list[bytes] = []

    async def script(peer: Peer) -> None:
        received.append(await peer.request())

    context = server_context(make(authority))  # type: ignore[operator]  # rows of makers
    async with endpoint(script, tls=context, host="good.test") as server:
        outcome = await dispatcher.send(post(server.url), ENVELOPE)
    assert isinstance(outcome, Refused), outcome
    assert outcome.rule == "certificate"
    assert words in outcome.detail
    assert not any(received)


async def test_a_self_signed_certificate_ends_the_task(
    dispatcher: HttpDispatcher, tmp_path: Path
) -> None:
    stranger = trustme.CA()
    pem = tmp_path / "self.pem"
    stranger.cert_pem.write_to_path(str(pem))
    stranger.private_key_pem.write_to_path(str(pem), append=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    async with endpoint(saying(OK), tls=context, host="good.test") as server:
        outcome = await dispatcher.send(post(server.url), ENVELOPE)
    assert isinstance(outcome, Refused), outcome
    assert "self-signed" in outcome.detail


async def test_plain_http_on_a_tls_port_is_a_tls_error_and_nothing_was_sent(
    dispatcher: HttpDispatcher,
) -> None:
    heard: list[bytes] = []

    async def script(peer: Peer) -> None:
        heard.append(await peer.reader.read(5))
        await peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.closed()

    async with endpoint(script, host="good.test") as server:
        url = server.url.replace("http:", "https:")
        outcome = await dispatcher.send(post(url), ENVELOPE)
    assert isinstance(outcome, Unreachable), outcome
    assert (outcome.trouble, outcome.sent) == (Trouble.TLS, False)
    assert heard[0][:1] == b"\x16"


async def test_tls_on_a_plain_port_is_never_taken_for_an_answer(
    dispatcher: HttpDispatcher, authority: trustme.CA
) -> None:
    context = server_context(authority.issue_cert("good.test"))
    async with endpoint(saying(OK), tls=context, host="good.test") as server:
        outcome = await dispatcher.send(
            post(server.url.replace("https:", "http:"), timeout=1.0), ENVELOPE
        )
    assert not isinstance(outcome, Responded)


async def test_an_old_tls_version_is_a_tls_error(
    dispatcher: HttpDispatcher, authority: trustme.CA
) -> None:
    context = server_context(authority.issue_cert("good.test"))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it is old on purpose
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with endpoint(saying(OK), tls=context, host="good.test") as server:
        outcome = await dispatcher.send(post(server.url), ENVELOPE)
    assert isinstance(outcome, Unreachable), outcome
    assert (outcome.trouble, outcome.sent) == (Trouble.TLS, False)


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_wanted_client_certificate_is_a_tls_error(
    dispatcher: HttpDispatcher, authority: trustme.CA, newest: ssl.TLSVersion
) -> None:
    context = server_context(authority.issue_cert("good.test"))
    context.maximum_version = newest
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    async with endpoint(saying(OK), tls=context, host="good.test") as server:
        outcome = await dispatcher.send(post(server.url), ENVELOPE)
    assert isinstance(outcome, Unreachable), outcome
    assert outcome.trouble in {Trouble.TLS, Trouble.RESET}


async def test_a_handshake_that_never_comes_is_a_connect_timeout(
    dispatcher: HttpDispatcher,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.closed()

    async with endpoint(script, host="good.test") as server:
        url = server.url.replace("http:", "https:")
        outcome = await dispatcher.send(post(url, connect_timeout=0.3), ENVELOPE)
    assert isinstance(outcome, Unreachable), outcome
    assert (outcome.trouble, outcome.sent) == (Trouble.CONNECT_TIMEOUT, False)


async def test_cancelling_within_the_handshake_closes_the_connection(
    dispatcher: HttpDispatcher,
) -> None:
    greeted, closed = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.reader.read(100)
        greeted.set()
        await peer.closed()
        closed.set()

    async with endpoint(script, host="good.test") as server:
        url = server.url.replace("http:", "https:")
        sending = asyncio.ensure_future(dispatcher.send(post(url), ENVELOPE))
        await greeted.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await asyncio.wait_for(closed.wait(), 10)


def test_a_ca_file_that_cannot_be_used_is_told_at_the_start(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pem", tmp_path):
        with pytest.raises(ConfigError, match=r"egress\.ca_file"):
            HttpDispatcher(EgressSettings(ca_file=str(path)))
