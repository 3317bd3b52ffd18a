"""What is written on a message that was set aside, and the name it gets."""

import pytest
from msgspec.structs import replace

from webhook_runner.broker.letter import letter_of, put_aside_at
from webhook_runner.task.model import Message

LETTER = Message(b"body", {"wr-id": "t1", "wr-died": 1_700_000_000_123}, message_id="m")


def test_a_letter_has_one_name_of_sixteen_digits() -> None:
    name = letter_of(LETTER)
    assert len(name) == 16
    assert name == letter_of(replace(LETTER, headers={**LETTER.headers, "wr-attempts": 3}))


@pytest.mark.parametrize(
    "other",
    [
        replace(LETTER, body=b"other"),
        replace(LETTER, message_id="n"),
        replace(LETTER, message_id="mt", headers={"wr-id": "1", "wr-died": 1_700_000_000_123}),
        replace(LETTER, headers={**LETTER.headers, "wr-died": 1}),
        replace(LETTER, headers={**LETTER.headers, "wr-error": "timeout"}),
    ],
)
def test_letters_that_differ_have_different_names(other: Message) -> None:
    assert letter_of(other) != letter_of(LETTER)


def test_the_time_is_that_of_the_death_or_of_the_setting_aside() -> None:
    assert put_aside_at(LETTER) == 1_700_000_000.123
    assert put_aside_at(replace(LETTER, headers={"wr-set-aside": 1500})) == 1.5
    assert put_aside_at(replace(LETTER, headers={})) == 0.0
