"""Every dispatcher and endpoints that mean harm: it gets rid of them, and goes on."""

import asyncio
import gzip
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
import trustme

from tests.contract.dispatching import ENGINES, ENVELOPE, TableResolver, post
from tests.contract.scripted import OK, Peer, Script, endpoint
from tests.parts.tls import Tls
from webhook_runner.dispatch.http import HttpDispatcher
from webhook_runner.settings import EgressSettings
from webhook_runner.task.outcome import Outcome, Refused, Responded, TimedOut, Unreachable

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
NEXT = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext"
BOMB = gzip.compress(bytes(1_000_000))
ALERT = b"\x15\x03\x03\x00\x02\x02\x28"
"""A record of TLS, in clear: fatal, handshake failure."""


@pytest.fixture(params=ENGINES)
async def dispatcher(request: pytest.FixtureRequest) -> AsyncIterator[HttpDispatcher]:
    made = ENGINES[request.param](EgressSettings())
    yield made
    await made.close()


def told(outcome: Outcome) -> str:
    """Say in a word what a request met with, and whether its body is whole."""
    match outcome:
        case Responded(status, truncated=truncated):
            return f"{status}, cut" if truncated else str(status)
        case Unreachable(trouble, sent=sent):
            return f"{trouble}, sent" if sent else str(trouble)
        case TimedOut(sent=sent):
            return "timeout, sent" if sent else "timeout"
        case Refused(rule):
            return rule
        case _:
            return str(outcome)


def saying(*parts: bytes) -> Script:
    """Take the request, say this, and then nothing more, but keep the connection."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(*parts)

    return script


def repeating(first: bytes, part: bytes, pause: float = 0.0) -> Script:
    """Take the request, say the first part, and the other one for ever."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(first)
        while True:
            await peer.say(part)
            await asyncio.sleep(pause)

    return script


async def _speaking_first(peer: Peer) -> None:
    await peer.say(b"220 mail.test ESMTP ready\r\n")


async def _answering_first(peer: Peer) -> None:
    """Two answers before anything was asked: neither may be taken for that of the second."""
    await peer.say(OK, OK)


async def _never_reading(peer: Peer) -> None:
    peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport
    await asyncio.Event().wait()


async def _cut_in_the_head(peer: Peer) -> None:
    await peer.request()
    await peer.say(HEAD + b"Server: x")
    peer.reset()


async def _cut_in_the_body(peer: Peer) -> None:
    await peer.request()
    await peer.say(HEAD + b"Content-Length: 9\r\n\r\nx")
    peer.reset()


NO_STATUS = "protocol, sent or timeout, sent"
"""One client looks at the first bytes, the other waits for the whole head."""


@dataclass(frozen=True)
class Row:
    """What an endpoint does, and what a request for it meets with."""

    name: str
    script: Script
    met: str
    timeout: float = 30.0
    body: bytes = b"{}"


ROWS = [
    Row("says nothing", saying(), "timeout, sent", 0.6),
    Row("closes in the middle of the head", _cut_in_the_head, "reset, sent"),
    Row("closes in the middle of the body", _cut_in_the_body, "200, cut"),
    Row("drips its head", repeating(HEAD, b"x", 0.02), "timeout, sent", 0.6),
    Row("drips its status line", repeating(b"", b"H", 0.02), NO_STATUS, 0.6),
    Row("drips its body", repeating(HEAD + b"\r\n", b"x", 0.02), "200, cut", 0.6),
    Row("drips a long body", repeating(HEAD + b"Content-Length: 99\r\n\r\n", b"x", 0.02),
        "200, cut", 0.6),
    Row("drips chunks", repeating(CHUNKED, b"1\r\nx\r\n", 0.02), "200, cut", 0.6),
    Row("drips interim answers", repeating(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.02),
        "timeout, sent", 0.6),
    Row("floods with interim answers", repeating(b"", b"HTTP/1.1 103 Hints\r\n\r\n" * 100),
        "protocol, sent"),
    Row("has no end of fields", repeating(HEAD, b"X: " + b"x" * 4000 + b"\r\n"), "protocol, sent"),
    Row("has no end of one field", repeating(HEAD + b"X: ", b"x" * 4000), "protocol, sent"),
    Row("has no end of a status line", repeating(b"HTTP/1.1 200 ", b"x" * 4000), "protocol, sent"),
    Row("has no end of body", repeating(HEAD + b"\r\n", b"x" * 65536), "200, cut"),
    Row("has no end of a long body", repeating(HEAD + b"Content-Length: 9%s\r\n\r\n" % (b"0" * 17),
        b"x" * 65536), "200, cut"),
    Row("has no end of chunks", repeating(CHUNKED, b"ffff\r\n" + b"x" * 65535 + b"\r\n"),
        "200, cut"),
    Row("has no end of small chunks", repeating(CHUNKED, b"1\r\nx\r\n" * 1000), "200, cut"),
    Row("has no end of an extension", repeating(CHUNKED + b"1;a=", b"x" * 4000), "200, cut"),
    Row("has no end of trailers", repeating(CHUNKED + b"0\r\n", b"T: x\r\n" * 1000), "200, cut"),
    Row("has no end of bombs", repeating(HEAD + b"Content-Encoding: gzip\r\n\r\n", BOMB),
        "200, cut"),
    Row("has no end of bombs in chunks", repeating(
        CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"),
        b"%x\r\n%s\r\n" % (len(BOMB), BOMB)), "200, cut"),
    Row("speaks first", _speaking_first, NO_STATUS, 0.6),
    Row("is of version 0.9", saying(b"<html>hello</html>\r\n\r\n"), "protocol, sent"),
    Row("has status 099", saying(b"HTTP/1.1 099 X\r\n\r\n"), "protocol, sent"),
    Row("has status 1000", saying(b"HTTP/1.1 1000 X\r\n\r\n"), "protocol, sent"),
    Row("switches protocols",
        saying(b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
        "protocol, sent"),
    Row("has two lengths", saying(HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nok"),
        "protocol, sent"),
    Row("has NUL in a field", saying(HEAD + b"A: b\x00\r\n\r\n"), "protocol, sent"),
    Row("has a bad chunk", saying(CHUNKED + b"2\r\nok\r\nXY\r\n"), "200, cut"),
    Row("has a negative chunk", saying(CHUNKED + b"-2\r\nok\r\n"), "200, cut"),
    Row("has a chunk of 2^64", saying(CHUNKED + b"1%s\r\nok" % (b"0" * 16)), "200, cut", 0.6),
    Row("says more than its length", saying(NEXT.replace(b"next", b"more and more")), "200"),
    Row("answers twice", saying(OK + b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"), "200"),
    Row("closes by its own word", saying(HEAD + b"Connection: close\r\nContent-Length: 0\r\n\r\n"),
        "200"),
    Row("never reads", _never_reading, "timeout, sent", 0.5, bytes(20_000_000)),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_a_connection_that_meant_harm_is_closed_and_not_used_again(
    dispatcher: HttpDispatcher, row: Row
) -> None:
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        if peer.number > 1:
            await peer.request()
            await peer.say(NEXT)
            return
        try:
            await row.script(peer)
            await peer.closed()
        finally:
            gone.set()

    async with endpoint(script) as server:
        request = post(server.url, body=row.body, timeout=row.timeout)
        first = await dispatcher.send(request, ENVELOPE)
        second = await dispatcher.send(post(server.url), ENVELOPE)
        assert told(first) in row.met.split(" or "), first
        assert isinstance(second, Responded), second
        assert (second.body, server.connections) == (b"next", 2)
        if row.script is not _never_reading:  # it does not look
            await asyncio.wait_for(gone.wait(), 10)


async def test_an_answer_to_nothing_is_not_taken_for_an_answer(dispatcher: HttpDispatcher) -> None:
    """An endpoint that answers twice in advance: the second request is not answered by that."""
    async with endpoint(_answering_first) as server:
        outcomes = [await dispatcher.send(post(server.url), ENVELOPE) for _ in range(3)]
        assert server.connections == 3
    assert all(isinstance(each, Responded) or "sent" in told(each) for each in outcomes)


@pytest.mark.parametrize(
    "location",
    [b"/hook?x=1", b"", b"//evil.test/", b"file:///etc/passwd", b"http://[", b"http://u:p@h/",
     b"\xff\xfe", b"gopher://127.0.0.1:6379/", b"http://169.254.169.254/", b"x" * 60_000],
)  # fmt: skip
@pytest.mark.parametrize("status", [301, 307])
async def test_a_redirect_is_an_answer_wherever_it_points(
    dispatcher: HttpDispatcher, status: int, location: bytes
) -> None:
    async def script(peer: Peer) -> None:
        while await peer.request():
            field = b"Location: %s\r\nContent-Length: 0\r\n\r\n" % location
            await peer.say(b"HTTP/1.1 %d Moved\r\n" % status + field)

    async with endpoint(script) as server:
        outcome = await dispatcher.send(post(server.url), ENVELOPE)
        await dispatcher.send(post(server.url), ENVELOPE)
        assert server.connections == 1
    assert isinstance(outcome, Responded)
    assert outcome.status == status
    assert outcome.headers["location"] == location[:2048].decode("latin-1")


@pytest.mark.parametrize(
    "answer",
    [OK, HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nTrailer: x\r\n\r\n",
     b"HTTP/1.1 204 N\r\n\r\n", b"HTTP/1.1 100 C\r\n\r\n" + OK, b"HTTP/1.1 304 N\r\n\r\n",
     HEAD + b"Set-Cookie: a=b\r\n" * 1000 + b"Content-Length: 0\r\n\r\n"],
)  # fmt: skip
async def test_a_connection_with_a_plain_answer_is_used_again(
    dispatcher: HttpDispatcher, answer: bytes
) -> None:
    async def script(peer: Peer) -> None:
        while await peer.request():
            await peer.say(answer)

    async with endpoint(script) as server:
        for _ in range(3):
            assert isinstance(await dispatcher.send(post(server.url), ENVELOPE), Responded)
        assert server.connections == 1


# Over TLS.

TLS = Tls(names=("good.test",))
NAMES = TableResolver({"good.test": [("127.0.0.1",)]})


@pytest.fixture(scope="module")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority: trustme.CA = TLS.authority
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def in_clear(peer: Peer, data: bytes) -> None:
    """Write past TLS."""
    os.write(peer.writer.get_extra_info("socket").fileno(), data)


async def _garbage_for_an_answer(peer: Peer) -> None:
    await peer.request()
    in_clear(peer, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


async def _alert_for_an_answer(peer: Peer) -> None:
    await peer.request()
    in_clear(peer, ALERT)


async def _garbage_in_the_body(peer: Peer) -> None:
    await peer.request()
    await peer.say(HEAD + b"Content-Length: 9\r\n\r\nx")
    in_clear(peer, b"garbage, not a record")


async def _reset_for_an_answer(peer: Peer) -> None:
    await peer.request()
    peer.reset()


async def _reset_in_the_body(peer: Peer) -> None:
    await peer.request()
    await peer.say(HEAD + b"Content-Length: 9\r\n\r\nx")
    peer.reset()


@pytest.mark.parametrize(
    ("part", "met"),
    [
        (_garbage_for_an_answer, {"tls, sent"}),
        (_alert_for_an_answer, {"tls, sent"}),
        # Read at one go, the first part is lost with the rest.
        (_garbage_in_the_body, {"200, cut", "tls, sent"}),
        (_reset_for_an_answer, {"reset, sent"}),
        (_reset_in_the_body, {"200, cut"}),
    ],
)
@pytest.mark.parametrize("client", ENGINES)
async def test_tls_that_breaks_off_is_told_and_not_used_again(
    client: str, ca_file: str, part: Callable[[Peer], Awaitable[None]], met: set[str]
) -> None:
    dispatcher = ENGINES[client](EgressSettings(ca_file=ca_file), resolver=NAMES)

    async def script(peer: Peer) -> None:
        if peer.number > 1:
            await peer.request()
            await peer.say(NEXT)
        else:
            await part(peer)
            await peer.closed()

    async with endpoint(script, tls=TLS.server_context(), host="good.test") as server:
        first = await dispatcher.send(post(server.url), ENVELOPE)
        second = await dispatcher.send(post(server.url), ENVELOPE)
        await dispatcher.close()
        assert server.connections == 2
    assert told(first) in met, first
    assert isinstance(second, Responded)
    assert second.body == b"next"


@pytest.mark.parametrize("said", [ALERT, b"SSH-2.0-OpenSSH_9\r\n", b"\x16\x03\x03\xff\xff" * 9])
@pytest.mark.parametrize("client", ENGINES)
async def test_what_answers_a_hello_with_anything_else_gets_nothing(
    client: str, ca_file: str, said: bytes
) -> None:
    dispatcher = ENGINES[client](EgressSettings(ca_file=ca_file), resolver=NAMES)
    heard: list[bytes] = []

    async def script(peer: Peer) -> None:
        heard.append(await peer.reader.read(65536))
        await peer.say(said)
        while data := await peer.reader.read(65536):
            heard.append(data)

    async with endpoint(script, host="good.test") as server:
        url = server.url.replace("http:", "https:")
        outcome = await dispatcher.send(post(url, timeout=5), ENVELOPE)
        await dispatcher.close()
    assert told(outcome) == "tls", outcome
    assert b"hook" not in b"".join(heard)
