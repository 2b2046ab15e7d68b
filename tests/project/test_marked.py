"""Tables and sentences of documents that scripts make: they are what the shipped results say."""

import re

import pytest
from helpers.project import ROOT, script

SCRIPTS = {"readme_table": "README.md", "results_tables": "docs/results.md", "effect_tables": "docs/effect.md"}


@pytest.mark.parametrize(("name", "page"), SCRIPTS.items())
def test_a_page_has_what_its_script_makes_of_the_results(name, page):
    text = (ROOT / page).read_text("utf-8")
    assert script("marked").filled(text, script(name).PARTS) == text
    assert len(re.findall("<!-- end -->", text)) == len(script(name).PARTS)


def test_a_part_without_its_marks_is_refused():
    with pytest.raises(ValueError, match=r"expected <!-- gap --> .* once in the page"):
        script("marked").filled("<!-- gap -->\n<!-- end -->\n<!-- gap -->\n<!-- end -->\n", {"gap": lambda: "1"})
    found = script("marked").filled("a\n<!-- gap -->\nold\n<!-- end -->\nb\n", {"gap": lambda: "new"})
    assert found == "a\n<!-- gap -->\nnew\n<!-- end -->\nb\n"


def test_columns_of_numbers_are_to_the_right():
    lines = script("marked").table(["a", "b", "c"], [["cs", "0.1", "**0.2**"], ["de", "", "+0.1 [0, 1]"]]).splitlines()
    assert lines[1] == "| --- | ---: | ---: |"
