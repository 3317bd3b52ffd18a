"""Whether it is this process that has run out of something, and no task's fault."""

import errno

STARVED_SECONDS = 1.0
"""Until then something may be free again; and what is tried again is no hot loop."""

OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_ERRNOS = OUT_OF_RESOURCES | {errno.EAGAIN}
_NO_THREAD = "can't start new thread"  # Python has no better name for it


def is_starved(error: BaseException) -> bool:
    """Tell whether memory, threads or file handles were wanting."""
    if isinstance(error, OSError):
        return error.errno in _ERRNOS
    return isinstance(error, MemoryError) or _NO_THREAD in str(error)
