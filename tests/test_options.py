"""Options: what is checked, how text is read, and what wrong values are told; names that can be added to."""

import subprocess
import sys
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pecl.errors import ConfigError
from pecl.options import Registry, format_option, option, parse_option, problems_of

COLOURS = ("red", "green", "blue")
MIX = "mix: expected one of blue, green, red, or several joined by +"
WALLS = "walls: expected one of north, south, or several joined by /, each once"


@dataclass(frozen=True)
class Paint:
    coats: int = option(1, "coats", low=1)
    share: float = option(0.5, "share of the wall", low=0, high=1)
    above: float | None = option(None, "height in metres", high=3)
    days: int | None = option(2, "days to dry", low=1, none="all")
    shiny: bool = option(False, "shiny")
    name: str = option("", "what it is called")
    colour: str = option("red", "colour", choices=COLOURS)
    mix: str = option("red", "colours that are mixed", choices=COLOURS, joined="+")
    walls: tuple[str, ...] = option(("north",), "walls", choices=("north", "south"))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"coats": 0}, "coats: expected a whole number >= 1, got 0"),
        ({"coats": 1.0}, "coats: expected a whole number >= 1, got 1.0"),
        ({"coats": True}, "coats: expected a whole number >= 1, got true"),
        ({"share": 1.5}, "share: expected a number from 0 to 1, got 1.5"),
        ({"share": float("nan")}, "share: expected a number from 0 to 1, got nan"),
        ({"share": "much"}, 'share: expected a number from 0 to 1, got "much"'),
        ({"above": 4.0}, 'above: expected a number <= 3 or "none", got 4.0'),
        ({"days": 0}, 'days: expected a whole number >= 1 or "all", got 0'),
        ({"shiny": 1}, "shiny: expected true or false, got 1"),
        ({"name": 3}, "name: expected text, got 3"),
        ({"colour": "gren"}, 'colour: expected one of blue, green, red, got "gren"; did you mean "green"?'),
        ({"mix": "red+blu"}, MIX + ', got "blu"; did you mean "blue"?'),
        ({"walls": ()}, WALLS + ', got ""'),
        ({"walls": ("north",) * 2}, WALLS + ', got "north/north"'),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(values, sentence):
    assert [str(problem) for problem in problems_of(Paint(**values))] == [sentence]


def test_all_that_is_wrong_is_said_and_nothing_else():
    assert problems_of(Paint()) == []
    assert problems_of(Paint(coats=7, share=1, above=3.0, days=None, mix="red+blue", walls=("south", "north"))) == []
    found = problems_of(Paint(coats=0, colour="pink", shiny="yes"))
    assert [problem.field for problem in found] == ["coats", "shiny", "colour"]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("coats", "3", 3),
        ("share", "1e-1", 0.1),
        ("share", 1, 1.0),
        ("above", "none", None),
        ("days", "all", None),
        ("shiny", "Yes", True),
        ("shiny", "off", False),
        ("name", "none", "none"),  # it may not be None, so this is a name
        ("walls", "south/north", ("south", "north")),
        ("coats", None, None),  # the check refuses it
    ],
)
def test_text_becomes_the_type_of_the_option(name, text, value):
    found = parse_option(Paint, name, text)
    assert (found, type(found)) == (value, type(value))


@settings(max_examples=30)
@given(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False))
def test_values_are_read_as_they_are_written(value):
    name = {type(None): "above", bool: "shiny", int: "coats", float: "share"}[type(value)]
    assert parse_option(Paint, name, format_option(value)) == value


def test_a_registry_imports_what_a_name_stands_for_when_it_is_asked_for():
    registry = Registry("thing", {"lazy": "json:dumps", "absent": "no_such_module:f", "plain": 3, "nothing": None})
    assert list(registry) == ["lazy", "absent", "plain", "nothing"]
    assert (registry["lazy"]([1]), registry["plain"], registry["nothing"]) == ("[1]", 3, None)
    assert "absent" in registry
    assert "other" not in registry
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        registry["absent"]


def test_a_registry_of_names_is_filled_by_the_package_of_their_values():
    registry = Registry("thing", ("one", "two"))
    assert (list(registry), "one" in registry, len(registry)) == (["one", "two"], True, 2)
    with pytest.raises(TypeError, match="thing one: the package that fills this table is not imported"):
        registry["one"]
    with pytest.raises(KeyError, match=r"expected values of \['one', 'two'\], got \['one'\]"):
        registry.fill({"one": 1})

    def plug_in():
        with Registry.changing():
            registry.fill({"one": 1, "two": "json:dumps"})
            registry.add("three", 3)
            raise ModuleNotFoundError

    with pytest.raises(ModuleNotFoundError):
        plug_in()
    assert (registry["one"], registry["two"]([2]), "three" in registry) == (1, "[2]", False)
    assert registry.added("one") is None


@pytest.mark.parametrize("name", ["a+b", "a/b", "1a", "", None])
def test_names_that_a_spec_or_a_list_would_split_are_refused(name):
    registry = Registry("thing", {})
    with pytest.raises(ConfigError, match="thing: expected a name of letters, digits and underscores"):
        registry.add(name, 1)
    assert len(registry) == 0


def test_a_name_is_given_once_unless_it_is_replaced():
    registry = Registry("thing", {"one": 1})
    registry.add("two", 2)
    with pytest.raises(ConfigError, match=r'thing: "two" is registered already: choose .* with replace=True$'):
        registry.add("two", 3)
    registry.add("two", 3, replace=True)
    assert registry["two"] == 3
    with pytest.raises(ConfigError, match='thing: "one" is built in'):
        registry.add("one", 3, replace=True)


def test_configs_and_the_names_in_them_take_no_torch():
    code = "import sys; from pecl.config import make_config; make_config({'alignment': 'mse+cosine'}); "
    subprocess.run([sys.executable, "-c", code + "sys.exit('torch' in sys.modules)"], check=True)
