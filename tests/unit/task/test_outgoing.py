"""The request that leaves: whose header wins, which facts it tells, how long it may take."""

import pytest
from msgspec.structs import replace

from webhook_runner.errors import InvalidTaskError
from webhook_runner.settings import QueueSettings
from webhook_runner.task.model import Envelope, Failure, Kind, Task
from webhook_runner.task.outgoing import request_for

TASK = Task(id="order-7", queue="mail", url="/send", source=b"", body=b'{"id": 7}')
ENVELOPE = Envelope(task=TASK, first_at=1769848200, due_at=1769848200)
QUEUE = QueueSettings()
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def headers_of(envelope: Envelope, queue: QueueSettings = QUEUE) -> dict[str, str]:
    return dict(request_for(envelope, queue, "http://h/api", version="1.2").headers)


def with_task(**changes: object) -> Envelope:
    return replace(ENVELOPE, task=replace(TASK, **changes))


def test_a_first_attempt_tells_who_it_is() -> None:
    request = request_for(ENVELOPE, QUEUE, "http://h/api", version="1.2")

    assert (request.method, request.url, request.body) == (
        "POST", "http://h/api/send", b'{"id": 7}',
    )  # fmt: skip
    assert (request.timeout, request.connect_timeout) == (60, 10)
    assert request.headers == {
        "User-Agent": "webhook_runner/1.2",
        "Content-Type": "application/json",
        "Webhook-Runner-Task-Id": "order-7",
        "Webhook-Runner-Queue": "mail",
        "Webhook-Runner-Event": "task",
        "Webhook-Runner-Attempt": "1",
        "Webhook-Runner-Retry-Count": "0",
        "Idempotency-Key": "order-7",
        "Accept-Encoding": "identity",
    }


def test_a_retry_tells_what_came_before() -> None:
    headers = headers_of(
        replace(
            with_task(max_retries=3, countdown=5.0, expires=1769851800.0),
            attempt=2,
            doubtful=True,
            last_status=503,
            due_at=1769848205.25,
            traceparent=TRACE,
        )
    )

    told = {
        name.removeprefix("Webhook-Runner-"): value
        for name, value in headers.items()
        if name.startswith("Webhook-Runner-")
    }
    assert told == {
        "Task-Id": "order-7",
        "Queue": "mail",
        "Event": "task",
        "Attempt": "2",
        "Retry-Count": "1",
        "Max-Retries": "3",
        "Possible-Duplicate": "true",
        "Eta": "2026-01-31T08:30:05.250Z",
        "Expires": "2026-01-31T09:30:00.000Z",
        "Previous-Status": "503",
        "Retry-Reason": "503",
    }
    assert headers["traceparent"] == TRACE


def test_the_reason_of_a_retry_is_the_error_when_no_status_came() -> None:
    headers = headers_of(replace(ENVELOPE, attempt=2, last_error="dns: kaputt\r\nX: ä"))

    assert headers["Webhook-Runner-Retry-Reason"] == "dns: kaputt?X: ?"
    assert "Webhook-Runner-Previous-Status" not in headers


def test_max_retries_zero_is_told() -> None:
    assert headers_of(with_task(max_retries=0))["Webhook-Runner-Max-Retries"] == "0"


def test_the_task_wins_over_the_queue_and_we_over_both() -> None:
    queue = QueueSettings(headers={"x-a": "queue", "X-B": "queue", "user-agent": "queue"})
    headers = headers_of(
        with_task(headers={"X-A": "task", "CONTENT-TYPE": "text/plain", "accept-encoding": "gzip"}),
        queue,
    )

    assert {name: headers[name] for name in ("X-A", "X-B", "user-agent", "CONTENT-TYPE")} == {
        "X-A": "task", "X-B": "queue", "user-agent": "queue", "CONTENT-TYPE": "text/plain",
    }  # fmt: skip
    assert [value for name, value in headers.items() if name.lower() == "accept-encoding"] == [
        "identity"
    ]
    assert len({name.lower() for name in headers}) == len(headers)


def test_no_body_has_no_content_type() -> None:
    assert "Content-Type" not in headers_of(with_task(body=b""))


def test_a_roll_back_tells_which_task_failed_and_why() -> None:
    headers = headers_of(
        replace(
            with_task(id="order-7~rb"),
            kind=Kind.ROLLBACK,
            origin="order-7",
            failure=Failure("retries_exhausted", attempts=4, last_status=503),
        )
    )

    assert headers["Webhook-Runner-Event"] == "rollback"
    assert headers["Webhook-Runner-Task-Id"] == "order-7"
    assert headers["Idempotency-Key"] == "order-7~rb"
    assert headers["Webhook-Runner-Failure-Reason"] == "retries_exhausted"
    assert headers["Webhook-Runner-Attempts"] == "4"
    assert headers["Webhook-Runner-Last-Status"] == "503"
    assert headers["Webhook-Runner-Max-Retries"] == "10"


@pytest.mark.parametrize(
    ("timeout", "aborts", "now", "expected"),
    [
        (None, False, 0.0, 60),
        (5.0, False, 0.0, 5),
        (1e308, False, 0.0, 600),
        (None, True, 970.0, 30),
        (5.0, True, 970.0, 5),
        (5.0, True, 2000.0, 0.001),
        (None, True, None, 60),
    ],
)
def test_a_timeout_has_three_bounds(
    timeout: float | None,
    aborts: bool,
    now: float | None,
    expected: float,
) -> None:
    request = request_for(
        with_task(timeout=timeout, expires=1000.0),
        QueueSettings(expires_aborts=aborts),
        "http://h",
        version="1",
        now=now,
    )

    assert request.timeout == expected


def test_the_base_of_the_queue_wins_over_the_global_one() -> None:
    request = request_for(ENVELOPE, QueueSettings(base_url="http://q"), "http://h", version="1")

    assert request.url == "http://q/send"


def test_a_path_without_a_base_is_refused() -> None:
    with pytest.raises(InvalidTaskError, match="base_url"):
        request_for(ENVELOPE, QUEUE, "", version="1")
