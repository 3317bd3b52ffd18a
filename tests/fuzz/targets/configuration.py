"""The bytes of a configuration file: settings, or words about it, and never a secret."""

import tempfile
from pathlib import Path

import tomli

from webhook_runner.config.describe import as_json, describe
from webhook_runner.config.loader import Loaded, load
from webhook_runner.config.secrets import password_in
from webhook_runner.errors import ConfigError

SECRET = "tr0ub4dor&3-Correct"
ENVIRON = {
    "TOKEN": SECRET,
    "WEBHOOK_RUNNER_STORE__URL": f"postgresql://u:{SECRET}@db.test/x",
    "WEBHOOK_RUNNER_EGRESS__PROXY": f"http://u:{SECRET}@proxy.test:3128",
}
SHORTEST_PASSWORD = 8
_folder = tempfile.TemporaryDirectory(prefix="wr-fuzz-")
FILE = Path(_folder.name) / "taskqueue.ini"


def check(data: bytes) -> None:
    if SECRET.encode() in data:
        return
    FILE.write_bytes(data)
    passwords = set(written_passwords(data))
    for environ in ({}, ENVIRON):
        told = said(environ)
        assert SECRET not in told
        assert not [each for each in passwords if each in told]


def said(environ: dict[str, str]) -> str:
    """Return all that anybody would see."""
    try:
        loaded = load(FILE, environ)
    except ConfigError as error:
        assert error.problems
        assert all(line and "\n" not in line for line in error.problems)
        return str(error)
    return shown(loaded)


def shown(loaded: Loaded) -> str:
    text = describe(loaded)
    assert tomli.loads(text)
    return "\n".join([text, *loaded.warnings, str(as_json(loaded))])


def written_passwords(data: bytes) -> list[str]:
    """Return the passwords of the servers that it names, if they stand nowhere else in it."""
    try:
        table = tomli.loads(data.decode())
    except (ValueError, RecursionError):
        return []
    servers = table.get("server")
    urls = servers if isinstance(servers, list) else [servers]
    found = [password_in(url) for url in urls if isinstance(url, str)]
    text = data.decode()
    return [each for each in found if len(each) >= SHORTEST_PASSWORD and text.count(each) == 1]
