"""The tables of faults fit the source; `tests/mutants/run.py` shows that the tests find them."""

import ast

from mutants.table import ROOT, all_mutants

MUTANTS = all_mutants()


def test_every_fault_can_be_put_in():
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    problems = []
    for mutant in MUTANTS:
        try:
            ast.parse(mutant.source())
        except (OSError, SyntaxError, ValueError) as error:
            problems.append(f"{mutant.name}: {error}")
    assert not problems, "\n".join(problems)


def test_the_tests_of_every_fault_exist():
    for mutant in MUTANTS:
        assert mutant.tests, mutant.name
        for test in mutant.tests:
            path, *names = test.split("::")
            text = (ROOT / path).read_text("utf-8")
            assert all(name.split("[")[0] in text for name in names), test
