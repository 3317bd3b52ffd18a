"""A secret in the wrong place of the configuration is complained about without being shown."""

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run

C = "c4n4ry-of-a-secret"
Q = "[queues.a]\n"

TEXTS = [
    f'server = "amqp://user:{C}@host:5672/vhost"',
    f'server = "amqp:/user:{C}@host/"',
    f'server = "http://user:{C}@host/"',
    f'server = "user:{C}@host"',
    f'server = "{C}"',
    f'server = ["amqp://user:{C}@host/", 5]',
    f'server = ["amqp://user:{C}@host/", "amqp:///"]',
    f'server = ["amqp://user:{C}@host/", "embedded:/tmp/x"]',
    f'server = {{url = "amqp://user:{C}@host/"}}',
    f'server = "amqp://user:{C}@host:99999/"',
    f'server = "amqp://user:{C}%@host/"',
    f'server = "amqp://user:{C}@host/a/b"',
    f'server = "amqp://host/?password={C}"',
    f'server = "amqp://user:{C}@host/',
    f'server = "amqp://user:a/{C}@host/"',
    f'server = "amqp://user:a#{C}@host/"',
    f'server = "embedded:amqp://user:{C}@host/"',
    f'server = "amqp://user:{C}@host/"\nserver = "amqp://user:{C}@other/"',
    f'password = "{C}"',
    f'[broker]\npassword = "{C}"',
    f'[broker]\npassword_file = "{C}"',
    f'[broker]\npassword_file = ["{C}"]',
    f'[broker]\nserver = "amqp://user:{C}@host/"',
    f'[broker]\nauth = "{C}"',
    f'[store]\nurl = "mysql://user:{C}@host/db"',
    f'[store]\nurl = "postgresql:/user:{C}@host/db"',
    f'[store]\nurl = "postgresql://user:{C}@host/db?password={C}"',
    f'[store]\nurl = "postgresql://user:{C}@host:port/db"',
    f'[store]\nurl = "postgresql://user:{C}@host"',
    f'[store]\nurl = "{C}"',
    f'[store]\nurl = ["postgresql://user:{C}@host/db"]',
    f'[store]\npassword = "{C}"',
    f'[store]\npassword_file = "{C}"\nurl = "postgresql://u@h/d"',
    f'[store]\nserver = "postgresql://user:{C}@host/db"',
    f'[api]\ntokens = ["{C}"]',
    f'[api]\ntokens = "{C}"',
    f'[api]\ntokens = [{{name = "ops", token = "{C}"}}]',
    f'[api]\ntokens = [{{name = "ops", hash = "{C}"}}]',
    f'[api]\ntokens = [{{name = "ops", file = "{C}"}}]',
    f'[api]\ntokens = [{{name = "ops", role = "{C}", hash = "sha256:{"0" * 64}"}}]',
    f'[api]\ntoken = "{C}"',
    f'[egress]\nproxy = "http://user:{C}@host:3128"',
    f'[egress]\nproxy = "socks5://user:{C}@host"',
    f'[egress]\nproxy = "user:{C}@host"',
    f'[egress]\nproxy = "http://user:{C}@host:99999"',
    f'[egress]\nproxy = ["http://user:{C}@host:3128"]',
    f'[egress]\nproxy = {{url = "http://user:{C}@host:3128"}}',
    f'[egress]\nno_proxy = ["http://user:{C}@host/"]',
    f'[egress]\nallow = ["http://user:{C}@host/"]',
    f'base_url = "http://user:{C}@host/"',
    f'base_url = ["http://user:{C}@host/"]',
    f'base_url = "http://host/?token={C}"',
    f'base_url = "user:{C}@host"',
    f'{Q}base_url = "http://user:{C}@host/"',
    f'{Q}base_url = {{url = "http://user:{C}@host/"}}',
    f'{Q}headers = "Authorization: Bearer {C}"',
    f'{Q}headers = ["Authorization: Bearer {C}"]',
    f'{Q}headers = {{Authorization = ["{C}"]}}',
    f'{Q}headers = {{Authorization = {{value = "{C}"}}}}',
    f'{Q}headers = {{Authorization = {{file = "{C}"}}}}',
    f'{Q}headers = {{Authorization = {{env = "{C}"}}}}',
    f'{Q}headers = {{Authorization = "{C}\\n"}}',
    f'{Q}headers = {{Authorization = "{C}"}}',
    f'{Q}headers = {{"Proxy-Authorization" = "{C}"}}',
    f'{Q}headers = {{"Bad Name" = "{C}"}}',
    f'{Q}header = {{Authorization = "{C}"}}',
    f'{Q}auth = "{C}"',
    f'{Q}signing_secrets = ["{C}"]',
    f'[headers]\nAuthorization = "{C}"',
    f'[Queue1]\nserver = "amqp://user:{C}@host/"',
]
VARIABLES = [
    ("SERVER", f"amqp://user:{C}@host/"),
    ("SERVER", f"http://user:{C}@host/"),
    ("SERVER", f'["amqp://user:{C}@host/", 5]'),
    ("BROKER__PASSWORD", C),
    ("BROKER__PASSWORD_FILE", C),
    ("STORE__URL", f"postgresql://user:{C}@host/db"),
    ("STORE__URL", f"mysql://user:{C}@host/db"),
    ("EGRESS__PROXY", f"http://user:{C}@host:3128"),
    ("EGRESS__PROXY", f"socks5://user:{C}@host"),
    ("API__TOKENS", C),
    ("API__TOKENS", f'[{{name = "ops", hash = "{C}"}}]'),
    ("QUEUES__A__HEADERS", f"Authorization: {C}"),
    ("QUEUES__A__HEADERS", f'{{Authorization = "{C}"}}'),
    ("BASE_URL", f"http://user:{C}@host/"),
]
WAYS = [("check-config",), ("check-config", "--print"), ("check-config", "--json")]
CONVERTED = [
    f"server = amqp://user:{C}@host/\n[a]\nrate = x",
    f"[a]\nserver amqp://user:{C}@host/",
    f"[a]\nconcurrency = amqp://user:{C}@host/",
    f"[amqp://user:{C}@host/]",
]


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
@pytest.mark.parametrize("text", TEXTS)
def test_the_file(run: Run, tmp_path: Path, text: str, way: tuple[str, ...]) -> None:
    lines = text if "server" in text else f'server = "embedded:{tmp_path}/queue.db"\n{text}'
    result = run(*way, config_text=lines)
    assert result.exit_code in {0, 2}
    assert C not in result.output + result.stderr


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
@pytest.mark.parametrize(("name", "value"), VARIABLES)
def test_the_environment(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str, way: tuple[str, ...]
) -> None:
    monkeypatch.setenv(f"WEBHOOK_RUNNER_{name}", value)
    result = run(*way, config_text=Q)
    assert result.exit_code in {0, 2}
    assert C not in result.output + result.stderr


@pytest.mark.parametrize("text", CONVERTED)
def test_an_old_file(run: Run, tmp_path: Path, text: str) -> None:
    old = tmp_path / "old.ini"
    old.write_text(text)
    result = run("config", "convert", str(old))
    assert result.exit_code == 2
    assert C not in result.output + result.stderr
