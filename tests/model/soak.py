"""The model for long, on all cores: `python -m tests.model.soak [EXAMPLES] [SEED]`."""

import multiprocessing
import os
import secrets
import sys
import time
import traceback
from collections.abc import Iterator

from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import get_state_machine_test

from tests.model.machine import EngineMachine

EXAMPLES = 10_000
STEPS = 50
CHUNK = 100


def play(number: int) -> tuple[int, str]:
    """Play ``CHUNK`` examples by a seed; return it with what was found, or ""."""
    wanted = settings(
        max_examples=CHUNK,
        stateful_step_count=STEPS,
        database=None,
        report_multiple_bugs=False,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    test = seed(number)(get_state_machine_test(EngineMachine, settings=wanted))
    try:
        test()
    except Exception as error:  # noqa: BLE001 - whatever it is, it was found
        notes = "\n".join(getattr(error, "__notes__", ()))
        return number, f"{''.join(traceback.format_exception_only(error))}\n{notes}"
    return number, ""


def numbers(first: int, examples: int) -> Iterator[int]:
    yield from range(first, first + -(-examples // CHUNK))


def main(words: list[str]) -> int:
    """Play so many examples; say how many, and with which seed one failed."""
    examples = int(words[0]) if words else EXAMPLES
    first = int(words[1]) if len(words) > 1 else secrets.randbits(32)
    began, played, failed = time.monotonic(), 0, 0
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        for number, found in pool.imap_unordered(play, numbers(first, examples)):
            played += CHUNK
            if found:
                failed += 1
                sys.stdout.write(f"{found}\nagain: python -m tests.model.soak {CHUNK} {number}\n")
            sys.stdout.write(f"\r{played} examples, {failed} failures")
            sys.stdout.flush()
    seconds = time.monotonic() - began
    sys.stdout.write(
        f"\rsoak: {played} examples of up to {STEPS} steps from seed {first}, "
        f"{failed} failures, {seconds:.0f} s\n"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
