"""Messages for the HTTP API of a daemon, and what its answers mean here."""

from collections.abc import Sequence

import msgspec

from webhook_runner.cli.call import Call
from webhook_runner.cli.daemon import daemon, meaning
from webhook_runner.cli.report import CommandError, Exit
from webhook_runner.client import (
    Accepted,
    ClientError,
    NotAllowedError,
    Rejected,
    ServiceUnavailableError,
    UnexpectedAnswerError,
)

_MOST_TOLD = 10
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NULL = b"null"

Verbatim = tuple[str, bytes]
"""The id of a task, and its message as it was written."""


def post(
    call: Call, messages: Sequence[Verbatim], queue: str | None
) -> tuple[list[Accepted], CommandError | None]:
    """Send the messages once; return those that were taken, and why the others were not.

    ``queue`` is for messages that name none; without it the daemon's ``default_queue`` is.

    Raises:
        CommandError: nobody knows where the daemon is, or there is no token where one is named.

    """
    trouble: ClientError | None = None
    with daemon(call) as client:
        try:
            results = client.send_many([_message(each, queue) for each in messages])
        except (ServiceUnavailableError, NotAllowedError, UnexpectedAnswerError) as error:
            trouble, results = error, list(error.results)
    taken = [each for each in results if isinstance(each, Accepted)]
    if trouble is not None:
        return taken, _unsent(trouble)
    numbered = [(n, each) for n, each in enumerate(results, 1) if isinstance(each, Rejected)]
    return taken, _refusal(numbered, alone=len(messages) == 1) if numbered else None


def _message(message: Verbatim, queue: str | None) -> dict[str, object]:
    """Return the members of a message, each as it was written, with an id and perhaps a queue."""
    name, body = message
    raw = _MEMBERS.decode(body)
    members: dict[str, object] = {**raw, "id": name}
    if queue and ("queue" not in raw or bytes(raw["queue"]) == _NULL):
        members["queue"] = queue
    return members


def _unsent(trouble: ClientError) -> CommandError:
    if isinstance(trouble, ServiceUnavailableError):
        return CommandError(str(trouble), "--url sends to another daemon", Exit.UNAVAILABLE)
    return meaning(trouble)


def _refusal(refused: Sequence[tuple[int, Rejected]], *, alone: bool) -> CommandError:
    """Return what the daemon objected to, in the words and with the code of a check made here."""
    lines = [
        each.problem.detail if alone else f"message {number}: {each.problem.detail}"
        for number, each in refused[:_MOST_TOLD]
    ]
    if len(refused) > _MOST_TOLD:
        lines.append(f"and {len(refused) - _MOST_TOLD} more")
    if all(each.problem.fault.reason == "unknown_queue" for _, each in refused):
        return CommandError("\n".join(lines), "configure the queue there", Exit.NOT_FOUND)
    hint = "the daemon's configuration may be stricter than what is checked before sending"
    return CommandError("\n".join(lines), hint, Exit.USAGE)
