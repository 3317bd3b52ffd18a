"""A stand-in for the daemon's intake."""

from collections.abc import Iterator

import pytest

from tests.parts.tasks_api import TasksApi


@pytest.fixture
def api() -> Iterator[TasksApi]:
    with TasksApi() as started:
        yield started
