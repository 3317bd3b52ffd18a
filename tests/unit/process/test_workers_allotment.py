"""Who has how much of a queue: nobody gets what another may still be using."""

from webhook_runner.policy.division import Portion
from webhook_runner.process.workers.allotment import Allotment, divided
from webhook_runner.settings import QueueSettings

Q = "q"


def slots(allotment: Allotment, count: int = 2) -> list[int]:
    return [allotment.now(number).queues[Q].concurrency for number in range(count)]


def started(concurrency: int, count: int = 2, **limits: object) -> Allotment:
    """Return one whose workers all run, and use all they may."""
    allotment = Allotment(count)
    allotment.want({Q: QueueSettings(concurrency=concurrency, **limits)})  # type: ignore[arg-type]
    for number in range(count):
        allotment.employ(number)
    allotment.next()
    hear(allotment, slots(allotment, count))
    return allotment


def hear(allotment: Allotment, running: list[int]) -> None:
    for number, each in enumerate(running):
        allotment.hear(number, allotment.now(number).version, {Q: each})


def want(allotment: Allotment, concurrency: int, **limits: object) -> None:
    allotment.want({Q: QueueSettings(concurrency=concurrency, **limits)})  # type: ignore[arg-type]
    allotment.next()


def test_a_limit_that_is_raised_is_had_at_once() -> None:
    allotment = started(4)
    want(allotment, 7)
    assert sorted(slots(allotment)) == [3, 4]


def test_what_moves_to_another_moves_when_it_is_free() -> None:
    allotment = started(10, rate=1.0, bucket_size=1.0)
    first = slots(allotment).index(10)
    want(allotment, 10, rate=10.0, bucket_size=2.0)
    assert sorted(slots(allotment)) == [0, 5]  # ten may be running where there will be five
    hear(allotment, [8 if number == first else 0 for number in range(2)])
    allotment.next()
    assert sorted(slots(allotment)) == [2, 5]
    hear(allotment, [5 if number == first else 2 for number in range(2)])
    allotment.next()
    assert slots(allotment) == [5, 5]


def test_a_word_about_older_portions_frees_nothing() -> None:
    allotment = started(10, rate=1.0, bucket_size=1.0)
    first = slots(allotment).index(10)
    old = allotment.now(first).version
    want(allotment, 10, rate=10.0, bucket_size=2.0)
    allotment.hear(first, old, {Q: 0})
    assert allotment.next() == {}


def test_the_part_of_a_dead_worker_is_nobodys() -> None:
    allotment = started(10)
    allotment.bury(0)
    assert allotment.next() == {}
    assert slots(allotment) == [5, 5]


def test_what_a_dead_worker_was_using_is_free() -> None:
    allotment = started(10, rate=1.0, bucket_size=1.0)
    first = slots(allotment).index(10)
    want(allotment, 10, rate=10.0, bucket_size=2.0)
    allotment.bury(first)
    allotment.next()
    assert slots(allotment) == [5, 5]


def test_who_has_no_portion_does_not_consume() -> None:
    allotment = started(1)
    assert sorted(allotment.has_portion(number, Q) for number in range(2)) == [False, True]
    assert divided(QueueSettings(), None).concurrency == 0


def test_a_queue_as_a_worker_has_it_keeps_its_other_settings() -> None:
    queue = QueueSettings(concurrency=10, rate=100.0, timeout=7.0, per_host_concurrency=4)
    found = [divided(queue, each) for each in portions_of(queue)]
    assert [each.timeout for each in found] == [7.0, 7.0]
    assert [each.rate for each in found] == [50.0, 50.0]
    assert [each.bucket_size for each in found] == [10.0, 10.0]
    assert [each.per_host_concurrency for each in found] == [2, 2]


def portions_of(queue: QueueSettings) -> list[Portion]:
    allotment = Allotment(2)
    allotment.want({Q: queue})
    allotment.next()
    return [allotment.now(number).queues[Q] for number in range(2)]
