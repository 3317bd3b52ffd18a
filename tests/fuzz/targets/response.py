"""What an endpoint says, a line for each header: a wait within bounds, and a verdict."""

from tests.unit.policy.samples import NOW, envelope, queue, rollback_of
from webhook_runner.policy.answer import retry_after, retry_order
from webhook_runner.policy.retry import decide, destination_pause
from webhook_runner.policy.verdict import Complete, Expire, Fail, Postpone, Retry
from webhook_runner.task.outcome import Responded

NAMES = ("retry-after", "ratelimit-reset", "x-ratelimit-reset", "webhook-runner-retry")
CAP = 600.0
QUEUES = (
    queue(retry_after_max=CAP, rate_headers=True, success_json="ok=true", max_snoozes=2),
    queue(retry_after_max=0.0, retry_on="smart", max_task_age=3600.0),
)
STATUSES = (200, 429, 503, 404, 500)


def check(data: bytes) -> None:
    *texts, body = data.decode("latin-1").split("\n", 4)
    headers = dict(zip(NAMES, texts, strict=False))
    order = retry_order(headers)
    assert [order.never, order.after is not None, order.snooze is not None].count(True) <= 1
    assert (order.after or 0) >= 0 <= (order.snooze or 0)
    for status in STATUSES:
        response = Responded(status, headers, body.encode("latin-1"))
        for rules in QUEUES:
            for now in (NOW, 0.0):
                assert 0 <= retry_after(response, rules, now) <= rules.retry_after_max
                assert 0 <= destination_pause(response, rules, now) <= rules.retry_after_max
            for one in (envelope(), rollback_of()):
                verdict = decide(one, response, rules, NOW, 0.5)
                assert isinstance(verdict, Complete | Retry | Postpone | Fail | Expire)
                if isinstance(verdict, Retry | Postpone):
                    assert NOW <= verdict.next.due_at <= NOW + CAP
