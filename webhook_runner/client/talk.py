"""How tasks are sent: in arrays, repeated while there is hope; no socket, no sleep."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

from webhook_runner.client.answer import Accepted, Rejected, Result, Unanswered, read_reply
from webhook_runner.client.ask import Ask, Patience, Talk
from webhook_runner.client.failure import InvalidTaskError, failure
from webhook_runner.client.task import Draft, Sendable, draft

MOST_TASKS = 1000  # the API's own limit for an array
MOST_BYTES = 1_000_000  # many proxies refuse a body above 1 MB

_TASKS = "/v1/tasks"
_TOO_LARGE = 413


def send_all(tasks: Iterable[Sendable], seconds: float) -> Talk[list[Result]]:
    """Send the tasks, and return what was answered to each, in their order.

    Raises:
        ServiceUnavailableError: an array was not answered in full within ``seconds``.
        UnexpectedAnswerError: the answer makes no sense.

    """
    results: list[Result] = []
    batches = arrays(draft(task) for task in tasks)
    for array in batches:
        found = yield from _send_array(array, Patience(seconds))
        results += (each for each in found if not isinstance(each, Unanswered))
        open_ = [each for each in found if isinstance(each, Unanswered)]
        if open_:
            rest = [*_left(array, found), *chain.from_iterable(batches)]
            results += (each for each in rest if isinstance(each, Rejected))
            unsent = (each.task for each in rest if isinstance(each, Draft))
            raise failure(_most_telling(open_), tuple(results), tuple(unsent))
    return results


def only(results: Sequence[Result]) -> Accepted:
    """Return the result of the only task. Raises InvalidTaskError when it was refused."""
    (result,) = results
    if isinstance(result, Rejected):
        raise InvalidTaskError(result)
    return result


def arrays(drafts: Iterable[Draft | Rejected]) -> Iterator[list[Draft | Rejected]]:
    """Yield the drafts in lists that fit into one request each."""
    array: list[Draft | Rejected] = []
    size = 0
    for each in drafts:
        length = len(each.body) + 1 if isinstance(each, Draft) else 0
        if array and (len(array) == MOST_TASKS or size + length > MOST_BYTES):
            yield array
            array, size = [], 0
        array.append(each)
        size += length
    if array:
        yield array


def _send_array(
    array: Sequence[Draft | Rejected], patience: Patience
) -> Talk[list[Result | Unanswered]]:
    """Post what is still open until nothing is, or patience ends; return what each met."""
    found: list[Result | Unanswered] = [
        each if isinstance(each, Rejected) else Unanswered("not sent") for each in array
    ]
    pause: float | None = 0.0
    while pause is not None and (open_ := _left(array, found)):
        said = yield from _post(open_, patience, pause)
        answers = iter(said)
        found = [next(answers) if isinstance(met, Unanswered) else met for met in found]
        pause = _pause(said, patience)
    return found


def _left(array: Sequence[Draft | Rejected], found: Sequence[Result | Unanswered]) -> list[Draft]:
    pairs = zip(array, found, strict=True)
    return [each for each, met in pairs if isinstance(each, Draft) and isinstance(met, Unanswered)]


def _post(
    drafts: Sequence[Draft], patience: Patience, pause: float
) -> Talk[list[Result | Unanswered]]:
    body = b"[" + b",".join(each.body for each in drafts) + b"]"
    reply = yield Ask("POST", _TASKS, body, patience.limit, pause)
    if isinstance(reply, Unanswered):
        return [reply] * len(drafts)
    if reply.status == _TOO_LARGE and len(drafts) > 1:
        half = len(drafts) // 2
        first = yield from _post(drafts[:half], patience, 0.0)
        second = yield from _post(drafts[half:], patience, 0.0)
        return first + second
    return read_reply(reply, [each.id for each in drafts])


def _pause(said: Sequence[Result | Unanswered], patience: Patience) -> float | None:
    open_ = [each for each in said if isinstance(each, Unanswered)]
    if any(not each.again for each in open_):
        return None
    return patience.pause(max((each.retry_after or 0.0 for each in open_), default=0.0))


def _most_telling(open_: Sequence[Unanswered]) -> Unanswered:
    """Return what to tell of several: what repeating does not mend, then what is in doubt."""
    first = min(open_, key=lambda each: (each.again, not each.in_doubt))
    return replace(first, in_doubt=any(each.in_doubt for each in open_))
