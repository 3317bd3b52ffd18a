"""Which letters of a queue are meant: the filters that `dead` and `invalid` share."""

from dataclasses import dataclass, fields
from typing import Annotated

import typer

from webhook_runner.cli.option import since
from webhook_runner.client.letters import LetterWishes


@dataclass(frozen=True, slots=True)
class Wanted:
    """A filter as it was given; nothing fits all."""

    ids: Annotated[
        list[str] | None, typer.Option("--id", metavar="ID", help="Of the task; may repeat.")
    ] = None
    letters: Annotated[
        list[str] | None,
        typer.Option("--letter", metavar="LETTER", help="As listed; may repeat."),
    ] = None
    reason: Annotated[str, typer.Option(metavar="WORD", help="Why it was put aside.")] = ""
    status: Annotated[int | None, typer.Option(metavar="N", help="Status of the last answer.")] = (
        None
    )
    url_prefix: Annotated[str, typer.Option(metavar="URL", help="How its url begins.")] = ""
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Put aside since: 1h (ago), or RFC 3339."),
    ] = None
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Put aside before.")] = None

    @property
    def is_anything(self) -> bool:
        """Whether it is no filter at all."""
        return not any(getattr(self, each.name) for each in fields(self))

    def wishes(self) -> LetterWishes:
        """Return the filter as the client takes it."""
        return {
            "ids": self.ids or (),
            "letters": self.letters or (),
            "reason": self.reason,
            "status": self.status,
            "url_prefix": self.url_prefix,
            "since": since(self.since),
            "until": since(self.until),
        }
