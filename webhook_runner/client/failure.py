"""The errors of the client. All of them tell which tasks were not taken."""

from webhook_runner import errors
from webhook_runner.client.answer import Problem, Rejected, Result, Unanswered
from webhook_runner.client.task import Sendable


class ClientError(Exception):
    """Some tasks were not taken, or it is not known whether they were."""


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
    """No daemon answered, or it could not take tasks, for as long as the client was patient.

    Attributes:
        results: what was answered to the other tasks of ``send_many``, in their order.
        unsent: the tasks without an answer, in their order, each with its id: sent again as
            they are, those that had been taken after all can be told by it.
        in_doubt: whether some of ``unsent`` may have been taken.
        retry_after: seconds after which the daemon wants to be asked again, or None.
        problem: what the daemon said, or None when it said nothing.

    """


class UnexpectedAnswerError(_UnansweredError):
    """Something answered that repeating does not help against: a stranger, or a daemon's bug.

    The attributes are those of ``ServiceUnavailableError``.
    """


def failure(
    why: Unanswered, results: tuple[Result, ...], unsent: tuple[Sendable, ...]
) -> ServiceUnavailableError | UnexpectedAnswerError:
    """Return the error for tasks that got no answer."""
    kind = ServiceUnavailableError if why.again else UnexpectedAnswerError
    return kind(why, results, unsent)
