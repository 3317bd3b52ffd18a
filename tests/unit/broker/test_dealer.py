"""The dealer: to whom, how many, and when."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.fakes.clock import FakeClock, settle
from tests.unit.broker.batches import entry
from webhook_runner.broker.sqlite.dealer import Dealer, handle_of
from webhook_runner.broker.sqlite.group_commit import GroupCommit
from webhook_runner.ports import Consumer, Delivery
from webhook_runner.settings import MEMORY


class Hand:
    """A consumer that keeps what it gets."""

    def __init__(self) -> None:
        self.held: list[Delivery] = []

    def receive(self, delivery: Delivery) -> None:
        self.held.append(delivery)

    def take_now(self, delivery: Delivery) -> bool:
        raise NotImplementedError

    @property
    def names(self) -> list[str]:
        return [delivery.message.body.decode() for delivery in self.held]


class Table:
    """A dealer at its file, in the loop; ``start`` is the clock's in epoch milliseconds."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.start = int(self.clock.now() * 1000)
        self.told: list[str] = []
        self.commits = GroupCommit(self.clock, self.told.append, thread=False)
        self.dealer = Dealer(self.commits, self.clock, self._receive)
        self.said: list[str] = []

    async def open(self) -> None:
        self.file = await self.commits.open(MEMORY)
        self.file._database.set_trace_callback(self.said.append)
        self.run = asyncio.ensure_future(self.commits.run(self.file))
        self.dealer.open(self.file.owner)

    async def publish(self, *names: str, due: int = 0) -> None:
        for name in names:
            await self.commits.publish(entry(name, due))
            self.dealer.has_more("q", due)
        await settle()

    async def close(self) -> None:
        self.dealer.close()
        self.run.cancel()
        await asyncio.gather(self.run, return_exceptions=True)
        await self.commits.close(self.file)

    def _receive(self, consumer: Consumer, delivery: Delivery) -> None:
        consumer.receive(delivery)


@pytest.fixture
async def table() -> AsyncIterator[Table]:
    made = Table()
    await made.open()
    yield made
    await made.close()


async def test_nothing_is_dealt_before_the_file_is_open() -> None:
    table, hand = Table(), Hand()
    table.dealer.subscribe("q", hand, 5)
    published = table.commits.publish(entry("a"))
    await settle()
    assert hand.held == []
    await table.open()
    await published
    table.dealer.has_more("q", 0)
    await settle()
    assert hand.names == ["a"]
    await table.close()


async def test_what_is_due_is_dealt_at_its_millisecond(table: Table) -> None:
    hand = Hand()
    table.dealer.subscribe("q", hand, 5)
    await table.publish("later", due=table.start + 5000)
    await table.publish("sooner", due=table.start + 2000)
    await table.clock.advance(1.999)
    assert hand.held == []
    await table.clock.advance(0.001)
    assert hand.names == ["sooner"]
    await table.clock.advance(2.999)
    assert hand.names == ["sooner"]
    await table.clock.advance(0.001)
    assert hand.names == ["sooner", "later"]


async def test_a_queue_without_a_consumer_sets_no_alarm(table: Table) -> None:
    await table.publish("a", due=table.start + 1000)
    await table.clock.advance(10)
    hand = Hand()
    table.dealer.subscribe("q", hand, 5)
    await settle()
    assert hand.names == ["a"]


async def test_no_more_is_dealt_than_there_is_room_for(table: Table) -> None:
    hand = Hand()
    table.dealer.subscribe("q", hand, 2)
    await table.publish("a", "b", "c", "d")
    assert hand.names == ["a", "b"]
    assert await table.dealer.ack(handle_of(hand.held[1])) is True
    await settle()
    assert hand.names == ["a", "b", "c"]
    await table.dealer.release(handle_of(hand.held[0]))
    await settle()
    assert hand.names == ["a", "b", "c", "a"]
    assert hand.held[3].redeliveries == 1


async def test_an_ack_and_the_claim_of_what_follows_are_one_transaction(table: Table) -> None:
    hand = Hand()
    table.dealer.subscribe("q", hand, 1)
    await table.publish("a", "b")
    table.said.clear()
    await table.dealer.ack(handle_of(hand.held[0]))
    await settle()
    assert hand.names == ["a", "b"]
    assert table.said.count("COMMIT") == 1


async def test_a_claim_that_its_consumer_does_not_wait_for_is_given_back_uncounted(
    table: Table,
) -> None:
    first, second = Hand(), Hand()
    await table.publish("a", "b")
    table.dealer.subscribe("q", first, 5)
    table.dealer.subscribe("q", second, 5)
    await settle()
    assert first.held == []
    assert sorted(second.names) == ["a", "b"]
    assert [delivery.redeliveries for delivery in second.held] == [0, 0]


async def test_who_consumes_no_more_is_dealt_nothing_for_what_it_gives_back(
    table: Table,
) -> None:
    hand = Hand()
    table.dealer.subscribe("q", hand, 2)
    await table.publish("a", "b", "c")
    table.dealer.unsubscribe("q")
    table.said.clear()
    for delivery in reversed(hand.held):
        await table.dealer.release(handle_of(delivery))
    await settle()
    assert hand.names == ["a", "b"]
    assert not [line for line in table.said if line.startswith("INSERT INTO unacked")]
    successor = Hand()
    table.dealer.subscribe("q", successor, 3)
    await settle()
    assert successor.names == ["a", "b", "c"]


async def test_a_closed_dealer_deals_nothing_more(table: Table) -> None:
    hand = Hand()
    table.dealer.subscribe("q", hand, 5)
    await table.publish("a", due=table.start + 1000)
    table.dealer.close()
    await table.clock.advance(10)
    assert hand.held == []
    assert table.dealer.queues == frozenset()
