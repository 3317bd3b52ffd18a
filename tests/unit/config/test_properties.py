# ruff: noqa: E501, PT017 - words for dice in long rows; an error is one of two good outcomes here
"""Whatever stands in a file or variable: settings or a ConfigError, nothing else."""

from pathlib import Path

import pytest
import tomli
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webhook_runner.config.convert import convert
from webhook_runner.config.loader import load
from webhook_runner.config.positions import line_numbers
from webhook_runner.config.sample import sample
from webhook_runner.errors import ConfigError
from webhook_runner.settings import Settings

WORDS = (
    "server", "queues", "default", "broker", "headers", "rate", "concurrency", "egress", "allow",
    "[", "]", "[[", "]]", "{", "}", "=", ".", ",", '"', "'", '"""', "\n", "\n", "\r\n", " ", "#", ";",
    "1", "-1", "1e999", "nan", "true", "1979-05-27", '"amqp://h/"', '"5/s"', "0x" + "f" * 5000, "\\u00e9",
    '"http://[::1"', '"amqp://[::1%25eth0]/"', "file", "env", '"/dev/null"', "str", "[key]", "é", "\x00",
)  # fmt: skip
texts = st.one_of(st.text(), st.lists(st.sampled_from(WORDS)).map("".join))
many = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def outcome(file: Path, environ: dict[str, str]) -> Settings | None:
    try:
        return load(file, environ).settings
    except ConfigError as error:
        assert error.problems
        assert all(line and "\n" not in line for line in error.problems)
        return None


@many
@given(raw=st.one_of(st.binary(), texts.map(lambda text: text.encode(errors="surrogatepass"))))
def test_any_bytes_give_settings_or_a_config_error(raw: bytes, tmp_path: Path) -> None:
    file = tmp_path / "t.ini"
    file.write_bytes(raw)
    outcome(file, {})


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.dates()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=4,
)


@many
@given(data=st.data())
def test_any_value_of_any_key_gives_settings_or_a_config_error(
    data: st.DataObject, tmp_path: Path
) -> None:
    lines = sample().splitlines()
    numbers = [i for i, line in enumerate(lines) if " = " in line and not line.startswith("#")]
    for number in data.draw(st.lists(st.sampled_from(numbers), max_size=4)):
        key = lines[number].split(" = ")[0]
        lines[number] = f"{key} = {data.draw(st.one_of(texts, values.map(str)))}"
    file = tmp_path / "t.ini"
    file.write_bytes("\n".join(lines).encode(errors="surrogatepass"))
    outcome(file, {})


names = st.sampled_from(
    [
        "SERVER",
        "QUEUES",
        "QUEUES__A__RATE",
        "QUEUES__A__HEADERS",
        "BROKER",
        "LOG__LEVEL",
        "QUEUES__A",
    ]
)


@many
@given(environ=st.dictionaries(st.one_of(names, st.text(max_size=12)), texts, max_size=3))
def test_any_variable_gives_settings_or_a_config_error(
    environ: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "t.ini"
    file.write_text("")
    outcome(file, {f"WEBHOOK_RUNNER_{name}": value for name, value in environ.items()})


@many
@given(text=texts)
def test_any_old_file_is_refused_or_becomes_toml(text: str) -> None:
    try:
        converted = convert(text)
    except ConfigError as error:
        assert error.problems
    else:
        tomli.loads(converted)


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ('a = """\nb = 1\n"""\nc = 2', ("c",), 4),
        ("a = [\n  1, # ]\n  '[',\n]\nb = 1", ("b",), 5),
        ("[x.y]\na.b = 1\n['q r']\nc = 1", ("x", "y", "a", "b"), 2),
        ("[x.y]\na.b = 1\n['q r']\nc = 1", ("q r", "c"), 4),
        ("a = {b = 1, c = {d = 2}}", ("a", "c", "d"), 1),
        ("# x = 1\n\n[[t]]\n a = 1", ("t", "a"), 4),
        ("a = '''\n[z]\n''''\n[t] # c\nk = 1", ("t", "k"), 5),
    ],
)
def test_the_line_of_a_key_is_found(text: str, path: tuple[str, ...], line: int) -> None:
    assert line_numbers(text)[path] == line
