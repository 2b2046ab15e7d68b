"""Errors name a setting by its name in Python; the command line prints its flag, and the server its field."""

import argparse
import ast
import asyncio
import json
import pickle
import re

import pytest
from helpers.project import ROOT

from pecl import cli
from pecl.apps.serving.refusals import answer_error
from pecl.cli import build_parser, main
from pecl.commands import COMMANDS
from pecl.commands.options import Flags
from pecl.config import make_config
from pecl.errors import ConfigError, command, raise_problems, setting, spelled
from pecl.results.command import FLAG_NAMES

PACKAGE = ROOT / "pecl"
COMMAND_MODULES = (PACKAGE / "commands", PACKAGE / "apps" / "commands")
FLAG = re.compile(r"(^|[\s`('\"=])--[a-z]")
# Words of other programs, and `flag_words` itself
OF_OTHERS = {
    *("--no-", "--cores", "--module", "--nproc-per-node", "--porcelain", "--untracked-files=no"),
    "pip install --force-reinstall --no-deps ",
}
# Arguments of functions that no command has as a flag or an argument
ONLY_IN_PYTHON = {
    *(
        "callbacks",
        "configs",
        "corrected",
        "max_length",
        "plain_weight",
        "queries",
        "query",
        "ray_workers",
        "runs",
        "texts",
    )
}


def library():
    """Return the modules that are no commands, with their trees."""
    paths = [
        path for path in sorted(PACKAGE.rglob("*.py")) if not any(folder in path.parents for folder in COMMAND_MODULES)
    ]
    return {path: ast.parse(path.read_text("utf-8")) for path in paths if path.name != "cli.py"}


def docstrings(tree):
    places = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, places) and isinstance(node.body[0], ast.Expr)
    }


def test_no_message_of_the_library_has_a_flag():
    found = []
    for path, tree in library().items():
        skipped = docstrings(tree)
        for node in ast.walk(tree):
            is_text = isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped
            if is_text and FLAG.search(node.value) and node.value not in OF_OTHERS:
                found.append(f"{path.relative_to(ROOT)}, line {node.lineno}: {node.value!r}")
    assert found == []


def named_settings(tree):
    """Return the names of settings in the errors of a module: `field="top"`, `setting("top")` and `setting(top=3)`."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "field" and isinstance(node.value, ast.Constant):
            names.add(node.value.value)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setting":
            names |= {argument.value for argument in node.args if isinstance(argument, ast.Constant)}
            names |= {keyword.arg for keyword in node.keywords}
    return names - {None}


def test_settings_in_messages_are_flags_or_arguments():
    known = set()
    for name in COMMANDS:
        known |= words_of(build_parser([name]))
    used = {name for tree in library().values() for name in named_settings(tree)}
    assert {FLAG_NAMES.get(name, name).replace("-", "_") for name in used} - known == ONLY_IN_PYTHON


def words_of(parser):
    words = set()
    for action in parser._actions:
        words |= {action.dest, *(option.strip("-").replace("-", "_") for option in action.option_strings)}
        for inner in action.choices.values() if isinstance(action, argparse._SubParsersAction) else ():
            words |= words_of(inner)
    return words


def test_one_error_by_the_command_line_the_server_and_python(monkeypatch, capsys):
    error = ConfigError(field="after", expected="a day", got="'soon'")

    def fail(_):
        raise error

    monkeypatch.setattr(cli, "load_plugins", fail)  # the first step after the arguments are parsed
    assert main(["search", "photos", "a dog"]) == 2
    assert capsys.readouterr().err == "pecl: --after: expected a day, got 'soon'\n"

    answer = asyncio.run(answer_error(None, error))
    document = json.loads(answer.body)["error"]
    assert answer.status_code == 400
    assert (document["message"], document["param"]) == (
        "after: expected a day, got 'soon'",
        "after",
    )

    assert str(error) == "after: expected a day, got 'soon'"


def test_other_settings_of_a_message_are_written_as_the_reader_writes_them():
    def message():
        return f"leave {setting('text_model')} out, or use {setting(image_weight=0, words=False, text='a b')}"

    assert message() == "leave text_model out, or use image_weight=0 words=False text='a b'"

    flags = Flags()
    with spelled(flags):
        flags.parser = build_parser(["train"])
        assert message() == "leave --text-model out, or use --image-weight 0 --no-words --text 'a b'"
        flags.parser = build_parser(["report"])  # it has no such flag
        assert setting("text_model") == "text_model"
        flags.parser = build_parser(["evaluate"])
        assert setting("image_embeddings") == "--embeddings"
    assert setting("text_model") == "text_model"


def test_an_argument_without_dashes_keeps_its_name():
    with spelled(Flags()):
        assert str(ConfigError("expected a text", field="query")) == "query: expected a text"


def test_the_parts_of_an_error_are_there_for_programs():
    with pytest.raises(ConfigError) as caught:
        make_config({"anchor": "frozn", "language": "de"})
    error = caught.value
    assert (error.field, error.place, error.got, error.nearest) == ("anchor", "config", '"frozn"', "frozen")
    assert str(error) == f'config: anchor: expected {error.expected}, got "frozn"; did you mean "frozen"?'

    again = pickle.loads(pickle.dumps(error))  # from another process
    assert (str(again), vars(again)) == (str(error), vars(error))


def test_all_problems_are_in_one_error_each_once():
    problems = [ConfigError(field="lr", expected="a number", got="x"), ConfigError("unknown key 'a'")]
    with pytest.raises(ConfigError, match=r"^a\.yaml: lr: expected a number, got x; unknown key 'a'$"):
        raise_problems([*problems, problems[0]], "a.yaml")
    raise_problems([])


def test_a_command_in_a_message_can_be_pasted_into_a_shell():
    assert (
        command("index", "my photos", rebuild=True, profile="mini")
        == "`pecl index 'my photos' --rebuild --profile mini`"
    )
