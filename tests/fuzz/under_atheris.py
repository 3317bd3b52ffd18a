"""Feed one target for a while: ``python -m tests.fuzz.under_atheris TARGET OPTION...``.

The options, and the folders of inputs, are those of libFuzzer. Needs atheris.
"""

import sys

import atheris

from tests.fuzz.place import check_of


def main() -> None:
    target, *options = sys.argv[1:]
    with atheris.instrument_imports(include=["webhook_runner"]):
        check = check_of(target)
    atheris.Setup([sys.argv[0], *options], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
