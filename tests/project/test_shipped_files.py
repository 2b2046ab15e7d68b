"""The YAML files and shell scripts that the project ships are right as they stand."""

import re
import shlex
from pathlib import Path

import pytest
from helpers.documents import Shell, make_checkout
from helpers.layouts import make_multi30k, make_xtd10, sentence, write_lines
from helpers.project import ROOT

from pecl.cli import build_parser
from pecl.commands.grid import grid_values
from pecl.commands.options import training_values
from pecl.config import make_config, read_yaml
from pecl.config.spelling import LORA_RANK
from pecl.grid import expand
from pecl.results.result import collect

CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


def opening_configs(path, monkeypatch):
    """Return the runs of the `pecl` command that a config's first line shows."""
    monkeypatch.chdir(ROOT)
    command = path.read_text().splitlines()[0].partition("(or:")[0]
    parsed = build_parser().parse_args(shlex.split(command)[2:])
    return expand(grid_values(parsed) if parsed.command == "grid" else training_values(parsed))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_config_can_be_expanded_and_opens_with_the_command_that_runs_it(path, monkeypatch):
    assert path.read_text().startswith(("# pecl ", "# bash scripts/"))
    assert expand(read_yaml(path), str(path))
    if path.read_text().startswith("# bash"):
        return
    configs = opening_configs(path, monkeypatch)
    for name, value in read_yaml(path).items():
        if not isinstance(value, list) and name not in ("language", "route"):  # these two are in the command
            expected = expand({name: value})[0]
            assert all(getattr(config, name) == getattr(expected, name) for config in configs)


@pytest.fixture(scope="module", autouse=True)
def data(tmp_path_factory):
    """Small data of the sets' own layout: a dry run reads what the run would."""
    root = tmp_path_factory.mktemp("data")
    make_multi30k(root, n=1400, images=range(1400))
    for split in ("val", "test_2016_flickr"):  # of multi30k-full
        make_multi30k(root, split, n=50, names=[f"{split}-{i}.jpg" for i in range(50)], images=range(50))
    make_xtd10(root, n=1000, images=range(1000))
    korean = root / "pectvlm" / "datasets" / "Cross-lingual-Test-Dataset-XTD10" / "translated_from_en" / "ko.txt"
    write_lines(korean, [sentence("ko", i, "MT") for i in range(1000)])  # the released file is a copy of the Italian
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PECL_DATA_DIR", str(root))
        patch.setenv("PECL_CACHE_DIR", str(root / "cache"))
        yield


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    """Return a function of a command: the lines of runs that its dry run prints. `pecl` runs in this process."""
    folder = tmp_path_factory.mktemp("scripts")
    shell = Shell(folder, shorten=False)
    checkout = make_checkout(folder, shell)

    def lines(command):
        status, out, errors = shell.run(f"{command} --dry-run", checkout, home=folder)
        assert status == 0, errors
        return [line for line in out.splitlines() if not re.match(r"(all: )?\d+ (runs?|evaluations?)\b", line)]

    return lines


def test_the_scripts_of_the_papers_scenarios_list_their_runs(listed):
    assert len(listed("PECL_PROFILE=paper bash scripts/zero_shot.sh")) == 11
    assert len(listed("bash scripts/few_shot.sh --language de --seeds 1,2")) == 5 * 3 * 2
    alone_and_joint = listed("bash scripts/disparity.sh --lr 1e-4")
    assert len(alone_and_joint) == 4 + 4
    assert sum("joint=cs+de+en+fr" in line for line in alone_and_joint) == 4


def test_a_grid_script_passes_its_flags_through(listed):
    configs = listed("bash scripts/grid_method2/cs.sh --lr 1e-3,2e-3 --seed 7")
    assert len(configs) == 2
    assert all("route=method2" in config and "language=cs" in config and "seed=7" in config for config in configs)


def test_recorded_results_bear_the_identity_of_their_config_and_no_folder_of_a_machine():
    results = collect([ROOT / "results" / "measured"])
    assert {result.kind for result in results} == {"train", "evaluate"}
    for result in results:
        assert result.config.run_id(result.kind) == result.run_id, result.path
        if result.config.rank != LORA_RANK:  # recorded before the default rank had one spelling, that of none
            assert make_config(result.config.to_dict()).run_id(result.kind) == result.run_id, result.path
        assert not Path(result.config.out).is_absolute(), result.path
