"""What is compiled for the races, or not there."""

import pytest

from bench.race import built
from bench.race.built import NotThereError
from bench.race.rivals import CELERY, go
from bench.race.throughput import present


def test_without_go_its_consumer_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(NotThereError, match="there is no Go here"):
        present(go("go, both cores", ()))


def test_without_a_compiler_there_is_no_receiver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(NotThereError, match="there is no C compiler here"):
        built.receiver()


def test_without_their_environment_the_rivals_are_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setattr(built, "PLACE", tmp_path)

    with pytest.raises(NotThereError, match="`make bench` makes it"):
        present(CELERY)
