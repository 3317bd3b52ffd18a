"""The end of an example: all is healed, everything ends, and is what it must be."""

from collections import Counter

from tests.model.book import BURIED, Seen
from tests.model.page import Page
from tests.model.people import People
from tests.model.reference import FINAL

PATIENCE = (1, 5, 20, 60, 300, 900, 3600, 3600, 7200)


def last_word(scene: People) -> None:
    """Heal, let everything end, and look. Raises AssertionError."""
    scene.heal()
    for seconds in PATIENCE:
        scene.loop.pass_time(seconds)
        seen = scene.look()
        if not (seen.copies or scene.is_asking):
            break
    else:
        raise AssertionError(f"this never ends: {sorted(seen.copies)}")
    scene.loop.pass_time(1)
    seen = scene.look()
    wrong = [text for page in scene.book.pages.values() for text in _of_page(scene, page, seen)]
    wrong += _of_bad(scene, seen)
    if scene.plan.store == "strict":
        wrong += [
            f"{name} is {word} for ever"
            for name, runs in seen.states.items()
            for word in runs.values()
            if word not in FINAL and scene.book.pages[name[1]].line.strict
        ]
    assert not wrong, "\n".join(wrong)


def _of_page(scene: People, page: Page, seen: Seen) -> list[str]:
    line, name = page.line, ("task", page.number)
    invalid = seen.invalid[page.source]
    if not page.births or invalid or page.dropped:
        return [] if page.may_be_invalid or not invalid else [f"{name} was taken for invalid"]
    if not line.strict:
        return _loosely(page)
    wrong = []
    if not (line.ended and line.told in {*FINAL, BURIED}):
        wrong.append(f"{name} has not ended: {line}")
    if len(page.told) > 1 + scene.book.deaths and line.told != "cancelled":
        wrong.append(f"{name} has ended more than once: {page.told}")
    buried = line.told in {"failed", "expired", BURIED}
    if buried != bool(seen.dead[name]) and not (scene.book.deaths and not buried):
        wrong.append(f"{name} has {line.told}, and {seen.dead[name]} dead letters")
    if seen.dead[name] > 1 + scene.book.deaths:
        wrong.append(f"{name} has {seen.dead[name]} dead letters")
    return wrong + _of_undo(page, scene.book.deaths)


def _of_undo(page: Page, deaths: int) -> list[str]:
    name = ("undo", page.number)
    if page.owes_undo and not page.undone:
        return [f"{name} was never made"]
    if not page.undo.strict:
        return []
    if page.undone and not page.owes_undo:
        return [f"{name} was made for nothing"]
    return [f"{name} was made {page.undone}"] if len(page.undone) > 1 + deaths else []


def _loosely(page: Page) -> list[str]:
    wrong = [] if page.told or page.line.told else [f"{page.number} has not ended"]
    if page.owes_undo and not page.undone:
        wrong.append(f"{page.number} was not rolled back")
    return wrong


def _of_bad(scene: People, seen: Seen) -> list[str]:
    book = scene.book
    aside = Counter({body: seen.invalid[body] for body in book.bad_at_most})
    missing = book.bad - aside
    surplus = Counter() if book.deaths + book.losses else aside - book.bad_at_most
    return [f"invalid letters: {missing} are missing, {surplus} too many"] * bool(missing + surplus)
