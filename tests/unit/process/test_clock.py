import time
import uuid

from webhook_runner.process.clock import SystemClock, TaskIds, dice, task_id


def test_an_id_is_a_version_7_uuid_in_canonical_form() -> None:
    before = int(time.time() * 1000)
    text = task_id()
    parsed = uuid.UUID(text)
    assert str(parsed) == text
    assert (len(text), parsed.version, parsed.variant) == (36, 7, uuid.RFC_4122)
    assert before <= parsed.int >> 80 <= int(time.time() * 1000) + 1


def test_ids_made_one_after_the_other_sort_that_way() -> None:
    ids = [task_id() for _ in range(20_000)]
    assert ids == sorted(set(ids))


def test_ids_go_on_growing_when_the_clock_stands_or_steps_back() -> None:
    times = iter([1_700_000_000.0] * 5000 + [1_600_000_000.0] * 10)
    make = TaskIds(lambda: next(times))
    ids = [make() for _ in range(5010)]
    assert ids == sorted(set(ids))
    assert ids[0].startswith("018bcfe5-6800-7")


async def test_the_clock_is_the_machines() -> None:
    clock = SystemClock()
    assert abs(clock.now() - time.time()) < 5
    start = clock.monotonic()
    await clock.sleep(0)
    assert clock.monotonic() >= start


def test_dice_throw_numbers_from_0_to_1_and_differ() -> None:
    first, second = dice(), dice()
    throws = [first() for _ in range(100)]
    assert all(0 <= throw < 1 for throw in throws)
    assert throws != [second() for _ in range(100)]
