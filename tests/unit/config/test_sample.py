"""The shipped sample: valid, complete, and nothing but the defaults."""

import re
from collections import Counter
from pathlib import Path

import tomli
from pydantic import BaseModel

from webhook_runner.config.describe import describe
from webhook_runner.config.loader import load
from webhook_runner.config.positions import line_numbers
from webhook_runner.config.sample import sample
from webhook_runner.settings import QueueSettings, Settings

SAMPLE = Path(__file__).parents[3] / "taskqueue.ini"


def fields(section: type[BaseModel], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, info in section.model_fields.items():
        kind = info.annotation
        if (*path, name) == ("queues",):
            found += fields(QueueSettings, ("queues", "default"))
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            found += fields(kind, (*path, name))
        else:
            found.append((*path, name))
    return found


def test_the_sample_is_the_defaults() -> None:
    assert load(SAMPLE, {}).settings == Settings()
    assert load(SAMPLE, {}).warnings == ()


def test_the_sample_has_every_key_once_each_with_a_comment() -> None:
    text = sample()
    lines = line_numbers(text)
    wanted = fields(Settings)
    assert [path for path in wanted if path not in lines] == []
    keys = Counter(path for path in lines if path in set(wanted))
    assert set(keys.values()) == {1}
    for path in wanted:
        assert re.search(r"# \w|# \"", text.splitlines()[lines[path] - 1]), path


def test_the_examples_in_the_sample_can_be_switched_on(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("x")
    kept = [
        re.sub(r"^#example ", "", line)
        for line, following in zip(
            sample().splitlines(), [*sample().splitlines()[1:], ""], strict=True
        )
        if not following.startswith("#example ")
    ]
    file = tmp_path / "t.ini"
    file.write_text("\n".join(kept).replace("/etc/taskqueue/token", str(token)))
    settings = load(file, {"API_KEY": "k"}).settings
    assert len(settings.servers) == 2
    assert settings.queues["default"].headers["X-Key"] == "k"


def test_a_description_of_defaults_is_a_configuration_of_defaults(tmp_path: Path) -> None:
    file = tmp_path / "t.ini"
    file.write_text(describe(load(SAMPLE, {})).replace("***", "guest"))
    assert load(file, {}).settings == Settings()
    assert tomli.loads(file.read_text())["queues"]["default"]["rate"] == "unlimited"
