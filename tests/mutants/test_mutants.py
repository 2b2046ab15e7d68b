"""The tables of faults fit the code as it is: a fault whose text moved away would find nothing."""

import ast

import pytest

from mutants.table import ROOT, all_mutants

MUTANTS = all_mutants()


def test_names_are_distinct():
    names = [mutant.name for mutant in MUTANTS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_fault_can_be_put_in(mutant):
    source = mutant.source()
    assert source != (ROOT / mutant.file).read_text("utf-8")
    ast.parse(source)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_tests_of_the_fault_exist(mutant):
    assert mutant.tests
    for test in mutant.tests:
        path, *names = test.split("::")
        text = (ROOT / path).read_text("utf-8")
        assert all(f"{name.split('[')[0]}" in text for name in names), test
