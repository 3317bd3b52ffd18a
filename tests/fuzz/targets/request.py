"""Method, URL, headers, an empty line, a body: refused, or one request and never two."""

import h11

from webhook_runner.dispatch.lean import _head
from webhook_runner.dispatch.target import target_of
from webhook_runner.dispatch.wellformed import check_message
from webhook_runner.errors import RefusedError
from webhook_runner.task.request import Request

ALWAYS = {"accept", "accept-encoding", "user-agent"}


def check(data: bytes) -> None:
    request = asked_for(data)
    try:
        target = target_of(request.url)
        check_message(request)
    except RefusedError as error:
        assert error.rule in {"url", "method", "header", "request"}
        return
    asked, headers, body = read(_head(request, target) + request.body)
    assert asked == (request.method.encode(), target.path.encode())
    assert body == request.body
    assert headers.pop(b"host") == target.origin.authority.encode()
    assert int(headers.pop(b"content-length", b"0")) == len(body)
    names = {name.lower() for name in request.headers}
    assert {name.decode() for name in headers} == names | ALWAYS


def asked_for(data: bytes) -> Request:
    """Read the parts of a request; a header is NAME, a NUL and its value."""
    first, _, rest = data.partition(b"\n\n")
    head, _, body = rest.partition(b"\n\n")
    method, _, url = first.decode(errors="surrogateescape").partition(" ")
    lines = head.decode(errors="surrogateescape").split("\n") if head else []
    pairs = (line.partition(": ") for line in lines)
    return Request(method, url, {name: value for name, _, value in pairs}, body)


def read(sent: bytes) -> tuple[tuple[bytes, bytes], dict[bytes, bytes], bytes]:
    """Read one request as an endpoint does that is strict; nothing may be left over."""
    endpoint = h11.Connection(h11.SERVER)
    endpoint.receive_data(sent)
    request, body = endpoint.next_event(), b""
    assert isinstance(request, h11.Request)
    while isinstance(part := endpoint.next_event(), h11.Data):
        body += part.data
    assert isinstance(part, h11.EndOfMessage)
    assert endpoint.trailing_data == (b"", False)
    headers = dict(request.headers)
    assert len(headers) == len(request.headers)
    return (request.method, request.target), headers, body
