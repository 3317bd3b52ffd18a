"""Where the HTTP API listens, and who can reach it there."""

from pathlib import Path

import pytest

from tests.unit.config.conftest import Load, Problems
from webhook_runner.api.credentials import hash_of
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


OTHERS = ["0.0.0.0:7676", "[::]:7676", "10.0.0.7:80", "box:7676"]


@pytest.mark.parametrize("listen", OTHERS)
def test_an_address_that_others_reach_needs_tokens(listen: str, problems_of: Problems) -> None:
    (line,) = problems_of(f'[api]\nlisten = "{listen}"\n')
    assert f"[api] listen: whoever reaches {listen} could queue and cancel tasks" in line
    assert "webhook-runner token" in line


@pytest.mark.parametrize("listen", OTHERS)
def test_with_tokens_any_address_will_do(listen: str, load_text: Load) -> None:
    token = f'{{name = "ops", hash = "{hash_of("secret")}"}}'
    loaded = load_text(f'[api]\nlisten = "{listen}"\ntokens = [{token}]\nrate = "5/s"\n')
    assert loaded.warnings == ()
    assert loaded.settings.api.rate == 5
    assert loaded.settings.api.tokens[0].role == "full"


@pytest.mark.parametrize("listen", ["", "127.0.0.1:0", "[::1]:7676", "localhost:7676"])
def test_an_address_of_this_machine_alone_needs_none(load_text: Load, listen: str) -> None:
    assert load_text(f'[api]\nlisten = "{listen}"\n').warnings == ()


@pytest.mark.parametrize(("mode", "warned"), [(0o640, False), (0o644, True)])
def test_a_token_that_everybody_may_read_is_warned_of(
    mode: int, warned: bool, tmp_path: Path, load_text: Load
) -> None:
    (tmp_path / "ops.token").write_text("secret\n")
    (tmp_path / "ops.token").chmod(mode)
    token = '{name = "ops", file = "$CREDENTIALS_DIRECTORY/ops.token"}'
    loaded = load_text(f"[api]\ntokens = [{token}]\n", {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert loaded.settings.api.tokens[0].file == f"{tmp_path}/ops.token"
    assert ["can be read by everybody" in line for line in loaded.warnings] == [True] * warned
