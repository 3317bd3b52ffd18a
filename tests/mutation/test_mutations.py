"""The small wrong changes: which there are, and that each is a program of its own."""

import ast
from pathlib import Path

import pytest

from tests.mutation.equivalent import EQUIVALENT
from tests.mutation.mutations import AT_IMPORT, DATA, mutations

SOURCE = '''"""What it is."""
LIMIT = 3
NAMES = frozenset({"a", "b"})

class Rule:
    """One."""
    least: int = 1
    most: Annotated[int, Field(ge=2)] = 5

    def fits(self, number: int, by: int = 1) -> bool:
        """Whether."""
        if not number or self.least <= number:
            check(number)
            return number + by in NAMES
        raise ValueError(f"{number} is no number of ours, and 7 is")
'''
EVERY = {
    DATA: ["3 -> 4", "{'a', 'b'} -> without 'a'", "{'a', 'b'} -> without 'b'", "'a' -> 'aX'",
           "'b' -> 'bX'"],
    AT_IMPORT: ["1 -> 2", "2 -> 3", "5 -> 6", "1 -> 2"],
    "Rule.fits": ["not number or self.least <= number -> not number and self.least <= number",
                  "not number or self.least <= number -> not (not number or self.least <= number)",
                  "not number -> number", "self.least <= number -> self.least < number",
                  "self.least <= number -> self.least > number", "check(number) -> pass",
                  "return number + by in NAMES -> return None",
                  "number + by in NAMES -> number + by not in NAMES", "number + by -> number - by",
                  "raise ValueError(f'{number} is no number of ours, and 7 is') -> pass"],
}  # fmt: skip


@pytest.mark.parametrize("place", EVERY)
def test_every_decision_is_changed_and_no_prose(place: str) -> None:
    found = [each for each in mutations(ast.parse(SOURCE)) if each.function == place]

    said = [each.name.partition(": ")[2].partition(" #")[0] for each in found]
    assert sorted(said) == sorted(EVERY[place])


def test_each_change_makes_another_program_and_has_a_name_of_its_own() -> None:
    tree = ast.parse(Path("webhook_runner/policy/backoff.py").read_text())
    unchanged = ast.unparse(tree)
    changes = mutations(tree)
    tried, programs = changes[::5], {unchanged}
    for change in tried:
        change.apply()
        compile(tree, "backoff.py", "exec")
        programs.add(ast.unparse(tree))
        change.undo()

    assert ast.unparse(tree) == unchanged
    assert len(programs) == len(tried) + 1
    assert len({each.name for each in changes}) == len(changes) > 50


@pytest.mark.parametrize("file", EQUIVALENT)
def test_what_is_known_to_change_nothing_is_still_a_change(file: str) -> None:
    names = {each.name for each in mutations(ast.parse(Path(file).read_text()))}

    assert [name for name in EQUIVALENT[file] if name not in names] == []
    assert all(EQUIVALENT[file].values())
