"""A plugin of pytest: files, and the tests in each, in an order that the seed in ORDER decides.

``ORDER=7 pytest -p tests.parts.any_order ...``
"""

import os
from random import Random

import pytest

VARIABLE = "ORDER"


def pytest_report_header() -> str:
    return f"order: {VARIABLE}={os.environ.get(VARIABLE, '')}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one file stay together, for they may share what is dear to make."""
    dice = Random(os.environ.get(VARIABLE, ""))
    files = sorted({item.path for item in items})
    dice.shuffle(files)
    rank = {path: place for place, path in enumerate(files)}
    dice.shuffle(items)
    items.sort(key=lambda item: rank[item.path])
