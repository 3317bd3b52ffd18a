"""Extensions change or refuse a request, and hurt nothing else."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field, replace
from typing import Never

import pytest
from msgspec import structs

from examples.metadata_headers import add_headers
from webhook_runner.dispatch.extend import ExtendingDispatcher
from webhook_runner.errors import Refuse
from webhook_runner.ports import Extension
from webhook_runner.task.model import Envelope, Task
from webhook_runner.task.outcome import Outcome, Refused, Responded, Trouble, Unreachable
from webhook_runner.task.request import Request

TASK = Task(id="t1", queue="q", url="/", source=b"{}", metadata=b'{"tenant": "acme"}')
ENVELOPE = Envelope(TASK, first_at=1.6e9, due_at=1.6e9)
REQUEST = Request("POST", "http://a.test/", {"A": "1"}, b"x", timeout=5.0)


@dataclass(eq=False)
class Recorder:
    """A dispatcher that keeps what it was to send."""

    sent: list[Request] = field(default_factory=list)

    async def send(self, request: Request, envelope: Envelope) -> Outcome:
        self.sent.append(request)
        return Responded(200)

    async def close(self) -> None:
        self.sent.clear()


async def send(*extensions: Extension, request: Request = REQUEST) -> tuple[Outcome, list[Request]]:
    recorder = Recorder()
    dispatcher = ExtendingDispatcher(recorder, {"q": extensions})
    return await dispatcher.send(request, ENVELOPE), recorder.sent


def one(request: Request, task: Task) -> Request:
    return replace(request, headers={**request.headers, "One": task.id})


async def two(request: Request, task: Task) -> Request:
    await asyncio.sleep(0)
    return replace(request, url=request.url + request.headers["One"])


def refusing(request: Request, task: Task) -> Never:
    raise Refuse("no credit")


def failing(request: Request, task: Task) -> Never:
    raise ZeroDivisionError("secret")


async def failing_later(request: Request, task: Task) -> Never:
    raise KeyError("secret")


def forgetting(request: Request, task: Task) -> None:
    return None


async def hanging(request: Request, task: Task) -> Never:
    await asyncio.Event().wait()
    raise AssertionError


async def giving_up(request: Request, task: Task) -> Never:
    raise asyncio.CancelledError


async def test_extensions_are_applied_in_their_order_to_their_queue_only() -> None:
    outcome, sent = await send(one, two)
    assert outcome == Responded(200)
    assert sent == [replace(REQUEST, url="http://a.test/t1", headers={"A": "1", "One": "t1"})]
    recorder = Recorder()
    await ExtendingDispatcher(recorder, {"other": (refusing,)}).send(REQUEST, ENVELOPE)
    assert recorder.sent == [REQUEST]


async def test_a_refusal_ends_the_task() -> None:
    outcome, sent = await send(one, refusing)
    assert outcome == Refused("extension", "no credit")
    assert not sent


@pytest.mark.parametrize(
    ("extension", "words"),
    [(failing, "failing: ZeroDivisionError"), (failing_later, "failing_later: KeyError"),
     (forgetting, "NoneType instead of a Request"), (giving_up, "CancelledError"),
     (hanging, "TimeoutError")],
)  # fmt: skip
async def test_a_failing_extension_is_a_failed_attempt_that_sent_nothing(
    extension: Extension, words: str
) -> None:
    outcome, sent = await send(extension, request=replace(REQUEST, timeout=0.2))
    assert isinstance(outcome, Unreachable)
    assert (outcome.trouble, outcome.sent) == (Trouble.INTERNAL, False)
    assert outcome.detail.startswith(f"extension {__name__}:")
    assert words in outcome.detail
    assert "secret" not in outcome.detail
    assert not sent


@pytest.mark.parametrize(
    ("changes", "rule"),
    [({"url": "/path"}, "url"), ({"url": "file:///etc/passwd"}, "url"), ({"url": None}, "url"),
     ({"headers": {"Content-Length": "1"}}, "header"), ({"headers": {"A": "b\nc"}}, "header"),
     ({"headers": [("A", "b")]}, "header"), ({"headers": {"A": 1}}, "header"),
     ({"body": "text"}, "request"), ({"timeout": "5"}, "request"), ({"method": "A B"}, "method"),
     ({"method": "CONNECT"}, "method")],
)  # fmt: skip
async def test_what_an_extension_made_is_checked_again(
    changes: dict[str, object], rule: str
) -> None:
    def extension(request: Request, task: Task) -> Request:
        return replace(request, **changes)  # type: ignore[arg-type]  # rows of mistakes

    outcome, sent = await send(extension)
    assert isinstance(outcome, Refused)
    assert outcome.rule == rule
    assert "after extension" in outcome.detail
    assert not sent


async def test_being_cancelled_within_an_extension_is_passed_on() -> None:
    started = asyncio.Event()

    async def waiting(request: Request, task: Task) -> Never:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    sending = asyncio.ensure_future(send(waiting))
    await started.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending


async def test_an_object_may_be_an_extension() -> None:
    class Signer:
        def __call__(self, request: Request, task: Task) -> Awaitable[Request]:
            raise LookupError

    outcome, _ = await send(Signer())
    assert isinstance(outcome, Unreachable)
    assert "Signer: LookupError" in outcome.detail


@pytest.mark.parametrize(
    ("metadata", "added"),
    [(b'{"tenant": "acme", "try_no": 2}', {"X-Meta-Tenant": "acme", "X-Meta-Try-No": "2"}),
     (b'{"a": {"b": [1, null]}, "c": true}', {"X-Meta-A": '{"b": [1, null]}', "X-Meta-C": "true"}),
     (b'{"a\\r\\nb": "x", "": "x", "d e": "x", "\\u00e4": "x"}', {}),
     (b'{"a": "x\\r\\nHost: evil", "b": "\\u0000", "c": "\\u00e4"}', {}),
     (b'{"a": "' + b"x" * 1025 + b'"}', {}), (b'{"' + b"k" * 65 + b'": 1}', {}),
     (b"[1]", {}), (b'"x"', {}), (b"null", {}), (None, {}), (b"{}", {})],
)  # fmt: skip
async def test_metadata_becomes_headers(metadata: bytes | None, added: dict[str, str]) -> None:
    request = add_headers(REQUEST, structs.replace(TASK, metadata=metadata))
    assert request == replace(REQUEST, headers={"A": "1", **added})


def test_metadata_never_replaces_a_header_of_the_task_and_is_bounded() -> None:
    request = replace(REQUEST, headers={"x-meta-tenant": "mine"})
    assert add_headers(request, TASK).headers == {"x-meta-tenant": "mine"}
    many = b"{%s}" % b",".join(b'"k%d": 1' % n for n in range(100))
    assert len(add_headers(REQUEST, structs.replace(TASK, metadata=many)).headers) == 33
