"""One observer made of many, none of which can harm the others or the caller."""

from collections.abc import Callable
from contextlib import suppress

from webhook_runner.ports import Observer
from webhook_runner.task.event import Event, Warned

Kinds = tuple[type[Event], ...]
Listening = tuple[str, Callable[[Event], None]]


class Fanout:
    """Tells every observer every event, in the order they were given.

    ``failures`` counts, by the class name of the observer, the events it raised on. The first
    one is told to the others as ``Warned``; later ones are only counted.
    """

    def __init__(self, *observers: Observer) -> None:
        self._observers: list[tuple[Observer, Kinds]] = [(observer, ()) for observer in observers]
        self._by_kind: dict[type[Event], tuple[Listening, ...]] = {}
        self.failures: dict[str, int] = {}

    def join(self, observer: Observer, to: Kinds = ()) -> None:
        """Tell one more observer, after the others, from now on; of these kinds only, if any."""
        self._observers.append((observer, to))
        self._by_kind.clear()

    def notice(self, event: Event) -> None:
        kind = type(event)
        listening = self._by_kind.get(kind)
        if listening is None:
            listening = self._by_kind[kind] = self._who_hears(kind)
        for name, notice in listening:
            try:
                notice(event)
            except Exception as error:  # noqa: BLE001 - watching must never stop the work
                self._tell(name, event, error)

    def _who_hears(self, kind: type[Event]) -> tuple[Listening, ...]:
        return tuple(
            (type(observer).__name__, observer.notice)
            for observer, kinds in self._observers
            if not kinds or kind in kinds
        )

    def _tell(self, broken: str, event: Event, error: Exception) -> None:
        count = self.failures.get(broken, 0)
        self.failures[broken] = count + 1
        if count:
            return
        text = f"{broken} failed on {type(event).__name__}: {type(error).__name__}: {error}"
        warning = Warned(about=f"observer {broken}", text=text)
        for name, notice in self._who_hears(Warned):
            if name != broken:
                with suppress(Exception):
                    notice(warning)
