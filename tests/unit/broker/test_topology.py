"""The broker objects as data: what must be there, how it is bound, and the export of it."""

import re

import pytest

from webhook_runner.broker.amqp.topology import ENDLESS, Queue, Topology, definitions

TOPOLOGY = Topology("wr.v1", ("default", "mail.out"))


def every() -> dict[str, Queue]:
    return {queue.name: queue for queue in TOPOLOGY.every_queue()}


def test_each_exchange_that_we_publish_to_catches_what_it_cannot_route() -> None:
    exchanges = {each.name: each for each in TOPOLOGY.exchanges()}
    for name in TOPOLOGY.ours:
        assert exchanges[name].kind == "direct"
        assert exchanges[name].arguments == {"alternate-exchange": "wr.v1.unrouted"}
    assert exchanges["wr.v1.unrouted"].kind == exchanges["wr.v1.poison"].kind == "fanout"


def test_a_work_queue_gives_up_a_deadly_message_to_the_poison_queue_and_refuses_none() -> None:
    queue = TOPOLOGY.work_queue("mail.out")
    assert queue.name == "mail.out"
    assert queue.arguments == {
        "x-queue-type": "quorum",
        "x-delivery-limit": 50,
        "x-dead-letter-exchange": "wr.v1.poison",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    (binding,) = queue.bindings
    assert (binding.exchange, binding.queue, binding.key) == ("wr.v1.work", "mail.out", "mail.out")


def test_a_slot_has_nothing_but_its_type_and_an_endless_delivery_limit() -> None:
    slot = TOPOLOGY.slot(2, 63)
    assert slot.name == "wr.v1.wait.2.63"
    assert slot.arguments == {"x-queue-type": "quorum", "x-delivery-limit": ENDLESS}
    assert slot.bindings[0].key == "2.63"


@pytest.mark.parametrize("argument", ["x-max-length", "x-message-ttl", "x-expires"])
def test_no_queue_of_ours_forgets_or_refuses(argument: str) -> None:
    assert all(argument not in queue.arguments for queue in every().values())


def test_no_queue_relies_on_the_default_delivery_limit_or_on_minus_one() -> None:
    assert all(int(queue.arguments["x-delivery-limit"]) > 0 for queue in every().values())


def test_every_queue_is_quorum_and_bound() -> None:
    assert all(queue.arguments["x-queue-type"] == "quorum" for queue in every().values())
    assert all(queue.bindings for queue in every().values())


def test_no_two_queues_share_a_name_or_a_binding() -> None:
    queues = tuple(TOPOLOGY.every_queue())
    assert len({queue.name for queue in queues}) == len(queues)
    direct = [b for q in queues for b in q.bindings if b.exchange in TOPOLOGY.ours]
    assert len({(b.exchange, b.key) for b in direct}) == len(direct)


def test_each_work_queue_has_a_place_for_the_dead_and_for_the_invalid() -> None:
    names = every()
    for queue in TOPOLOGY.queues:
        assert f"wr.v1.dead.{queue}" in names
        assert f"wr.v1.invalid.{queue}" in names


def test_two_prefixes_share_no_object_but_the_work_queues() -> None:
    other = {queue.name for queue in Topology("other", TOPOLOGY.queues).every_queue()}
    assert other & every().keys() == set(TOPOLOGY.queues)


def test_the_export_holds_every_queue_exchange_and_binding() -> None:
    exported = definitions("wr.v1", TOPOLOGY.queues, "tenant")
    queues, exchanges, bindings = (exported[key] for key in ("queues", "exchanges", "bindings"))
    assert isinstance(queues, list)
    assert isinstance(exchanges, list)
    assert isinstance(bindings, list)
    assert {each["name"] for each in queues} == every().keys()
    assert {each["name"] for each in exchanges} == {each.name for each in TOPOLOGY.exchanges()}
    assert len(bindings) == len(every())
    assert {each["vhost"] for each in (*queues, *exchanges, *bindings)} == {"tenant"}


def test_the_permissions_of_the_export_suffice_for_every_queue_and_publish() -> None:
    exported = definitions("wr.v1", TOPOLOGY.queues)
    assert isinstance(exported["permissions"], list)
    (permissions,) = exported["permissions"]
    assert all(re.search(permissions["read"], name) for name in every())
    assert all(re.search(permissions["write"], name) for name in TOPOLOGY.ours)
    assert not re.search(permissions["configure"], "wr.v1.work")
    assert not re.search(permissions["read"], "mailXout")
