"""Configuration files of one test's own."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from webhook_runner.config.loader import Loaded, load
from webhook_runner.errors import ConfigError

Load = Callable[..., Loaded]
Problems = Callable[..., list[str]]


@pytest.fixture
def load_text(tmp_path: Path) -> Load:
    def loaded(
        text: str | bytes, environ: Mapping[str, str] | None = None, **flags: object
    ) -> Loaded:
        file = tmp_path / "t.ini"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load(file, environ or {}, flags.get("overrides", {}))  # type: ignore[arg-type]

    return loaded


@pytest.fixture
def problems_of(load_text: Load, tmp_path: Path) -> Problems:
    """The lines of the error, with the file's name without its directory."""

    def problems(text: str | bytes, environ: Mapping[str, str] | None = None) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load_text(text, environ)
        return [line.replace(f"{tmp_path}/", "") for line in caught.value.problems]

    return problems
