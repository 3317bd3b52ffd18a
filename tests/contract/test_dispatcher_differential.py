"""Both HTTP clients make the same of the same bytes, but for what is written down here."""

import asyncio
import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.dispatching import ENGINES, ENVELOPE, post
from tests.contract.scripted import Peer, endpoint
from webhook_runner.settings import EgressSettings
from webhook_runner.task.outcome import Outcome, Responded, Unreachable
from webhook_runner.task.request import Request

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BODY = b"Content-Length: 2\r\n\r\nok"

RESPONDED = ("responded", 200)
RESET = ("unreachable", "reset")
PROTOCOL = ("unreachable", "protocol")
CONTROLS = bytes(each for each in (*range(32), 127) if each != ord("\t"))


def summary(outcome: Outcome) -> tuple[object, ...]:
    """Return what must be equal: all but durations, and how a failure is worded."""
    match outcome:
        case Responded(status, headers, body, truncated, _, note):
            return ("responded", status, dict(headers), body, truncated, bool(note))
        case Unreachable(trouble, _, sent, _):
            return ("unreachable", trouble.value, sent)
        case _:
            return (type(outcome).__name__,)


@pytest.fixture(scope="module")
def egress(tmp_path_factory: pytest.TempPathFactory) -> EgressSettings:
    """Trust one authority only: to read all those of the system takes longer than a request."""
    ca_file = tmp_path_factory.mktemp("ca") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(ca_file))
    return EgressSettings(ca_file=str(ca_file))


async def met_with(
    client: str, egress: EgressSettings, request: Request, parts: Iterable[bytes]
) -> tuple[object, ...]:
    """Return what a client makes of an endpoint that says these parts and hangs up."""

    async def script(peer: Peer) -> None:
        await peer.request()
        for part in parts:
            await peer.say(part)
            await asyncio.sleep(0)

    dispatcher = ENGINES[client](egress)
    async with endpoint(script) as server:
        url = request.url.replace("ENDPOINT", f"127.0.0.1:{server.port}")
        sent = Request(request.method, url, request.headers, request.body, timeout=5.0)
        outcome = await dispatcher.send(sent, ENVELOPE)
        await dispatcher.close()
    return summary(outcome)


async def both(
    egress: EgressSettings, request: Request, *parts: bytes
) -> tuple[tuple[object, ...], tuple[object, ...]]:
    """Return what the lean client makes of it, and what httpx2's does."""
    return (
        await met_with("lean", egress, request, parts),
        await met_with("httpx2", egress, request, parts),
    )


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.", HEAD, HEAD + b"A: b", HEAD + b"\r\n", HEAD + BODY,
     HEAD + b"\r\nto the end", HEAD + b"Content-Length: 5\r\n\r\nok", HEAD + BODY + b"more",
     b"HTTP/1.1 200\r\n" + BODY, b"HTTP/1.1 200 \r\n" + BODY, b"HTTP/1.0 200 OK\r\n" + BODY,
     b"HTTP/2.0 200 OK\r\n" + BODY, b"HTTP/0.9 200 OK\r\n" + BODY, b"http/1.1 200 OK\r\n" + BODY,
     b"HTTP/01.1 200 OK\r\n" + BODY, b"HTTP/1.1  200 OK\r\n" + BODY, b"ICY 200 OK\r\n\r\n",
     b"HTTP/1.1 20 OK\r\n\r\n", b"HTTP/1.1 099 X\r\n\r\n", b"HTTP/1.1 000 X\r\n\r\n",
     b"HTTP/1.1 1000 X\r\n\r\n", b"HTTP/1.1 999 X\r\n" + BODY, b"HTTP/1.1 200 \xff\r\n" + BODY,
     b"HTTP/1.1 101 X\r\n\r\n", b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: h2\r\n\r\n",
     HEAD + b"Connection: upgrade\r\nUpgrade: h2c\r\n" + BODY,
     b"HTTP/1.1 204 N\r\nContent-Length: 5\r\n\r\n", b"HTTP/1.1 304 N\r\nContent-Length: 5\r\n\r\n",
     b"HTTP/1.1 204 N\r\nTransfer-Encoding: chunked\r\n\r\n", b"HTTP/1.1 205 N\r\n\r\n",
     b"HTTP/1.1 100 C\r\nContent-Length: 5\r\n\r\n" + HEAD + BODY, b"HTTP/1.1 103 E\r\n\r\n",
     HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n2\r\nok\r\n0\r\n\r\n",
     CHUNKED + b"2\r\nok\r\n0\r\n\r\n", CHUNKED + b"2;a=b\r\nok\r\n0\r\nT: x\r\n\r\n",
     CHUNKED + b"2 \r\nok\r\n0\r\n\r\n", CHUNKED + b"2\r\nokX0\r\n\r\n", CHUNKED + b"-1\r\nok",
     CHUNKED + b"0x2\r\nok\r\n0\r\n\r\n", CHUNKED + b"2\r\nok\r\n", CHUNKED + b"2\r\nok\r\n0\r\n",
     HEAD.replace(b"\r\n", b"\n") + BODY.replace(b"\r\n", b"\n"), HEAD + b"A: b\r\n c\r\n" + BODY,
     HEAD + b"A : b\r\n" + BODY, HEAD + b": b\r\n" + BODY, HEAD + b"A(: b\r\n" + BODY,
     HEAD + b"A:\r\n" + BODY, HEAD + b"A: \x01\x7f\xff\r\n" + BODY, HEAD + b"A: \x00\r\n" + BODY,
     HEAD + b"A: b\rc\r\n" + BODY, HEAD + b"no colon\r\n" + BODY, b"HTTP/1.1 200 OK\rA: b\r\n\r\n",
     HEAD + b"Server:  two \t\r\n" + BODY, HEAD + b"Content-Length: 2 \r\n\r\nok",
     HEAD + b"Content-Length: -2\r\n\r\nok", HEAD + b"Content-Length: +2\r\n\r\nok",
     HEAD + b"Content-Length:\r\n\r\nok", HEAD + b"Content-Length: 2a\r\n\r\nok",
     HEAD + b"Content-Length: 002\r\n\r\nok", HEAD + b"Content-Length: %s\r\n\r\n" % (b"9" * 30),
     HEAD + b"Content-Length: 9999999999999999999\r\n\r\nok",
     HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["POST", "HEAD"])
async def test_an_odd_answer_means_the_same_to_both(
    egress: EgressSettings, method: str, answer: bytes
) -> None:
    lean, pooled = await both(egress, Request(method, "http://ENDPOINT/"), answer)
    assert lean == pooled


@pytest.mark.parametrize(
    ("answer", "lean", "pooled"),
    [
        # RFC 9110 8.6 lets us choose; h11 takes a length that is the same every time.
        (HEAD + b"Content-Length: 2\r\n" + BODY, PROTOCOL, RESPONDED),
        (HEAD + b"Content-Length: 2, 2\r\n\r\nok", PROTOCOL, RESPONDED),
        # There is no such version, and llhttp knows all there are.
        (b"HTTP/1.2 200 OK\r\n" + BODY, PROTOCOL, RESPONDED),
        # RFC 9112 6.3 reads these up to the end; h11 does not know the coding.
        (HEAD + b"Transfer-Encoding: gzip\r\n\r\nok", RESPONDED, PROTOCOL),
        (
            HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            RESPONDED,
            PROTOCOL,
        ),
        # Skipped, as RFC 9112 2.2 has it for requests, or for lines that start with a space.
        (b"\r\n" + HEAD + BODY, RESPONDED, PROTOCOL),
        (HEAD + b" A: b\r\n" + BODY, RESPONDED, PROTOCOL),
        # Two names for the same: no answer, and why.
        (b"<h1>x", PROTOCOL, RESET),
        (b"\r\n", RESET, PROTOCOL),
    ],
)
async def test_where_the_two_differ_is_known(
    egress: EgressSettings, answer: bytes, lean: tuple[str, int], pooled: tuple[str, int]
) -> None:
    ours, theirs = await both(egress, post("http://ENDPOINT/"), answer)
    assert ours[:2] == lean
    assert theirs[:2] == pooled


@dataclass(frozen=True)
class Exchange:
    request: Request
    parts: tuple[bytes, ...]


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    method = draw(st.sampled_from(["POST", "GET", "HEAD", "DELETE"]))
    headers = draw(st.dictionaries(st.from_regex(r"X-[A-Za-z]{1,9}", fullmatch=True), SENT))
    request = Request(method, draw(URLS), headers, draw(st.binary(max_size=300)))
    answer = b"".join(draw(st.lists(INTERIM, max_size=2))) + draw(heads()) + b"\r\n"
    framing, body = draw(bodies())
    answer = answer.replace(b"FRAMING\r\n", framing) + body
    answer = answer[: draw(st.integers(0, len(answer)))] if draw(st.integers(0, 4)) == 0 else answer
    cuts = sorted(draw(st.lists(st.integers(0, len(answer)), max_size=4)))
    edges = [0, *cuts, len(answer)]
    return Exchange(request, tuple(answer[a:b] for a, b in itertools.pairwise(edges)))


SENT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)
URLS = st.from_regex(r"http://ENDPOINT(/[a-z%~.;é ]{0,9})*(\?[a-z=&+/{é]*)?", fullmatch=True).map(
    lambda url: url.replace(" ", "")
)
INTERIM = st.sampled_from(
    [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early\r\nServer: x\r\n\r\n"]
)


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    status = draw(st.one_of(st.sampled_from([200, 204, 304, 429]), st.integers(200, 999)))
    version = draw(st.sampled_from([b"1.1", b"1.1", b"1.0"]))
    names = st.sampled_from([b"SERVER", b"retry-after", b"Location", b"Set-Cookie", b"X-Other"])
    values = st.binary(max_size=20).map(lambda raw: raw.translate(None, CONTROLS))
    lines = draw(st.lists(st.tuples(names, values), max_size=5))
    closing = draw(st.sampled_from([b"", b"Connection: close\r\n", b"Connection: Keep-Alive\r\n"]))
    told = b"".join(b"%s: %s\r\n" % line for line in lines)
    return b"HTTP/%s %d Word\r\n%s%sFRAMING\r\n" % (version, status, told, closing)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, bytes]:
    body = draw(st.one_of(st.binary(max_size=300), st.just(b"y" * 5000), st.just(b"z" * 70_000)))
    match draw(st.sampled_from(["length", "off", "chunked", "close"])):
        case "length":
            return b"Content-Length: %d\r\n" % len(body), body
        case "off":
            length = max(0, len(body) + draw(st.integers(-2, 2)))
            return b"Content-Length: %d\r\n" % length, body
        case "chunked":
            step = draw(st.integers(1, 20_000))
            pieces = [body[at : at + step] for at in range(0, min(len(body), step * 20), step)]
            chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
            return b"Transfer-Encoding: chunked\r\n", chunks + b"0\r\n\r\n"
        case _:
            return b"", body


@given(exchanges())
@settings(max_examples=60, deadline=None)
def test_any_answer_means_the_same_to_both(egress: EgressSettings, exchange: Exchange) -> None:
    with asyncio.Runner() as runner:
        lean, pooled = runner.run(both(egress, exchange.request, *exchange.parts))
    assert lean == pooled
