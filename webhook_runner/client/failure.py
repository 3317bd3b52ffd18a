"""The errors of the client: what was refused, by whom, and what is not known to be done."""

from collections.abc import Mapping

from webhook_runner import errors
from webhook_runner.client.answer import Problem, Rejected, Result, Unanswered
from webhook_runner.client.info import TaskStatus
from webhook_runner.client.task import Sendable

_NOT_FOUND = 404


class ClientError(Exception):
    """What was asked for was not done, or it is not known whether it was."""


class InvalidTaskError(ClientError, errors.InvalidTaskError):
    """The task must be mended; it was not taken.

    Attributes:
        id: of the task.
        problem: what is wrong, in full.
        field: the path of the first bad field, "" for the whole task.
        reason: a short word, such as ``wrong_type``.
        detail: the same in a sentence.

    """

    def __init__(self, rejected: Rejected) -> None:
        fault = rejected.problem.fault
        errors.InvalidTaskError.__init__(self, fault.reason, fault.detail, fault.field)
        self.id = rejected.id
        self.problem = rejected.problem
        self.detail = fault.detail


class AnswerError(ClientError):
    """The daemon refuses what was asked for; ``problem`` says why, in full."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail or problem.title)
        self.problem = problem


class MissingError(AnswerError):
    """What was named is not known to the daemon."""


class TaskNotFoundError(MissingError, errors.UnknownTaskError):
    """The store knows no such task."""


class QueueNotFoundError(MissingError, errors.UnknownQueueError):
    """The daemon has no such queue."""


class LetterNotFoundError(MissingError, errors.UnknownTaskError):
    """No such letter, or no such queue: it may have been dropped or replayed meanwhile."""


class ConflictError(AnswerError, errors.ConflictError):
    """The state of the task does not allow it: it has ended, or has not ended yet."""


class NoStoreError(AnswerError, errors.NoStoreError):
    """Only a store knows that, and the daemon has none; the message names the setting."""


class InvalidRequestError(AnswerError):
    """Something asked for makes no sense to the daemon, such as a filter or a limit."""


class _UnansweredError(ClientError):
    def __init__(
        self, why: Unanswered, results: tuple[Result, ...], unsent: tuple[Sendable, ...]
    ) -> None:
        super().__init__(why.detail)
        self.problem: Problem | None = why.problem
        self.retry_after: float | None = why.retry_after
        self.in_doubt: bool = why.in_doubt
        self.results = results
        self.unsent = unsent


class ServiceUnavailableError(_UnansweredError):
    """No daemon answered, or it could do nothing, for as long as the client was patient.

    Attributes:
        results: what was answered to the other tasks of ``send_many``, in their order.
        unsent: the tasks without an answer, in their order, each with its id: sent again as
            they are, those that had been taken after all can be told by it.
        in_doubt: whether some of ``unsent``, or what was asked for, may have been done.
        retry_after: seconds after which the daemon wants to be asked again, or None.
        problem: what the daemon said, or None when it said nothing.

    """


class UnexpectedAnswerError(_UnansweredError):
    """Something answered that repeating does not help against: a stranger, or a daemon's bug.

    The attributes are those of ``ServiceUnavailableError``.
    """


class NotAllowedError(_UnansweredError):
    """The daemon asks for a token, does not know this one, or it may only read.

    The attributes are those of ``ServiceUnavailableError``.
    """


class NotEndedError(ClientError, TimeoutError):
    """The task has not ended in the time that ``wait`` was given.

    Attributes:
        status: how it was at last, None when the store did not know it yet.

    """

    def __init__(self, task_id: str, seconds: float, status: TaskStatus | None) -> None:
        state = status.state if status else "not known yet"
        super().__init__(f"task {task_id} has not ended within {seconds:g} s: it is {state}")
        self.status = status


def failure(
    why: Unanswered, results: tuple[Result, ...] = (), unsent: tuple[Sendable, ...] = ()
) -> ServiceUnavailableError | UnexpectedAnswerError | NotAllowedError:
    """Return the error for what got no answer."""
    if why.denied:
        return NotAllowedError(why, results, unsent)
    kind = ServiceUnavailableError if why.again else UnexpectedAnswerError
    return kind(why, results, unsent)


_REFUSALS: Mapping[int, type[AnswerError]] = {409: ConflictError, 501: NoStoreError}


def refused(problem: Problem, missing: type[MissingError]) -> AnswerError:
    """Return the error for what the daemon refuses; ``missing`` when it does not know it."""
    if problem.status == _NOT_FOUND:
        return missing(problem)
    return _REFUSALS.get(problem.status, InvalidRequestError)(problem)
