"""The faults of `faults.txt`, and the tests that must find each of them."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FAULTS = Path(__file__).with_name("faults.txt")


@dataclass
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


def all_mutants() -> list[Mutant]:
    """Return the faults of `faults.txt`.

    A line begins with `=` for a module, `@` for the test ids that must find the faults below it (relative to `tests`,
    without the ending `.py`), `#` for the name of a fault, `-` for a line of its text and `+` for a line in its place.
    """
    faults: list[Mutant] = []
    file, tests, lines = "", (), {"-": [], "+": []}
    for line in FAULTS.read_text("utf-8").splitlines():
        sign, rest = line[0], line[2:]
        if sign == "=":
            file = rest
        elif sign == "@":
            paths = (test.partition("::") for test in rest.split())
            tests = tuple(f"tests/{path}.py{separator}{names}" for path, separator, names in paths)
        elif sign == "#":
            lines = {"-": [], "+": []}
            faults.append(Mutant(rest, file, "", "", tests))
        else:
            lines[sign].append(rest)
            faults[-1].before, faults[-1].after = "\n".join(lines["-"]), "\n".join(lines["+"])
    return faults
