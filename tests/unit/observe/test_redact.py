import pytest

from webhook_runner.observe.redact import LONGEST_TEXT, Redaction, clean, clean_value, without


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("amqp://guest:guest@localhost:5672/", "amqp://***@localhost:5672/"),
        ("http://a:b@c@host/path", "http://***@host/path"),
        ("http://host/mail@home", "http://host/mail@home"),
        ("/tasks?id=7&key=x;y=z", "/tasks?id=***&key=***&y=***"),
        ("http://host/?bare", "http://host/?***"),
        ("http://host/#token", "http://host/#***"),
        ("really? yes", "really? yes"),
        ("two\r\nlines\x1b[31m", "two lines [31m"),
    ],
)
def test_text_shows_without_what_is_secret_in_it(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_long_text_is_cut() -> None:
    assert len(clean("x" * 5000)) == LONGEST_TEXT + 3


def test_a_json_value_is_cleaned_to_its_leaves() -> None:
    value = {"a": ["http://u:p@h/", 1, None], "b": {"c?d=e": "x"}}
    assert clean_value(value) == {"a": ["http://***@h/", 1, None], "b": {"c?d=***": "x"}}


def test_header_values_are_masked_in_an_error() -> None:
    assert without("bad value 'abc'", {"X": "abc", "Y": ""}) == "bad value '***'"


def test_a_secret_is_found_in_every_spelling() -> None:
    redaction = Redaction()
    redaction.register_secret('p"w/ä')
    for spelling in ('p"w/ä', 'p\\"w/ä', "p%22w%2F%C3%A4", "p%22w/%C3%A4"):
        assert redaction.shows_in(f"x {spelling} y")
        assert redaction.scrub({"k": [f"x {spelling} y", 1]}) == {"k": ["x *** y", 1]}
    assert not redaction.shows_in("x y")


def test_what_is_too_short_to_be_a_secret_garbles_no_line() -> None:
    redaction = Redaction()
    for short in ("", "1", "no", "prd"):
        redaction.register_secret(short)
    line = '{"timestamp":"2026-01-11T11:11:11.111Z","event":"task.prd","note":"no"}'
    assert not redaction.shows_in(line)
    assert redaction.scrub(line) == line
    redaction.register_secret("four")
    assert redaction.scrub("it is four") == "it is ***"
