"""Where the HTTP API listens, and who can reach it there."""

import pytest

from tests.unit.config.conftest import Load
from webhook_runner.settings import host_and_port, is_loopback


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("127.0.0.1:7676", ("127.0.0.1", "7676")),
        ("[::1]:80", ("::1", "80")),
        ("[::1]", ("::1", "")),
        ("box", ("box", "")),
        ("", ("", "")),
    ],
)
def test_an_address_has_a_host_and_perhaps_a_port(text: str, parts: tuple[str, str]) -> None:
    assert host_and_port(text) == parts


@pytest.mark.parametrize(
    ("host", "only_here"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("LocalHost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.7", False),
        ("box", False),
        ("localhost.example", False),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(host: str, only_here: bool) -> None:
    assert is_loopback(host) is only_here


@pytest.mark.parametrize("listen", ["0.0.0.0:7676", "[::]:7676", "10.0.0.7:80", "box:7676"])
def test_an_address_that_others_reach_is_warned_of_once(load_text: Load, listen: str) -> None:
    (line,) = load_text(f'[api]\nlisten = "{listen}"\n').warnings
    assert f"whoever reaches {listen} can queue tasks" in line
    assert "api" in line


@pytest.mark.parametrize("listen", ["", "127.0.0.1:0", "[::1]:7676", "localhost:7676"])
def test_an_address_of_this_machine_alone_is_not_warned_of(load_text: Load, listen: str) -> None:
    assert load_text(f'[api]\nlisten = "{listen}"\n').warnings == ()
