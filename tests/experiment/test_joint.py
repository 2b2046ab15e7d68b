"""Joint training from the command line: one adapter, a result for each language, apart from separate trainings."""

import json

import pytest

from pecl.cli import main
from pecl.config import make_config
from pecl.errors import ConfigError
from pecl.grid.configs import expand, fleets
from pecl.report.tables.candidates import chosen_candidates
from pecl.results.result import collect


def flags(values):
    return [part for name, value in values.items() for part in (f"--{name.replace('_', '-')}", str(value))]


def test_train_and_grid_give_each_language_a_result(small, capsys):
    del small["language"]
    assert main(["train", *flags(small), "--joint", "fr+de", "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert [result["config"]["language"] for result in trained] == ["fr", "de"]
    assert main(["grid", *flags(small), "--joint", "fr+de", "--json"]) == 0
    assert {r["run_id"] for r in json.loads(capsys.readouterr().out)} == {r["run_id"] for r in trained}
    assert main(["train", *flags(small), "--language", "de"]) == 0
    assert len(chosen_candidates(collect([small["out"]]))) == 3  # only German is another row than German among two


def test_all_languages_of_a_joint_training_are_one_group(small):
    del small["language"]
    candidates = expand({**small, "joint": ["de+fr", "cs+de+fr"], "lr": [1e-3, 1e-2]})
    groups = [[candidate.language for candidate in group] for group in fleets(candidates, 1)]
    assert sorted(groups) == [["cs", "de", "fr"]] * 2 + [["de", "fr"]] * 2


def test_a_language_alone_cannot_be_trained_jointly(small, capsys):
    assert main(["train", *flags(small), "--joint", "fr+de"]) == 2
    assert "at once, got de" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="among them"):
        make_config({**small, "language": "cs", "joint": "de+fr"})
