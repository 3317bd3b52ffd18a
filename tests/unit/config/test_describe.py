"""What `check-config --print` shows, and what it never shows."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.config.conftest import Load
from webhook_runner.config.describe import as_json, describe
from webhook_runner.config.loader import load
from webhook_runner.values import parse_rate, rate_text

SECRETS = """
server = ["amqp://app:p%40ss@a/", "amqp://app:hunter2@b/"]
[egress]
proxy = "http://me:tomato@proxy:3128"
[queues.a]
headers = {Authorization = "Bearer zebra"}
"""


def test_secrets_are_masked(load_text: Load) -> None:
    loaded = load_text(SECRETS, {"WEBHOOK_RUNNER_BASE_URL": "http://h"})
    for text in (describe(loaded), json.dumps(as_json(loaded))):
        assert not any(word in text for word in ("p%40ss", "hunter2", "tomato", "zebra"))
        assert "amqp://app:***@b/" in text
        assert "http://me:***@proxy:3128" in text
        assert "***" in text


def test_every_value_has_its_origin(load_text: Load) -> None:
    text = describe(load_text(SECRETS, {"WEBHOOK_RUNNER_MAX_TOTAL": "5"}))
    lines = {line.split(" = ")[0]: line.rpartition("# ")[2] for line in text.splitlines()}
    assert lines["server"].endswith("t.ini:2")
    assert lines["headers"].endswith("t.ini:6")
    assert lines["max_total"] == "WEBHOOK_RUNNER_MAX_TOTAL"
    assert lines["strict"] == "default"


def test_a_description_reads_back_as_the_same_settings(load_text: Load, tmp_path: Path) -> None:
    text = """
strict = true
shutdown_timeout = 0.25
max_delay = 1e7
[egress]
allow = ["10.0.0.0/8", "*.example.com:443"]
[queues."a.b"]
rate = "21.5/m"
success_codes = [200, "300-302"]
schedule = "5,300,1800"
success_json = 'a="b\\c'
[queues.default]
rate = "1/d"
"""
    loaded = load_text(text)
    file = tmp_path / "again.ini"
    file.write_text(describe(loaded).replace("***", "guest"))
    assert load(file, {}).settings == loaded.settings


@pytest.mark.parametrize("text", ["unlimited", "5/s", "21.5/m", "3/h", "1/d", "7/d"])
def test_a_rate_is_written_as_a_person_would(text: str) -> None:
    assert rate_text(parse_rate(text)) == text


@given(st.floats(min_value=1e-9, max_value=1e9))
def test_any_rate_is_written_so_that_it_can_be_read(rate: float) -> None:
    assert parse_rate(rate_text(rate)) == pytest.approx(rate, rel=1e-6)
