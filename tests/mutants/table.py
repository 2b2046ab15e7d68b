"""What a fault is, and all of them: each module of this folder but this and the runner gives a list `MUTANTS`."""

import importlib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent
_NOT_TABLES = ("__init__", "run", "table", "test_mutants")


@dataclass(frozen=True)
class Mutant:
    """One plausible fault: in `file`, the text `before` becomes `after`; `tests` (pytest arguments) should fail of it.

    Attributes:
        name: A short sentence without the verb: "validation on the test part".
        file: The module at fault, relative to the root of the project.
        before: Text that occurs exactly once in that file.
        after: The text in its place.
        tests: Test files or test ids that should find the fault.
        science: Whether a number that the library reports would be wrong in silence: none of these may stay unfound.
    """

    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]
    science: bool = False

    def source(self, root: Path = ROOT) -> str:
        """Return the faulty file's text; ValueError where `before` does not occur exactly once."""
        text = (root / self.file).read_text("utf-8")
        if text.count(self.before) != 1:
            raise ValueError(
                f"{self.name}: expected its text once in {self.file}, found it {text.count(self.before)} times"
            )
        return text.replace(self.before, self.after)


def all_mutants() -> list[Mutant]:
    """Return the faults of every table in this folder, by file name."""
    tables = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in _NOT_TABLES)
    return [mutant for table in tables for mutant in importlib.import_module(f"mutants.{table}").MUTANTS]
