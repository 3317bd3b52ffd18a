"""Free ports below the kernel's ephemeral range: a server finds its own again after a restart."""

import random
import socket

_LOWEST, _HIGHEST = 15_000, 32_000


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on now."""
    dice = random.SystemRandom()
    while True:
        port = dice.randint(_LOWEST, _HIGHEST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
