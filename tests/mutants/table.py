"""A fault in the source and the tests that must find it; each other module but the runner gives a list `MUTANTS`."""

import importlib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLES = ("experiments", "towers", "training")


@dataclass(frozen=True)
class Mutant:
    """One fault that would change a reported number in silence.

    Attributes:
        name: A short sentence without the verb: "validation on the test part".
        file: The module at fault, relative to the root of the project.
        before: Text that occurs exactly once in that file.
        after: The text in its place.
        tests: Test files or test ids, at least one of which must fail.
    """

    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]

    def source(self, root: Path = ROOT) -> str:
        """Return the faulty file's text; ValueError unless `before` occurs exactly once."""
        text = (root / self.file).read_text("utf-8")
        if (count := text.count(self.before)) != 1:
            raise ValueError(f"{self.name}: expected its text once in {self.file}, found it {count} times")
        return text.replace(self.before, self.after)


def rows(file: str, tests: str, *faults: tuple[str, str, str]) -> list[Mutant]:
    """Return the faults (name, text, text in its place) of one file.

    Args:
        file: The module at fault, relative to the root of the project.
        tests: Test ids, separated by spaces, relative to `tests` and without the ending `.py`.
        faults: The faults.
    """
    paths = (test.partition("::") for test in tests.split())
    ids = tuple(f"tests/{path}.py{separator}{names}" for path, separator, names in paths)
    return [Mutant(name, file, before, after, ids) for name, before, after in faults]


def all_mutants() -> list[Mutant]:
    """Return the faults of every table."""
    return [mutant for table in TABLES for mutant in importlib.import_module(f"mutants.{table}").MUTANTS]
