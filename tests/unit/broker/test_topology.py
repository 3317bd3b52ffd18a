"""The broker objects as data: what must be there, how it is bound, and the export of it."""

import re

import pytest

from webhook_runner.broker.amqp.topology import ENDLESS, Queue, Topology, definitions

TOPOLOGY = Topology("wr.v1", ("default", "mail.out"), board=True)
STREAM = "wr.v1.tombstones"


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
def test_no_queue_of_ours_forgets_or_refuses_a_task(argument: str) -> None:
    assert all(argument not in queue.arguments for queue in every().values())


def test_no_queue_relies_on_the_default_delivery_limit_or_on_minus_one() -> None:
    limits = {n: queue.arguments.get("x-delivery-limit", 0) for n, queue in every().items()}
    assert {name for name, limit in limits.items() if int(limit) <= 0} == {STREAM}


def test_every_queue_is_bound_and_quorum_but_for_the_stream_of_notices() -> None:
    kinds = {name: queue.arguments["x-queue-type"] for name, queue in every().items()}
    assert {name for name, kind in kinds.items() if kind != "quorum"} == {STREAM}
    assert all(queue.bindings for queue in every().values())


def test_notices_are_kept_longer_than_any_delay() -> None:
    stream = every()[STREAM].arguments
    assert (stream["x-queue-type"], stream["x-max-age"]) == ("stream", "400D")


def test_where_nobody_listens_nothing_of_a_board_is_declared() -> None:
    alone = Topology("wr.v1", TOPOLOGY.queues)
    assert STREAM not in {queue.name for queue in alone.every_queue()}
    assert {each.name for each in TOPOLOGY.exchanges()} - {
        each.name for each in alone.exchanges()
    } == {"wr.v1.control"}


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
    assert re.search(permissions["write"], TOPOLOGY.control)
    ear = TOPOLOGY.ear("0af3")
    assert all(re.search(permissions[each], ear) for each in ("configure", "write", "read"))
    assert re.search(permissions["read"], TOPOLOGY.control)
    assert not re.search(permissions["configure"], "wr.v1.work")
    assert not re.search(permissions["configure"], "wr.v1.ctl")
    assert not re.search(permissions["read"], "mailXout")
