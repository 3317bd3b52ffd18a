"""What is no task's fault but the process's."""

import errno

import pytest

from webhook_runner.policy.starvation import is_starved

WANTING = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("can't start new thread"),
        *(OSError(number, "words") for number in WANTING),
    ],
    ids=repr,
)
def test_memory_threads_and_handles_that_are_wanting_are_the_processs(error: Exception) -> None:
    assert is_starved(error)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ECONNREFUSED, "can't start new thread"),
        OSError("no number"),
        ZeroDivisionError(),
        RuntimeError("anything else"),
    ],
    ids=repr,
)
def test_anything_else_is_not(error: Exception) -> None:
    assert not is_starved(error)
