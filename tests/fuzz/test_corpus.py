"""Whatever a fuzzer once found worth keeping, or broke the product with, is tried every time."""

import pytest

from tests.fuzz.place import TARGETS, check_of, corpus_of


@pytest.mark.parametrize("target", TARGETS)
def test_every_input_that_was_kept_holds(target: str) -> None:
    check = check_of(target)
    kept = sorted(corpus_of(target).iterdir())
    assert kept

    for file in kept:
        try:
            check(file.read_bytes())
        except Exception as error:
            error.add_note(f"the input is {file}")
            raise
