"""A shell process that ends what a test started, also when the test run itself was killed."""

import subprocess
from pathlib import Path
from typing import Self

# The pipe to the guardian closes when its owner ends, however it ends; that is the signal.
# Names are process groups: a group's number is not given out again while a member lives.
_SCRIPT = """
trap '' HUP INT TERM
groups=
while read -r verb group; do
  case $verb in
    guard) groups="$groups -$group" ;;
    forget)
      kept=
      for one in $groups; do [ "$one" = "-$group" ] || kept="$kept $one"; done
      groups=$kept ;;
  esac
done
[ -z "$groups" ] || kill -s KILL -- $groups 2>/dev/null
tries=0
while [ -e "$1" ] && [ $tries -lt 50 ]; do
  rm -rf -- "$1" 2>/dev/null
  tries=$((tries + 1))
  [ ! -e "$1" ] || sleep 0.1
done
"""


class Guardian:
    """Keep a list of process groups to kill and one directory to remove when its owner ends."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "guardian", str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def guard(self, group: int) -> None:
        """Kill this process group at the end; its leader must lead a session of its own."""
        self._tell(f"guard {group}")

    def forget(self, group: int) -> None:
        """Leave this group alone from now on; to be said before its last member is reaped."""
        self._tell(f"forget {group}")

    def close(self) -> None:
        """Kill what is still guarded, remove the directory, and wait until both is done."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        if self._process.stdin is None or self._process.stdin.closed:
            return
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
