"""The demo on the terminal: a table that lives while tasks do; plain lines without a terminal."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from examples.demo.exhibits import REFUSED
from examples.demo.story import Story, at
from tests.parts.daemon import Event
from tests.parts.receiver import Request

WORDS = {
    "task.scheduled": ("waits in the broker", "blue"),
    "task.succeeded": ("succeeded", "green"),
    "task.rolled_back": ("rolled back", "green"),
    "task.retry.scheduled": ("will be tried again", "yellow"),
    "task.failed": ("failed for good", "red"),
    "task.expired": ("expired", "red"),
    "task.rejected": ("set aside", "red"),
    REFUSED: ("refused", "red"),
}
BAR_WIDTH = 40


@dataclass(slots=True)
class Screen:
    """Shows stories as they go on.

    Attributes:
        began: epoch seconds that times are told from.

    """

    console: Console
    began: float = field(default_factory=time.time)
    _told: int = 0
    _live: Live | None = None

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Keep the table on the terminal; nothing where there is none."""
        if not self.console.is_terminal:
            yield
            return
        with Live(console=self.console, refresh_per_second=12, auto_refresh=False) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def show(self, stories: Sequence[Story]) -> None:
        """Bring the table up to date, or print the lines that are new."""
        if self._live is not None:
            over = sum(story.over for story in stories)
            progress = Table.grid(padding=(0, 1))
            bar = ProgressBar(total=len(stories), completed=over, width=BAR_WIDTH)
            progress.add_row(bar, f"{over} of {len(stories)} tasks have come to their end")
            self._live.update(Group(self._table(stories), progress), refresh=True)
        elif not self.console.is_terminal:
            lines = sorted(line for story in stories for line in self._lines(story))
            for moment, line in lines[self._told :]:
                self._print(moment, line)
            self._told = max(self._told, len(lines))

    def arrival(self, request: Request) -> None:
        """Print a request as one line."""
        self._print(request.arrived_at, _arrival(request))

    def _print(self, moment: float, line: str) -> None:
        self.console.print(f"{moment - self.began:9.3f} s  {line}", soft_wrap=True)

    def _lines(self, story: Story) -> Iterator[tuple[float, str]]:
        name = escape(story.exhibit.id)
        yield story.given_at, f"[dim]{name}: handed in: {escape(story.handed.answer)}[/]"
        for request in story.requests:
            yield request.arrived_at, f"{name}: {_arrival(request)}"
        for event in story.events:
            if event["event"] in WORDS:
                yield (
                    at(event["timestamp"]),
                    f"{name}: {_said(event, 'status', 'reason', 'delay_s', 'error')}",
                )

    def _table(self, stories: Sequence[Story]) -> Table:
        table = Table(title_justify="left", expand=False)
        for heading in ("task", "what arrived, after seconds", "what the daemon says"):
            table.add_column(heading, overflow="fold")
        for story in stories:
            arrived = [self._cell(request) for request in story.requests]
            table.add_row(escape(story.exhibit.title), "\n".join(arrived), _verdict(story))
        return table

    def _cell(self, request: Request) -> str:
        return f"[dim]{request.arrived_at - self.began:6.2f}[/] {_arrival(request)}"


def _arrival(request: Request) -> str:
    kind = request.header("Webhook-Runner-Event")
    number = request.header("Webhook-Runner-Attempt")
    what = "roll-back" if kind == "rollback" else f"attempt {number}"
    return f"[cyan]{request.method} {escape(request.path)}[/] {what}"


def _said(event: Event, *names: str) -> str:
    word, style = WORDS[str(event["event"])]
    facts = [f"{name} {event[name]}" for name in names if name in event]
    return f"[{style}]{word}[/] {escape(', '.join(facts))}".rstrip()


def _verdict(story: Story) -> str:
    if story.end == REFUSED:
        return f"[red]refused[/] {escape(story.handed.answer)}"
    told = [event for event in story.events if event["event"] in WORDS]
    last = told[-2:] if story.exhibit.rolled_back and story.end else told[-1:]
    said = "\n".join(_said(event, "status") for event in last)
    left = (story.next_at or 0) - time.time()
    return f"{said}\n[yellow]due in {left:.1f} s[/]" if left > 0 and not story.end else said
