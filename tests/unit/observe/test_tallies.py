"""One page for several processes: totals are summed, also those of processes that ended."""

from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.unit.observe.events import ENVELOPE, ONE_OF_EACH
from webhook_runner.observe.metrics import MetricsObserver
from webhook_runner.observe.tallies import Tallies, counts
from webhook_runner.task.event import (
    AttemptFinished,
    AttemptStarted,
    BrokerConnected,
    BrokerLost,
    ConsumingChanged,
    TaskSucceeded,
)
from webhook_runner.task.outcome import Responded

QUEUE = ENVELOPE.task.queue


@pytest.fixture
def own() -> MetricsObserver:
    metrics = MetricsObserver("1", [QUEUE])
    metrics.page = Tallies(metrics.registry)
    return metrics


@pytest.fixture
def workers() -> list[MetricsObserver]:
    return [MetricsObserver("1", [QUEUE]) for _ in range(2)]


def tallies(own: MetricsObserver) -> Tallies:
    assert isinstance(own.page, Tallies)
    return own.page


def read(own: MetricsObserver, name: str, **labels: str) -> float:
    found = [
        sample.value for sample in samples(own) if (sample.name, sample.labels) == (name, labels)
    ]
    assert len(found) == 1, (name, labels, found)
    return float(found[0])


def samples(own: MetricsObserver) -> Iterator[Sample]:
    for family in text_string_to_metric_families(own.text().decode()):
        yield from family.samples


def tell(own: MetricsObserver, workers: list[MetricsObserver]) -> None:
    for number, worker in enumerate(workers):
        worker.look()
        tallies(own).take(number, counts(worker.registry))


def call(worker: MetricsObserver, times: int) -> None:
    for _ in range(times):
        worker.notice(AttemptStarted(ENVELOPE, 0.02))
        worker.notice(AttemptFinished(ENVELOPE, Responded(200), 0.03))
        worker.notice(TaskSucceeded(ENVELOPE))


def test_what_workers_count_is_summed(own: MetricsObserver, workers: list[MetricsObserver]) -> None:
    call(workers[0], 3)
    call(workers[1], 4)
    workers[1].notice(AttemptStarted(ENVELOPE, 5.5))
    tell(own, workers)
    tell(own, workers)  # totals, not what was added
    done = {"queue": QUEUE, "state": "succeeded", "reason": ""}
    assert read(own, "webhook_runner_tasks_total", **done) == 7
    assert read(own, "webhook_runner_request_seconds_count", queue=QUEUE) == 7
    assert read(own, "webhook_runner_schedule_lag_seconds_bucket", queue=QUEUE, le="0.025") == 7
    assert read(own, "webhook_runner_schedule_lag_seconds_bucket", queue=QUEUE, le="+Inf") == 8
    assert read(own, "webhook_runner_in_flight", queue=QUEUE) == 1


def test_the_totals_of_one_that_ended_stay_and_what_it_had_in_hand_does_not(
    own: MetricsObserver, workers: list[MetricsObserver]
) -> None:
    done = {"queue": QUEUE, "state": "succeeded", "reason": ""}
    call(workers[0], 3)
    workers[0].notice(AttemptStarted(ENVELOPE, 0.0))
    tell(own, workers)
    tallies(own).retire(0)
    assert read(own, "webhook_runner_tasks_total", **done) == 3
    assert read(own, "webhook_runner_in_flight", queue=QUEUE) == 0
    workers[0] = MetricsObserver("1", [QUEUE])
    call(workers[0], 2)
    tell(own, workers)
    tallies(own).retire(0)
    tallies(own).retire(0)
    assert read(own, "webhook_runner_tasks_total", **done) == 5


def test_a_state_is_that_of_all(own: MetricsObserver, workers: list[MetricsObserver]) -> None:
    for each in (own, *workers):
        each.notice(BrokerConnected("h", "3"))
    workers[0].notice(ConsumingChanged(QUEUE, consuming=True))
    tell(own, workers)
    assert read(own, "webhook_runner_consuming", queue=QUEUE) == 1
    assert read(own, "webhook_runner_broker_up") == 1
    workers[1].notice(BrokerLost("gone", 1.0))
    tell(own, workers)
    assert read(own, "webhook_runner_broker_up") == 0
    assert read(own, "webhook_runner_store_up") == 1


def test_the_page_of_one_process_alone_is_as_it_was(own: MetricsObserver) -> None:
    alone = MetricsObserver("1", [QUEUE])
    call(alone, 1)
    call(own, 1)
    both = [
        {(each.name, tuple(each.labels.items())) for each in samples(metrics)}
        for metrics in (alone, own)
    ]
    assert both[0] == both[1]


def test_whatever_was_counted_is_told_as_numbers_that_any_reader_takes(
    workers: list[MetricsObserver],
) -> None:
    for event in ONE_OF_EACH:
        workers[0].notice(event)
    workers[0].look()
    kinds = {type(value) for _, _, value in counts(workers[0].registry)}
    assert kinds <= {float, int}  # but not bool
