"""Every message of the corpus through every door: one verdict, kept once, sent as written."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest

from tests.parts.broker_doors import EmbeddedDoors, RabbitDoors
from tests.parts.corpus import UNREADABLE, Case, Expected, cases
from tests.parts.doors import GOOD, Doors, Found
from tests.parts.node import RabbitNode
from tests.parts.receiver import Receiver
from tests.parts.stage import BROKERS
from tests.parts.vhosts import VhostPool

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

CASES = cases()
HTTP = ("alone", "among")


@dataclass
class Told:
    """All that the doors of one broker made of the corpus."""

    doors: Doors
    found: dict[str, dict[str, Found]] = field(default_factory=dict)
    runs: int = 0

    def run(self) -> None:
        groups: dict[str, list[Case]] = {}
        for case in CASES:
            groups.setdefault(json.dumps(case.rules), []).append(case)
        for rules, group in groups.items():
            self.runs += 1
            for door, found in self.doors.run(json.loads(rules), group).items():
                self.found.setdefault(door, {}).update(found)


@pytest.fixture(scope="module", params=BROKERS)
def told(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Told]:
    directory = tmp_path_factory.mktemp("doors")
    with Receiver() as receiver:
        doors: Doors
        if request.param == "embedded":
            doors = EmbeddedDoors(directory, receiver)
        else:
            node: RabbitNode = request.getfixturevalue("node")
            vhosts: VhostPool = request.getfixturevalue("_vhosts")
            doors = RabbitDoors(node.vhost_url(vhosts.take()), directory, receiver)
        told = Told(doors)
        try:
            told.run()
            yield told
        finally:
            doors.daemon.close()


def told_of(wrong: dict[str, Any]) -> str:
    """Return a line for each case that went wrong."""
    return "\n".join(f"{name}: {about}" for name, about in wrong.items())


def comes_to(case: Case, door: str, told: Told) -> bool:
    """Whether a case can come by a door at all."""
    return told.doors.carries(case) and not (door in HTTP and case.is_amqp)


def misjudged(case: Case, found: Found | None, door: str) -> Any:
    """Return what was wanted where something else was found, else None."""
    wanted = case.expected()
    if found is None:
        return wanted
    said = case.facts.get("api", {})
    said = said.get(door, said) if door in HTTP else {}
    if "status" in said:
        fits = found.status == said["status"] and found.reason == said.get("reason", found.reason)
        return None if fits else said
    if door in HTTP and found.status not in statuses(wanted, door):
        return (wanted, statuses(wanted, door))
    # A whole array that is no JSON names no item, and what is too large is not read.
    if door in HTTP and not found.accepted and found.status in {400, 413} and not found.reason:
        return None
    same = (found.accepted, found.reason, found.field)
    return None if same == (wanted.accepted, wanted.reason, wanted.field) else wanted


def statuses(wanted: Expected, door: str) -> set[int]:
    if wanted.accepted:
        return {200, 202}
    if wanted.reason in UNREADABLE:
        return {400} if door == "alone" else {400, 422}
    return {413} if wanted.reason == "too_large" and door == "alone" else {422}


def the_verdict_is_that_of_the_corpus(told: Told) -> None:
    wrong = {}
    for case, door in product(CASES, ("broker", *HTTP)):
        found = told.found[door].get(case.tag)
        if comes_to(case, door, told) and (wanted := misjudged(case, found, door)) is not None:
            wrong[f"{case.name} by {door}"] = f"{found}, not {wanted}"
    assert not wrong, told_of(wrong)


def what_is_refused_is_put_aside_once_byte_for_byte(told: Told) -> None:
    refused = {c.tag: c for c in CASES if comes_to(c, "broker", told) and not c.expected().accepted}
    letters = told.doors.letters
    assert Counter(letter.tag for letter in letters) == Counter(list(refused))
    changed = [letter.tag for letter in letters if letter.body != refused[letter.tag].body]
    assert changed == []
    assert {letter.headers["wr-source"] for letter in letters} == {"default"}


def what_is_accepted_ends_as_it_should(told: Told) -> None:
    ends, wrong = told.doors.ends(), {}
    for case in CASES:
        for door, found in told.found.items():
            each = found.get(case.tag)
            taken = each and each.accepted and case.expected().accepted
            if each and taken and case.ends not in ends.get(each.id, set()):
                wrong[f"{case.name} by {door}"] = ends.get(each.id)
    assert not wrong, told_of(wrong)


def what_is_sent_is_what_was_written(told: Told) -> None:
    seen: dict[str, set[tuple[str, bytes]]] = {}
    for request in told.doors.receiver.received():
        name = request.header("Webhook-Runner-Task-Id", "")
        seen.setdefault(str(name), set()).add((request.method, request.body))
    wrong = {}
    for case in CASES:
        if not case.expected().accepted or case.ends != "succeeded":
            continue
        task = case.decoded().envelope.task
        for door, found in told.found.items():
            each = found.get(case.tag)
            if each and each.accepted and (task.method, task.body) not in seen.get(each.id, set()):
                wrong[f"{case.name} by {door}"] = seen.get(each.id)
    assert not wrong, told_of(wrong)


def what_is_refused_is_never_sent(told: Told) -> None:
    known = {found.id for found in told.found["broker"].values()} | told.doors.taken
    sent = {str(r.header("Webhook-Runner-Task-Id")) for r in told.doors.receiver.received()}
    assert sent - known == set()
    whole = {
        GOOD + tag
        for tag, found in told.found["among"].items()
        if not found.accepted and found.status == 400
    }
    assert sent & whole == set()


def the_log_tells_each_error_once_and_nothing_stumbled(told: Told) -> None:
    daemon = told.doors.daemon
    names = Counter(str(event["event"]) for event in daemon.events)
    assert names["daemon.ready"] == names["daemon.stopped"] == told.runs
    reasons = {letter.headers["wr-error"] for letter in told.doors.letters}
    assert len(reasons) <= names["task.rejected"] <= len(reasons) * told.runs
    assert [line for line in daemon.lines if "Traceback" in line or "internal_error" in line] == []
    assert [event for event in daemon.events if event["level"] == "critical"] == []


CHECKS = (
    the_verdict_is_that_of_the_corpus,
    what_is_refused_is_put_aside_once_byte_for_byte,
    what_is_accepted_ends_as_it_should,
    what_is_sent_is_what_was_written,
    what_is_refused_is_never_sent,
    the_log_tells_each_error_once_and_nothing_stumbled,
)


def test_every_door_comes_to_one_verdict(told: Told, subtests: pytest.Subtests) -> None:
    for check in CHECKS:
        with subtests.test(check.__name__):
            check(told)
