"""A message handed over again after a crash, and the copy that the dead daemon had made of it."""

from msgspec.structs import replace

from tests.unit.policy.samples import NOW, envelope, rollback_of, task
from webhook_runner.engine.lineage import SAME_CRASH, Lineage

RUN = int(NOW * 1000)
COPY = envelope(run=RUN, gen=1)
HANDED_OVER_AGAIN = envelope(run=RUN + 5_000, gen=0, again=True)


def test_the_message_is_superfluous_once_its_copy_was_seen() -> None:
    lineage = Lineage()
    assert not lineage.is_superfluous(COPY)
    assert lineage.is_superfluous(HANDED_OVER_AGAIN)


def test_a_second_line_ends_when_the_first_shows() -> None:
    lineage = Lineage()
    assert not lineage.is_superfluous(HANDED_OVER_AGAIN)
    assert not lineage.is_superfluous(replace(HANDED_OVER_AGAIN, gen=1))
    assert not lineage.is_superfluous(COPY)
    assert lineage.is_superfluous(replace(HANDED_OVER_AGAIN, gen=2))
    assert not lineage.is_superfluous(replace(COPY, gen=2))


def test_a_message_published_anew_is_a_new_task() -> None:
    lineage = Lineage()
    lineage.is_superfluous(COPY)
    assert not lineage.is_superfluous(replace(HANDED_OVER_AGAIN, again=False))


def test_other_content_another_id_or_an_id_of_our_making_is_another_task() -> None:
    lineage = Lineage()
    lineage.is_superfluous(COPY)
    again = HANDED_OVER_AGAIN
    assert not lineage.is_superfluous(replace(again, task=task(source=b"{}")))
    assert not lineage.is_superfluous(replace(again, task=task(id="other")))
    assert not lineage.is_superfluous(replace(again, named=False))
    assert not lineage.is_superfluous(rollback_of(run=RUN + 5_000, again=True))


def test_a_line_that_began_much_earlier_is_no_line_of_the_same_crash() -> None:
    lineage = Lineage()
    lineage.is_superfluous(COPY)
    assert not lineage.is_superfluous(replace(HANDED_OVER_AGAIN, run=RUN + SAME_CRASH))
