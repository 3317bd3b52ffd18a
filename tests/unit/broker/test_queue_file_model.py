"""The queue file against a plain model: nothing lost, nothing twice, all in order, all counted."""

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.unit.broker.batches import NOW, ack, batch, claim, entry, give_back
from webhook_runner.broker.sqlite.batch import AT_ONCE, Ack, Claim, Purge, Row
from webhook_runner.broker.sqlite.queue_file import QueueFile
from webhook_runner.settings import MEMORY


@dataclass
class Placed:
    """A message of the model: when it is due, and how often it was handed over in vain."""

    id: int
    queue: str
    due: int
    deliveries: int = 0


class Model(RuleBasedStateMachine):
    """Bodies are numbered by the order of their publishes."""

    def __init__(self) -> None:
        super().__init__()
        self.file = QueueFile.open(MEMORY)
        self.now = NOW
        self.count = 0
        self.ready: dict[int, Placed] = {}
        self.held: dict[int, Placed] = {}
        self.rows: dict[int, Row] = {}

    @rule(
        queue=st.sampled_from("ab"), waits=st.lists(st.sampled_from([None, -9, 0, 5]), max_size=4)
    )
    def publish(self, queue: str, waits: list[int | None]) -> None:
        entries = []
        for wait in waits:
            self.count += 1
            due = AT_ONCE if wait is None else self.now + wait
            self.ready[self.count] = Placed(self.count, queue, due)
            entries.append(entry(str(self.count), due, queue))
        self.file.write(batch(*entries))

    @rule(queue=st.sampled_from("ab"), most=st.integers(1, 4))
    def claim(self, queue: str, most: int) -> None:
        self._compare(queue, most, claim(self.file, most, self.now, queue).rows)

    @rule(
        queue=st.sampled_from("ab"),
        most=st.integers(1, 4),
        data=st.data(),
    )
    @precondition(lambda self: bool(self.held))
    def settle_publish_and_claim_at_once(self, queue: str, most: int, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.held)))
        del self.held[number]
        self.count += 1
        self.ready[self.count] = Placed(self.count, queue, AT_ONCE)
        writes = (Ack(self.rows[number].id), entry(str(self.count), 0, queue))
        (found,) = self.file.write(batch(*writes, Claim(queue, self.now, most))).claimed
        self._compare(queue, most, found.rows)

    @rule(data=st.data(), way=st.sampled_from(["ack", "back", "unseen"]))
    @precondition(lambda self: bool(self.held))
    def settle(self, data: st.DataObject, way: str) -> None:
        numbers = data.draw(st.sets(st.sampled_from(sorted(self.held)), min_size=1))
        ids = [self.rows[number].id for number in numbers]
        acts: dict[str, Callable[[], None]] = {
            "ack": lambda: ack(self.file, ids),
            "back": lambda: give_back(self.file, ids),
            "unseen": lambda: give_back(self.file, ids, counted=False),
        }
        acts[way]()
        for number in numbers:
            placed = self.held.pop(number)
            if way != "ack":
                self._back(number, placed, counted=way == "back")

    @rule(queue=st.sampled_from("ab"), most=st.integers(1, 4))
    def purge(self, queue: str, most: int) -> None:
        is_due = {n for n, p in self.ready.items() if p.queue == queue and p.due <= self.now}
        wanted = batch(Purge(queue, self.now, self.file.last_id, most))
        assert self.file.write(wanted).removed == [min(most, len(is_due))]
        left = self.file._database.execute("SELECT body FROM ready JOIN message USING (id)")
        kept = {int(body) for (body,) in left}
        assert set(self.ready) - kept <= is_due
        self.ready = {n: placed for n, placed in self.ready.items() if n in kept}

    @rule()
    def open_anew(self) -> None:
        self.file.take_over()
        for number, placed in self.held.items():
            self._back(number, placed, counted=True)
        self.held.clear()

    @rule(seconds=st.sampled_from([-20, 1, 5, 20]))
    def let_time_pass(self, seconds: int) -> None:
        self.now += seconds

    @invariant()
    def nothing_is_lost_and_what_waits_is_counted(self) -> None:
        database = self.file._database
        ready = database.execute("SELECT body FROM ready JOIN message USING (id)").fetchall()
        assert sorted(int(body) for (body,) in ready) == sorted(self.ready)
        held = database.execute("SELECT body FROM unacked JOIN message USING (id)").fetchall()
        assert sorted(int(body) for (body,) in held) == sorted(self.held)
        total = database.execute("SELECT count(*) FROM message").fetchone()
        assert total == (len(self.ready) + len(self.held),)
        assert self.file.scheduled == sum(placed.due > AT_ONCE for placed in self.ready.values())

    def teardown(self) -> None:
        self.file.close()

    def _back(self, number: int, placed: Placed, *, counted: bool) -> None:
        deliveries = placed.deliveries + counted
        self.ready[number] = Placed(number, placed.queue, AT_ONCE, deliveries)

    def _compare(self, queue: str, most: int, rows: list[Row]) -> None:
        """See that the right ones came: as many as could, each kind in its order."""
        open_now = [p for p in self.ready.values() if p.queue == queue and p.due <= self.now]
        due = sorted((p.due, p.id) for p in open_now if p.due > AT_ONCE)
        at_once = sorted((p.due, p.id) for p in open_now if p.due == AT_ONCE)
        came = [int(row.body) for row in rows]
        assert len(came) == min(most, len(open_now))
        for kind in (due, at_once):
            in_order = [number for _, number in kind]
            of_kind = [number for number in came if number in set(in_order)]
            assert of_kind == in_order[: len(of_kind)]
        for row, number in zip(rows, came, strict=True):
            placed = self.held[number] = self.ready.pop(number)
            assert row.deliveries == placed.deliveries
            self.rows[number] = row


Model.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestQueueFile = Model.TestCase
