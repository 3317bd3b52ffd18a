"""A network of a test's own: every address is this machine, and names are ours to tell."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

WANTING = "no network of its own to test in"
HOW_TO_GET_ONE = (
    f"{WANTING}: run as root (in a container with the capability SYS_ADMIN) or where users may "
    "make namespaces, with iproute2 and util-linux installed (`make network`)"
)
NAME_SERVER = "127.0.0.53"

_SCRIPT = Path(__file__).with_suffix(".sh")
_TOOLS = ("ip", "mount", "unshare")
_FILES = {
    # One name server, asked once and patiently: a test decides when it gives up.
    "resolv.conf": f"nameserver {NAME_SERVER}\noptions timeout:30 attempts:1\n",
    "nsswitch.conf": "hosts: files dns\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost\n",
}


@contextmanager
def in_own_network(*program: str) -> Iterator[Sequence[str]]:
    """Give the command that runs a program in a new network, while the block lasts."""
    with tempfile.TemporaryDirectory(prefix="wr-network-") as directory:
        for name, text in _FILES.items():
            Path(directory, name).write_text(text)
        yield ("sh", str(_SCRIPT), directory, *program)


@cache
def obstacle() -> str:
    """Return why there can be no such network here; empty: there can."""
    if missing := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        return f"{' and '.join(missing)} not installed"
    with in_own_network("true") as command:
        tried = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else tried.stderr.strip() or "it cannot be made"


def need_own_network() -> None:
    """Skip where there is no such network; fail in CI when only a package is missing for it."""
    if not (why := obstacle()):
        return
    reason = f"{HOW_TO_GET_ONE}; here: {why}"
    if os.environ.get("CI") and "not installed" in why:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
