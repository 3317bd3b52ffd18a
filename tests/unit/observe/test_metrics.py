import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.observe.events import CANARY, ENVELOPE, ONE_OF_EACH
from webhook_runner.observe.metrics import MetricsObserver
from webhook_runner.observe.series import outcome_class
from webhook_runner.task.event import (
    AttemptFinished,
    AttemptStarted,
    BreakerClosed,
    BreakerOpened,
    BrokerConnected,
    BrokerLost,
    ConsumingChanged,
    TaskRejected,
)
from webhook_runner.task.outcome import (
    Interrupted,
    Outcome,
    Refused,
    Responded,
    TimedOut,
    Trouble,
    Unreachable,
)


class Series(dict[tuple[str, ...], float]):
    """Values by the name and the label values, in whatever order these are given."""

    def __getitem__(self, key: tuple[str, ...]) -> float:
        return super().__getitem__((key[0], *sorted(key[1:])))


@pytest.fixture
def metrics() -> MetricsObserver:
    return MetricsObserver("1.2.3", ["default", "mail"])


def read(metrics: MetricsObserver) -> Series:
    series = Series()
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            name = sample.name.removeprefix("webhook_runner_")
            series[name, *sorted(sample.labels.values())] = sample.value
    return series


def test_every_event_is_taken_and_the_page_can_be_read(metrics: MetricsObserver) -> None:
    for event in ONE_OF_EACH:
        metrics.notice(event)
    series = read(metrics)
    assert series["tasks_total", "default", "succeeded", ""] == 2
    assert series["tasks_total", "default", "failed", "retries_exhausted"] == 2
    assert series["tasks_total", "default", "expired", "retries_exhausted"] == 1
    assert series["tasks_total", "default", "invalid", "not_json"] == 1
    assert series["tasks_total", "default", "cancelled", ""] == 1
    assert series["rollback_total", "default", "pending"] == 2
    assert series["rollback_total", "default", "delivered"] == 1
    assert series["rollback_total", "default", "failed"] == 1
    assert series["attempts_total", "default", "2xx"] == 1
    assert series["request_seconds_count", "default"] == 3
    assert series["retry_delay_seconds_sum", "default"] == 10.0
    assert series["held_total", "default", "not_due"] == 1
    assert series["config_reloads_total", "true"] == 1
    assert series["config_reloads_total", "false"] == 1
    assert ("process_resident_memory_bytes",) in series
    assert CANARY not in metrics.text().decode()


def test_a_gauge_follows_what_runs_and_what_is_up(metrics: MetricsObserver) -> None:
    assert read(metrics)["consuming", "mail"] == 0
    for event in (
        BrokerConnected("h", "4"),
        AttemptStarted(ENVELOPE, -0.5),
        ConsumingChanged("mail", consuming=True),
    ):
        metrics.notice(event)
    series = read(metrics)
    assert (series["broker_up",], series["reconnects_total",]) == (1, 0)
    assert (series["in_flight", "default"], series["consuming", "mail"]) == (1, 1)
    metrics.notice(BrokerLost("gone", 1.0))
    assert read(metrics)["broker_up",] == 0
    metrics.notice(BrokerConnected("h", "4"))
    metrics.notice(AttemptFinished(ENVELOPE, Responded(200), 0.1))
    series = read(metrics)
    assert (series["reconnects_total",], series["in_flight", "default"]) == (1, 0)


def test_labels_stay_bounded_whatever_senders_write(metrics: MetricsObserver) -> None:
    for number in range(500):
        metrics.notice(TaskRejected(f"queue-{number}", f"reason_{number}", ""))
    invalid = [labels for labels in read(metrics) if labels[0] == "invalid_total"]
    assert {labels[1] for labels in invalid} == {"other"}
    assert len(invalid) <= 52
    assert read(metrics)["invalid_total", "other", "other"] == 450


def test_numbers_kept_elsewhere_can_be_shown(metrics: MetricsObserver) -> None:
    metrics.watch("log_lines_lost", "Log lines that could not be written.", lambda: 7.0)
    assert read(metrics)["log_lines_lost",] == 7.0


def test_destinations_are_counted_by_their_state(metrics: MetricsObserver) -> None:
    metrics.watch_destinations(lambda: {"closed": 7, "open": 2})
    metrics.notice(BreakerOpened("h:1", "failures", None, 20, 20))
    metrics.notice(BreakerClosed("h:1"))
    found = read(metrics)
    assert (found["breaker_state", "closed"], found["breaker_state", "open"]) == (7, 2)
    assert found["breaker_changes_total", "open"] == 1
    assert found["breaker_changes_total", "closed"] == 1


@pytest.mark.parametrize(
    ("outcome", "word"),
    [
        (Responded(204), "2xx"),
        (Responded(599), "5xx"),
        (Responded(999), "other"),
        (TimedOut(1.0), "timeout"),
        (Unreachable(Trouble.DNS), "dns"),
        (Refused("egress"), "refused"),
        (Interrupted(), "interrupted"),
    ],
)
def test_an_outcome_has_a_class(outcome: Outcome, word: str) -> None:
    assert outcome_class(outcome) == word
