"""What the words of an endpoint mean: success, a wait it asks for, an order to stop."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

import msgspec

from webhook_runner.settings import QueueSettings
from webhook_runner.task.outcome import Responded

FINAL_WHEN_SMART = frozenset(
    {400, 401, 403, 404, 405, 406, 410, 411, 413, 414, 415, 422, 451, 501, 505}
)
"""Statuses that no repetition mends (``retry_on = "smart"``)."""

RESET_HEADERS = ("ratelimit-reset", "x-ratelimit-reset")

EPOCH = 1e9
"""A larger number of seconds is a time since 1970, not a wait."""

PAUSES_DESTINATION = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Order:
    """What ``Webhook-Runner-Retry`` says: never, after so many seconds, snooze so many."""

    never: bool = False
    after: float | None = None
    snooze: float | None = None


def is_success(response: Responded, queue: QueueSettings) -> bool:
    if response.status not in queue.success_codes:
        return False
    return not queue.success_json or _says(response.body, queue.success_json)


def is_final(status: int, queue: QueueSettings) -> bool:
    return queue.retry_on == "smart" and status in FINAL_WHEN_SMART


def retry_order(headers: Mapping[str, str]) -> Order:
    """Read ``Webhook-Runner-Retry: never, after=SECONDS, snooze=SECONDS``; ignore nonsense."""
    word, _, number = headers.get("webhook-runner-retry", "").strip().lower().partition("=")
    seconds = _seconds(number)
    if word == "never":
        return Order(never=True)
    if word == "after" and seconds is not None:
        return Order(after=seconds)
    if word == "snooze" and seconds is not None:
        return Order(snooze=seconds)
    return Order()


def retry_after(response: Responded, queue: QueueSettings, now: float) -> float:
    """Seconds the endpoint asks us to wait, capped by ``retry_after_max``; 0 when it does not.

    ``Retry-After`` of RFC 9110 §10.2.3 (seconds, also decimal, or any of the three date forms),
    with ``rate_headers`` also ``RateLimit-Reset`` and ``X-RateLimit-Reset``. What is invalid,
    negative or past counts as absent.
    """
    waits = [_wait(response.headers.get("retry-after", ""), now)]
    if queue.rate_headers:
        resets = (response.headers.get(name, "") for name in RESET_HEADERS)
        waits += [_until_reset(text, now) for text in resets]
    wait = next((wait for wait in waits if wait > 0), 0.0)
    return min(wait, queue.retry_after_max)


def _wait(text: str, now: float) -> float:
    seconds = _seconds(text)
    if seconds is not None:
        return seconds
    try:
        moment = parsedate_to_datetime(text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now
    except (TypeError, ValueError, IndexError, OverflowError):
        return 0.0


def _until_reset(text: str, now: float) -> float:
    """Seconds until a limit is reset, which some write as an epoch time."""
    seconds = _seconds(text)
    if seconds is None or seconds < EPOCH:
        return seconds or 0.0
    return seconds - now


def _seconds(text: str) -> float | None:
    digits = text.strip()
    if not digits.replace(".", "", 1).isdecimal() or not digits.isascii():
        return None
    return float(digits)


def _says(body: bytes, rule: str) -> bool:
    field, _, wanted = rule.partition("=")
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    if not isinstance(found, dict) or found.get(field.strip()) is None:
        return False
    value = found[field.strip()]
    if not isinstance(value, str):
        value = msgspec.json.encode(value).decode()
    return bool(value == wanted.strip())
