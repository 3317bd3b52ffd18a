"""`send`: what a task may ask for becomes a message, or whole messages are read."""

import sys
from collections.abc import Sequence

import typer

from webhook_runner.cli import sending, wish
from webhook_runner.cli.call import Call, asks
from webhook_runner.cli.message import header_table, instant, message, messages, raw_json, read
from webhook_runner.cli.option import seconds
from webhook_runner.cli.report import HELP, CommandError, Exit

EXAMPLES = """Examples:

  webhook-runner send http://localhost:8000/hello

  webhook-runner send /invoices --payload '{"id": 7}' --in 5m

  webhook-runner send /pay --max-retries 3 --roll-back /unpay

  webhook-runner send --file messages.ndjson --output json

  webhook-runner send /hello --url http://daemon.example.com:7676

  echo '{"url": "/a"}' | webhook-runner send -"""

app = typer.Typer(add_completion=False)


@app.command("send", context_settings=HELP, epilog=EXAMPLES)
@asks
def send_tasks(
    call: Call,
    url: wish.Url = None,
    payload: wish.Payload = None,
    text: wish.Text = None,
    countdown: wish.Countdown = None,
    wait: wish.In = None,
    eta: wish.Eta = None,
    expires: wish.Expires = None,
    max_retries: wish.MaxRetries = None,
    method: wish.Method = None,
    header: wish.Header = None,
    roll_back: wish.RollBack = None,
    queue: wish.Queue = None,
    timeout: wish.Timeout = None,
    metadata: wish.Metadata = None,
    task_id: wish.Id = None,
    file: wish.File = None,
) -> None:
    """Send a task, or whole messages from a file or stdin, and print the ids."""
    fields = {
        "id": task_id,
        "url": url,
        "method": method,
        "payload": _payload(payload, text),
        "headers": header_table(header or []),
        "countdown": _countdown(countdown, wait),
        "eta": instant(eta),
        "expires": instant(expires),
        "max_retries": max_retries,
        "timeout": timeout,
        "roll_back": roll_back,
        "metadata": metadata and raw_json(metadata, sys.stdin.buffer, "--metadata"),
    }
    bodies = _bodies(file or ("-" if url == "-" else None), fields)
    sending.send_all(call, bodies, queue)


def _bodies(source: str | None, fields: dict[str, object]) -> Sequence[bytes]:
    given = [name for name, value in fields.items() if value is not None and value != "-"]
    if source is None:
        if fields["url"] is None:
            raise CommandError("a URL is missing", "name one, or --file FILE, or -", Exit.USAGE)
        return [message(fields)]
    if given:
        raise CommandError(
            f"whole messages hold everything themselves; leave out {', '.join(given)}",
            code=Exit.USAGE,
        )
    return messages(read(source, sys.stdin.buffer))


def _payload(payload: str | None, text: str | None) -> object:
    if payload is not None and text is not None:
        raise CommandError("--payload and --text exclude each other", code=Exit.USAGE)
    return text if payload is None else raw_json(payload, sys.stdin.buffer, "--payload")


def _countdown(countdown: float | None, wait: str | None) -> float | None:
    if countdown is not None and wait is not None:
        raise CommandError("--countdown and --in exclude each other", code=Exit.USAGE)
    return countdown if wait is None else seconds(wait)
