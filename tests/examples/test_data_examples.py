"""The examples of a language and a data set run as they are, on tiny towers."""

import runpy
import sys

import pytest
from helpers.project import ROOT

import pecl
from pecl.cli import main

EXAMPLES = ROOT / "examples"


@pytest.mark.usefixtures("registries")
def test_a_language_is_added_in_one_row(tmp_path, monkeypatch, capsys):
    table = tmp_path / "captions.csv"
    table.write_text("en,hsb\na dog,pos\n", "utf-8")
    monkeypatch.setattr(sys, "argv", ["add_language.py", str(table)])
    runpy.run_path(str(EXAMPLES / "add_language.py"), run_name="__main__")
    assert capsys.readouterr().out.splitlines()[-1] == "pos"
    assert pecl.make_config({"dataset": str(table), "language": "Hornjoserbsce"}).language == "hsb"


@pytest.mark.usefixtures("registries")
def test_a_registered_data_set_is_trained_on_and_listed(small, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / "own_dataset.py"), run_name="__main__")
    assert len(list((tmp_path / "swatches").glob("*.json"))) == 1
    capsys.readouterr()
    assert main(["data", "list"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("swatches"))
    assert line.split()[1:3] == ["found", "de"]
    assert "plain squares of a colour" in line
    assert main(["data", "check", "swatches"]) == 0
