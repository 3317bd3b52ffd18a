"""Standard input, output and error that whoever started us has closed lead nowhere."""

import os
import sys
from pathlib import Path


def fill_in_closed() -> None:
    """Open /dev/null in their place.

    The next files or connections would get their numbers, and with them whatever is printed.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 - for as long as we live
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
