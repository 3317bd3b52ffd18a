"""What a failed attempt is called: any error becomes one outcome, here."""

import errno
import ssl

from webhook_runner.errors import RefusedError
from webhook_runner.policy.starvation import OUT_OF_RESOURCES
from webhook_runner.task.outcome import Outcome, Refused, Trouble, Unreachable

_OUT_OF_RESOURCES = OUT_OF_RESOURCES | {errno.EADDRNOTAVAIL}
_LONGEST_DETAIL = 500


class AttemptError(Exception):
    """A request got no status line, for a reason that may mend itself."""

    def __init__(self, trouble: Trouble, explanation: str) -> None:
        super().__init__(explanation)
        self.trouble = trouble


def outcome_of(error: BaseException, *, sent: bool, seconds: float) -> Outcome:
    """Name what a failed attempt met with. ``sent``: bytes of the request may have left."""
    error = _leaf(error)
    if isinstance(error, RefusedError):
        return Refused(error.rule, str(error)[:_LONGEST_DETAIL])
    if isinstance(error, UnicodeError):
        return Refused("url", describe(error))
    return Unreachable(trouble_of(error, sent=sent), describe(error), sent=sent, seconds=seconds)


def trouble_of(error: BaseException, *, sent: bool) -> Trouble:
    """Name the trouble an error means; what nobody foresaw is INTERNAL, and retried."""
    if isinstance(error, AttemptError):
        return error.trouble
    causes = _causes(error)
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return Trouble.TLS
    if any(is_exhaustion(cause) for cause in causes):
        return Trouble.RESOURCE
    if isinstance(error, OSError):
        return Trouble.RESET if sent else Trouble.CONNECT
    return Trouble.INTERNAL


def is_exhaustion(error: BaseException) -> bool:
    """Whether this machine, not the endpoint, has run out: file handles, ports, memory."""
    return isinstance(error, OSError) and error.errno in _OUT_OF_RESOURCES


def describe(error: BaseException) -> str:
    """Return a line for people: the innermost words, with the type where they say too little."""
    texts = [str(cause).strip() for cause in _causes(error)]
    words = next((text for text in texts if text), "")
    if isinstance(error, AttemptError) and words:
        return words[:_LONGEST_DETAIL]
    return f"{type(error).__name__}: {words}".removesuffix(": ")[:_LONGEST_DETAIL]


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    nxt: BaseException | None = error
    while nxt is not None and nxt not in found:
        found.append(_leaf(nxt))
        nxt = found[-1].__cause__ or found[-1].__context__
    return found
