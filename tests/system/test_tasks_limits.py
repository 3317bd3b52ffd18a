"""So many at once and so many per second, not one more."""

import pytest

from tests.parts.receiver import Answer, Receiver
from tests.parts.stage import Stage

pytestmark = pytest.mark.system


def test_the_concurrency_of_a_queue_is_reached_and_never_exceeded(
    common: Stage, receiver: Receiver
) -> None:
    receiver.script("/hangs", [Answer(hang=True)])
    receiver.script("/fails", [Answer(500, delay=0.02), Answer(200, delay=0.02)])
    common.publish("narrow", *({"url": f"{receiver.url}/hangs"} for _ in range(12)))
    receiver.wait_until(lambda: receiver.in_flight == 3)
    common.wait_for_depths("narrow", 0, 12)
    assert len(receiver.requests) == 3
    common.publish("narrow", *({"url": f"{receiver.url}/fails"} for _ in range(12)))
    receiver.release()
    receiver.wait_for(12, "/hangs")
    receiver.wait_for(13, "/fails")
    common.wait_until_empty("narrow")
    assert receiver.peak_in_flight == 3


def test_a_busy_queue_does_not_hold_up_another(common: Stage, receiver: Receiver) -> None:
    receiver.script("/hangs", [Answer(hang=True)])
    common.publish("single", *({"url": f"{receiver.url}/hangs"} for _ in range(60)))
    receiver.wait_for(1, "/hangs")
    common.publish("plain", {"url": f"{receiver.url}/other"})
    receiver.wait_for(1, "/other")
    receiver.release()
    receiver.wait_for(60, "/hangs", timeout=20)


def test_the_rate_of_a_queue_holds_in_every_window(common: Stage, receiver: Receiver) -> None:
    rate, bucket, total = 10, 3, 30
    receiver.script("/fails", [Answer(500), Answer(200)])
    tasks = [{"url": f"{receiver.url}/paced"} for _ in range(total - 2)]
    common.publish("paced", *tasks, {"url": f"{receiver.url}/fails"})
    receiver.wait_for(total, timeout=20)
    arrived = sorted(request.arrived_monotonic for request in receiver.requests)
    # One more: what was sent a moment late makes the window of its successors shorter.
    assert all(
        later - earlier + 1 <= bucket + rate * (arrived[later] - arrived[earlier]) + 1
        for earlier in range(total)
        for later in range(earlier + 1, total)
    )
    assert arrived[-1] - arrived[0] >= (total - bucket - 1) / rate


def test_the_limit_of_the_daemon_holds_over_all_queues(stage: Stage) -> None:
    queues = {"a": "concurrency = 10", "b": "concurrency = 10"}
    stage.daemon(queues, top="max_total = 4\n")
    stage.receiver.script("/hangs", [Answer(hang=True)])
    for queue in queues:
        stage.publish(queue, *({"url": "/hangs"} for _ in range(8)))
    stage.receiver.wait_until(lambda: stage.receiver.in_flight == 4)
    for queue in queues:
        stage.wait_for_depths(queue, 0, 8)
    stage.receiver.release()
    stage.receiver.wait_for(16, "/hangs")
    assert stage.receiver.peak_in_flight == 4
