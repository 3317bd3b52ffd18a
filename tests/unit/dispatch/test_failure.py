"""Any error that an attempt can end with has one name; only what nobody can bear goes on."""

import errno
import ssl

import pytest

from tests.contract.dispatching import ENVELOPE, post
from tests.contract.scripted import OK, Peer, endpoint
from webhook_runner.dispatch.failure import AttemptError, outcome_of
from webhook_runner.dispatch.http import HttpDispatcher
from webhook_runner.dispatch.stream import GuardedStream
from webhook_runner.errors import RefusedError
from webhook_runner.settings import EgressSettings
from webhook_runner.task.outcome import Refused, Responded, Trouble, Unreachable


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "sent", "trouble"),
    [
        (AttemptError(Trouble.DNS, "x"), False, Trouble.DNS),
        (OSError(errno.EMFILE, "x"), False, Trouble.RESOURCE),
        (OSError(errno.ENFILE, "x"), False, Trouble.RESOURCE),
        (OSError(errno.EADDRNOTAVAIL, "x"), False, Trouble.RESOURCE),
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), False, Trouble.CONNECT),
        (ConnectionResetError(errno.ECONNRESET, "x"), True, Trouble.RESET),
        (ssl.SSLError(1, "x"), False, Trouble.TLS),
        (caused(RuntimeError("x"), ssl.SSLError(1, "y")), True, Trouble.TLS),
        (caused(RuntimeError("x"), OSError(errno.EMFILE, "y")), False, Trouble.RESOURCE),
        (ExceptionGroup("g", [OSError(errno.EMFILE, "x")]), False, Trouble.RESOURCE),
        (ExceptionGroup("g", [ExceptionGroup("h", [KeyError("x")])]), False, Trouble.INTERNAL),
        (ValueError("x"), False, Trouble.INTERNAL),
        (RuntimeError(), True, Trouble.INTERNAL),
        (RecursionError("x"), True, Trouble.INTERNAL),
    ],
)
def test_an_error_that_may_mend_itself_is_named(
    error: Exception, *, sent: bool, trouble: Trouble
) -> None:
    outcome = outcome_of(error, sent=sent, seconds=1.5)
    assert isinstance(outcome, Unreachable)
    assert (outcome.trouble, outcome.sent, outcome.seconds) == (trouble, sent, 1.5)
    assert outcome.detail


@pytest.mark.parametrize(
    ("error", "rule"),
    [
        (RefusedError("egress_loopback", "x"), "egress_loopback"),
        (ExceptionGroup("g", [RefusedError("certificate", "x")]), "certificate"),
        (UnicodeError("label too long"), "url"),
    ],
)
def test_an_error_that_time_does_not_mend_is_a_refusal(error: Exception, rule: str) -> None:
    outcome = outcome_of(error, sent=False, seconds=0.0)
    assert isinstance(outcome, Refused)
    assert outcome.rule == rule


class Failing:
    def __init__(self, error: BaseException) -> None:
        self._error = error

    async def resolve(self, host: str) -> tuple[str, ...]:
        raise self._error


@pytest.mark.parametrize(
    "error",
    [OSError(errno.EMFILE, "x"), ValueError("x"), ExceptionGroup("g", [TypeError("x")]),
     UnicodeError("x"), TimeoutError(), KeyError("x"), AssertionError()],
)  # fmt: skip
async def test_no_error_within_the_client_is_ever_raised(error: Exception) -> None:
    dispatcher = HttpDispatcher(EgressSettings(), resolver=Failing(error))
    outcome = await dispatcher.send(post("http://a.test/"), ENVELOPE)
    await dispatcher.close()
    assert isinstance(outcome, Refused | Unreachable)


async def test_running_out_of_memory_is_not_taken_for_an_outcome() -> None:
    dispatcher = HttpDispatcher(EgressSettings(), resolver=Failing(MemoryError()))
    with pytest.raises(MemoryError):
        await dispatcher.send(post("http://a.test/"), ENVELOPE)
    await dispatcher.close()


async def test_a_connection_found_closed_before_a_byte_was_written_is_replaced_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests: list[bytes] = []

    async def script(peer: Peer) -> None:
        while request := await peer.request():
            requests.append(request)
            await peer.say(OK)

    looks = iter([True])
    monkeypatch.setattr(GuardedStream, "_is_readable", lambda _: next(looks, False))
    dispatcher = HttpDispatcher(EgressSettings(), client="httpx2")
    async with endpoint(script) as server:
        outcomes = [await dispatcher.send(post(server.url), ENVELOPE) for _ in range(2)]
        await dispatcher.close()
        assert server.connections == 2
    assert all(isinstance(outcome, Responded) for outcome in outcomes)
    assert len(requests) == 2
