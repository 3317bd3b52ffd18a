"""A client for the daemon that a command asks, and what its errors mean on the command line."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from webhook_runner.cli.call import Call
from webhook_runner.cli.report import CommandError, Exit
from webhook_runner.client import (
    Client,
    ClientError,
    ConflictError,
    InvalidRequestError,
    MissingError,
    NoStoreError,
    NotAllowedError,
    ServiceUnavailableError,
)
from webhook_runner.config import loader

_UNAVAILABLE = "--url asks another daemon"
_TOKEN = "give one by --token-file or $WEBHOOK_RUNNER_TOKEN; `webhook-runner token` makes one"  # noqa: S105 - no secret
_MEANINGS: tuple[tuple[type[ClientError], Exit, str], ...] = (
    (ServiceUnavailableError, Exit.UNAVAILABLE, _UNAVAILABLE),
    (NotAllowedError, Exit.ERROR, _TOKEN),
    (MissingError, Exit.NOT_FOUND, ""),
    (ConflictError, Exit.CONFLICT, ""),
    (NoStoreError, Exit.ERROR, "a daemon with [store] url keeps a record of its tasks"),
    (InvalidRequestError, Exit.USAGE, ""),
    (ClientError, Exit.ERROR, "does --url or [api] listen name a daemon?"),
)


@contextmanager
def daemon(call: Call, timeout: float = 0.0) -> Iterator[Client]:
    """Give a client that asks once, or for ``timeout`` seconds.

    Raises:
        CommandError: for every error of the client, with a hint and an exit code.

    """
    url, token = (call.api, None) if call.api else _here(call)
    try:
        client = Client(url, token=_given_token(call) or token, timeout=timeout)
    except ValueError as error:
        raise CommandError(str(error), code=Exit.USAGE) from error
    with client:
        try:
            yield client
        except ClientError as error:
            raise meaning(error) from error


def meaning(error: ClientError) -> CommandError:
    """Return what an error of the client is on the command line."""
    code, hint = next((code, hint) for kind, code, hint in _MEANINGS if isinstance(error, kind))
    return CommandError(str(error), hint, code)


def address(url: str, listen: str) -> str:
    """Return where a daemon that listens there is called from here.

    Raises:
        CommandError: it has no API, or not always at the same place.

    """
    if not url:
        text = f'[api] listen = "{listen}": this daemon takes no tasks at a known place'
        hint = "give [api] listen a host and port, or name another daemon by --url"
        raise CommandError(text, hint, Exit.USAGE)
    return url


def _here(call: Call) -> tuple[str, str | None]:
    """Return where the daemon of the configuration listens, and a token that its file tells.

    The strongest one that this user may read is taken; a token known by its hash is no help.
    """
    api = loader.load(call.config, os.environ).settings.api
    files = sorted((each.role != "full", each.file) for each in api.tokens if each.file)
    for _, file in files:
        with suppress(OSError, ValueError):
            return address(api.url, api.listen), Path(file).read_text("utf-8").strip()
    return address(api.url, api.listen), None


def _given_token(call: Call) -> str | None:
    if call.token_file is None:
        return call.token
    try:
        return call.token_file.read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        text = f"{call.token_file} cannot be read: {getattr(error, 'strerror', None) or error}"
        raise CommandError(text, code=Exit.USAGE) from error
