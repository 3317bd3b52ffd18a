"""What the words of an endpoint mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.policy.samples import answer, queue
from webhook_runner.policy.answer import Order, is_success, retry_order
from webhook_runner.task.outcome import Responded


@pytest.mark.parametrize(
    ("codes", "good", "bad"),
    [
        ("200-299", [200, 250, 299], [199, 300, 404]),
        (200, [200], [201, 204]),
        ("200,202-204,404", [200, 202, 203, 204, 404], [201, 205, 403]),
    ],
)
def test_success_is_a_set_of_statuses(codes: object, good: list[int], bad: list[int]) -> None:
    settings = queue(success_codes=codes)

    assert all(is_success(answer(status), settings) for status in good)
    assert not any(is_success(answer(status), settings) for status in bad)


@pytest.mark.parametrize(
    ("rule", "body", "success"),
    [
        ("status=success", b'{"status": "success", "retval": 3}', True),
        (" status = success ", b'{"status": "success"}', True),
        ("status=success", b'{"status": "failure"}', False),
        ("status=success", b'{"state": "success"}', False),
        ("status=success", b'["status=success"]', False),
        ("status=success", b"success", False),
        ("status=success", b"", False),
        ("status=success", b"\xff\xfe", False),
        ("status=success", b'{"status": null}', False),
        ("status=success", b"[" * 5000, False),
        ("code=0", b'{"code": 0}', True),
        ("ok=true", b'{"ok": true}', True),
        ("ok=true", b'{"ok": "true"}', True),
        ("ok=True", b'{"ok": true}', False),
        ("x=a=b", b'{"x": "a=b"}', True),
        ("x=null", b'{"x": null}', False),
    ],
)
def test_a_body_may_have_to_say_so_too(rule: str, body: bytes, *, success: bool) -> None:
    settings = queue(success_json=rule)

    assert is_success(Responded(200, body=body), settings) is success
    assert not is_success(Responded(500, body=body), settings)


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("never", Order(never=True)),
        (" Never ", Order(never=True)),
        ("after=30", Order(after=30)),
        ("After = 1.5", Order()),
        ("after= 1.5", Order(after=1.5)),
        ("snooze=10", Order(snooze=10)),
        ("after", Order()),
        ("after=", Order()),
        ("after=-1", Order()),
        ("after=soon", Order()),
        ("snooze=NaN", Order()),
        ("always", Order()),
        ("", Order()),
    ],
)
def test_the_words_of_the_retry_header(text: str, order: Order) -> None:
    assert retry_order({"webhook-runner-retry": text}) == order


@given(st.text(max_size=40))
def test_nonsense_in_the_retry_header_is_never_an_error(text: str) -> None:
    retry_order({"webhook-runner-retry": text})


@given(st.binary(max_size=60))
def test_nonsense_in_a_body_is_never_an_error(body: bytes) -> None:
    is_success(Responded(200, body=body), queue(success_json="a=b"))
