"""One observer made of many, none of which can harm the others or the caller."""

from collections.abc import Callable
from contextlib import suppress

from webhook_runner.ports import Observer
from webhook_runner.task.event import Event, Warned


class Fanout:
    """Tells every observer every event, in the order they were given.

    ``failures`` counts, by the class name of the observer, the events it raised on. The first
    one is told to the others as ``Warned``; later ones are only counted.
    """

    def __init__(self, *observers: Observer) -> None:
        self._notices: tuple[tuple[str, Callable[[Event], None]], ...] = tuple(
            (type(observer).__name__, observer.notice) for observer in observers
        )
        self.failures: dict[str, int] = {}

    def join(self, observer: Observer) -> None:
        """Tell one more observer, after the others, from now on."""
        self._notices = (*self._notices, (type(observer).__name__, observer.notice))

    def notice(self, event: Event) -> None:
        for name, notice in self._notices:
            try:
                notice(event)
            except Exception as error:  # noqa: BLE001 - watching must never stop the work
                self._tell(name, event, error)

    def _tell(self, broken: str, event: Event, error: Exception) -> None:
        count = self.failures.get(broken, 0)
        self.failures[broken] = count + 1
        if count:
            return
        text = f"{broken} failed on {type(event).__name__}: {type(error).__name__}: {error}"
        warning = Warned(about=f"observer {broken}", text=text)
        for name, notice in self._notices:
            if name != broken:
                with suppress(Exception):
                    notice(warning)
