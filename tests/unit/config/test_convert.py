# ruff: noqa: E501 - the lines stand here as they are printed
"""Old files in taskqueue's syntax: recognised, and converted to what they did."""

import re
from pathlib import Path

import pytest

from tests.unit.config.conftest import Load, Problems
from webhook_runner.config.convert import convert
from webhook_runner.errors import ConfigError
from webhook_runner.settings import QueueSettings

FULL = """\
; Where the broker is
server = amqp://guest:guest@localhost:5672

; Everything that was documented
[Queue1]
concurrency = 5
rate = 10/s
retry_limit = 7
min_backoff_seconds = 10
max_backoff_seconds = 200
max_doublings = 3

[Queue2]
rate = 21.5/m    ; slow
"""


def queues(text: str, load_text: Load) -> dict[str, QueueSettings]:
    return dict(load_text(convert(text)).settings.queues)


def test_every_documented_key_is_kept(load_text: Load) -> None:
    loaded = load_text(convert(FULL))
    assert loaded.settings.server == "amqp://guest:guest@localhost:5672"
    assert list(loaded.settings.queues) == ["Queue1", "Queue2"]
    one = loaded.settings.queues["Queue1"]
    assert (one.concurrency, one.rate, one.retry_limit) == (5, 10, 7)
    assert (one.min_backoff_seconds, one.max_backoff_seconds, one.max_doublings) == (10, 200, 3)


def test_taskqueues_own_defaults_are_written_out(load_text: Load) -> None:
    queue = queues("[Q]\n", load_text)["Q"]
    assert (queue.concurrency, queue.rate) == (1, 1)
    assert 200 in queue.success_codes
    assert 201 not in queue.success_codes
    assert (queue.timeout, queue.max_timeout) == (1500, 1500)
    assert (queue.retry_limit, queue.min_backoff_seconds) == (-1, 1)
    assert (queue.max_backoff_seconds, queue.max_doublings) == (604800, -1)


def test_comments_stay_where_they_belong() -> None:
    text = convert(FULL)
    assert "# Where the broker is\nserver = " in text
    assert "# Everything that was documented\n[queues.Queue1]\n" in text
    assert 'rate = "21.5/m"  # slow' in text


def test_a_terse_file_with_odd_spacing_is_read(load_text: Load) -> None:
    text = "server=amqp://h\n[ mail ]\nconcurrency=2\nrate=1/h\nmax_doublings= -1\n# end"
    queue = queues(text, load_text)["mail"]
    assert queue.concurrency == 2
    assert queue.rate == pytest.approx(1 / 3600)


def test_names_that_toml_must_quote_are_quoted(load_text: Load) -> None:
    assert '[queues."app.mail"]' in convert("[app.mail]\n")
    assert set(queues("[app.mail]\n[2024-jobs]\n", load_text)) == {"app.mail", "2024-jobs"}


def test_a_rate_that_was_no_limit_becomes_none(load_text: Load) -> None:
    text = convert("[Queue3]\nconcurrency = 2\nrate = 1e10/s\n")
    assert 'rate = "unlimited"  # was 1e10/s: taskqueue did not limit above 1000/s' in text
    assert queues("[Queue3]\nrate = 1e10/s\n", load_text)["Queue3"].rate == float("inf")


@pytest.mark.parametrize(
    ("old", "rate"),
    [("5/s", 5), (".5/s", 0.5), ("5./m", 5 / 60), ("1e2/m", 100 / 60), ("5/sec", 5), ("2/d", 2 / 86400)],
)  # fmt: skip
def test_rates_keep_their_speed(old: str, rate: float, load_text: Load) -> None:
    assert queues(f"[Q]\nrate = {old}\n", load_text)["Q"].rate == pytest.approx(rate)


def test_what_taskqueue_ignored_becomes_a_comment(load_text: Load) -> None:
    text = convert("color = red\n[Q]\nspeed = 9\nconcurrency = 1\nconcurrency = 3\nserver = x\n")
    assert "# color = red  # not known here" in text
    assert "# concurrency = 1  # overridden below" in text
    assert load_text(text).settings.queues["Q"].concurrency == 3


def test_windows_line_ends_quotes_and_a_byte_order_mark_are_read(load_text: Load) -> None:
    loaded = load_text(convert('\ufeffserver = "amqp://h/"\r\n\r\n[Q]\r\nconcurrency = "4"\r\n'))
    assert loaded.settings.server == "amqp://h/"
    assert loaded.settings.queues["Q"].concurrency == 4


def test_a_file_without_queues_is_converted(load_text: Load) -> None:
    assert list(load_text(convert("server = amqp://h\n")).settings.queues) == ["default"]
    assert list(load_text(convert("")).settings.queues) == ["default"]


def test_what_means_nothing_is_told_by_line_all_at_once() -> None:
    text = (
        "hello\n[a b]\nrate = 5 per s\n[Q]\nconcurrency = 0\nmax_doublings = 1.5\nrate = 0/s\n[Q]\n"
    )
    with pytest.raises(ConfigError) as caught:
        convert(text)
    assert list(caught.value.problems) == [
        "line 1: neither key = value nor [section]: hello",
        "line 2: 'a b' can be no queue name here",
        "line 3: rate: 5 per s is no rate such as 5/s",
        "line 5: concurrency: 0 would run nothing",
        "line 6: max_doublings: 1.5 is no whole number",
        "line 7: rate: 0/s would run nothing",
        "line 8: the queue Q has two sections; join them",
    ]


@pytest.mark.parametrize(
    ("text", "shown", "right"),
    [
        ("; hello\n", "; hello", "# hello"),
        ("server = amqp://u:secret@h\n", "server = amqp://u:***@h", 'server = "amqp://u:***@h"'),
        ("[Queue 1]\n", "[Queue 1]", '[queues."Queue 1"]'),
        ("[Queue1]\nrate = 5/s\n", "rate = 5/s", 'rate = "5/s"'),
        ("[Queue1]\nmax_doublings = 3 ; three\n", "max_doublings = 3 ; three", "max_doublings = 3"),
    ],
)  # fmt: skip
def test_the_old_syntax_is_recognised_with_the_line_to_write(
    text: str, shown: str, right: str, problems_of: Problems, tmp_path: Path
) -> None:
    (line,) = problems_of(text)
    assert re.sub(r"^t.ini:\d+: ", "", line) == (
        f"taskqueue's old syntax: {shown} - in TOML: {right};"
        " `webhook-runner config convert t.ini` prints the whole file anew"
    )


def test_a_new_file_with_one_old_line_is_not_sent_to_the_converter(problems_of: Problems) -> None:
    assert problems_of("[queues.a]\nrate = 5/s\n") == [
        't.ini:2: taskqueue\'s old syntax: rate = 5/s - in TOML: rate = "5/s"'
    ]
