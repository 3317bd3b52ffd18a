"""The options of `send`: what a task may ask for."""

from typing import Annotated

import typer

Url = Annotated[
    str | None,
    typer.Argument(help="URL or path to call, or - for messages from stdin.", metavar="URL"),
]
Payload = Annotated[str | None, typer.Option(metavar="JSON", help="Payload; @FILE or - reads it.")]
Text = Annotated[str | None, typer.Option(help="Payload that is plain text.")]
Countdown = Annotated[float | None, typer.Option(metavar="S", help="Seconds to wait.")]
In = Annotated[
    str | None, typer.Option("--in", metavar="TIME", help="The same as 90, 5m, 1h30m or 2d.")
]
Eta = Annotated[
    str | None, typer.Option(metavar="T", help="Earliest time: epoch seconds or RFC 3339.")
]
Expires = Annotated[
    str | None, typer.Option(metavar="T", help="No attempt starts after this time.")
]
MaxRetries = Annotated[int | None, typer.Option(metavar="N", help="-1: for ever.")]
Method = Annotated[str | None, typer.Option(help="POST when not given.")]
Header = Annotated[list[str] | None, typer.Option(metavar="'K: V'", help="May repeat.")]
RollBack = Annotated[
    str | None, typer.Option(metavar="URL", help="Called when the task fails for good.")
]
Queue = Annotated[
    str | None, typer.Option("--queue", "-q", help="Else the message's, else default_queue.")
]
Timeout = Annotated[float | None, typer.Option(metavar="S", help="Seconds for a request.")]
Metadata = Annotated[str | None, typer.Option(metavar="JSON", help="Kept, not sent.")]
Id = Annotated[str | None, typer.Option("--id", help="Letters, digits, - and _; else made.")]
File = Annotated[
    str | None, typer.Option("--file", "-f", help="Whole messages: JSON, an array or NDJSON.")
]
