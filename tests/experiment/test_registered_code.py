"""Losses, adapters and data sets registered in memory: a result is complete only for the same code and data."""

import importlib
import logging
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.registries import forget_plugins
from PIL import Image

import pecl
from pecl.config import plugins
from pecl.data.custom.in_memory import from_dataset
from pecl.experiment.run import train
from pecl.files import sha256_file
from pecl.grid import run_grid
from pecl.grid.launchers import make_launcher

CELL = """
import pecl

def difference(a, b):
    return a - b

@pecl.register_loss("mine", replace=True)
def mine(query, anchor, images=None, factor=1.0):
    return factor * difference(query, anchor).square().mean()
"""


def run_cell(source):
    """Run source as a notebook's cell does, which has no file, and return its names."""
    cell = {"__name__": "__main__"}
    exec(compile(source, "<cell>", "exec"), cell)
    return cell


@pytest.fixture
def outcome(small, registries, caplog):
    """Return what trains `small` with further values, and returns its result and "complete" or "trained"."""
    caplog.set_level(logging.INFO)

    def run(**values):
        caplog.clear()
        result = train({**small, **values})
        return result, "complete" if "complete already" in caplog.text else "trained"

    return run


@pytest.fixture
def write_module(tmp_path, monkeypatch):
    """Return what imports a file with this source, as a new process would."""

    def run(source, name="my_losses"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        folder = tmp_path / f"code-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / f"{name}.py").write_text(source)
        monkeypatch.syspath_prepend(str(folder))
        importlib.import_module(name)

    return run


def test_a_loss_with_another_formula_is_trained_again(outcome, write_module, caplog):
    write_module(CELL)
    first, _ = outcome(alignment="mine")
    write_module(CELL)
    again, how = outcome(alignment="mine")
    assert (again, how) == (first, "complete")
    assert list(first.data.files) == ["loss mine"]

    write_module(CELL.replace("a - b", "100 * (a - b)"))
    other, how = outcome(alignment="mine")
    assert how == "trained"
    assert f"{first.path} was made with other code of loss mine; running it again" in caplog.text
    assert other.run_id == first.run_id
    assert other.curve.loss[0][1] > first.curve.loss[0][1] + 0.01
    assert outcome(alignment="mine")[1] == "complete"
    assert outcome(alignment="mse")[0].data.files is None


def test_a_loss_of_a_cell_is_complete_in_a_grid_of_this_process_until_the_cell_runs_again(small, registries, outcome):
    run_cell(CELL)
    configs = [replace(pecl.make_config({**small, "alignment": "mine"}), seed=seed) for seed in (0, 1)]
    outcomes = run_grid(configs, fleet=1).results
    assert [result.status for result in outcomes] == ["complete", "complete"]
    assert outcome(alignment="mine", seed=1)[1] == "complete"
    run_cell(CELL)
    assert outcome(alignment="mine", seed=1)[1] == "trained"


SCALE = """
from dataclasses import dataclass

import pecl
from pecl.adapters.kind import AdapterConfig
from pecl.adapters.slots import SlotModule


class Scale(SlotModule):
    def __init__(self, base, rows):
        super().__init__(base, rows)
        self.scale = self.slot_parameter(base.weight.shape[1], like=base.weight)

    def reset_slot(self, slot, generator):
        self.scale.data[slot] = 1.0

    def forward(self, x):
        return self.base(x * self.rows.spread(self.scale, x))


@pecl.register_adapter(replace=True)
@dataclass(frozen=True)
class ScaleConfig(AdapterConfig):
    kind = "scaled"

    def placements(self, tower):
        return self.at_roles(tower, ("key",), Scale)
"""


def test_an_adapter_with_other_code_is_trained_again(outcome, write_module):
    write_module(SCALE)
    first, _ = outcome(adapter="scaled+head", rank=None)
    write_module(SCALE)
    assert outcome(adapter="scaled+head", rank=None) == (first, "complete")
    write_module(SCALE.replace("= 1.0", "= 0.5"))
    other, how = outcome(adapter="scaled+head", rank=None)
    assert how == "trained"
    assert other.data.files.keys() == {"adapter scaled"}
    assert other.data.files != first.data.files


def test_a_data_set_with_other_captions_or_photographs_is_trained_again(outcome):
    def register(word, blue):
        rows = [
            {"image": Image.new("RGB", (4, 4), (10 * i, 50, blue)), "en": f"square {i}", "de": f"{word} {i}"}
            for i in range(24)
        ]
        rows = [{**row, "en_to_de": row["de"], "de_to_en": row["en"]} for row in rows]

        @pecl.register_dataset("squares", languages=["de"], replace=True)
        def read(request):
            return from_dataset(rows, request.language, need=request.need, name=request.dataset)

    register("Quadrat", 0)
    first, _ = outcome(dataset="squares")
    register("Quadrat", 0)
    assert outcome(dataset="squares") == (first, "complete")
    register("Viereck", 0)
    assert outcome(dataset="squares")[1] == "trained"
    register("Viereck", 200)
    photographs, how = outcome(dataset="squares")
    assert how == "trained"
    assert photographs.data.sha256 != first.data.sha256
    assert photographs.data.photographs != first.data.photographs


PLUGIN = """
import pecl

@pecl.register_loss("plugged")
def plugged(query, anchor, images=None):
    return {factor} * (query - anchor).square().mean()
"""


def test_a_loss_of_a_plugin_that_no_config_names_has_the_digest_of_the_plugin(outcome, tmp_path):
    path = tmp_path / "my.py"
    path.write_text(PLUGIN.format(factor=1.0))
    pecl.load_plugin(str(path))
    first, _ = outcome(alignment="plugged")
    assert first.data.files == {"loss plugged": sha256_file(path)}

    forget_plugins()
    path.write_text(PLUGIN.format(factor=100.0))
    pecl.load_plugin(str(path))
    assert outcome(alignment="plugged")[1] == "trained"


def test_workers_of_a_grid_agree_on_a_plugin_that_no_config_names(small, registries, tmp_path):
    tiny = Path(__file__).parent.parent
    towers = f"""
import sys
sys.path.insert(0, {str(tiny)!r})
from helpers.small_experiment import use_towers
use_towers()
"""
    path = tmp_path / "my.py"
    path.write_text(towers + PLUGIN.format(factor=1.0))
    plugins.load_plugins(str(path))
    config = pecl.make_config({**small, "alignment": "plugged"})
    (result,) = run_grid([config], launcher=make_launcher("process", 2)).results
    assert result.status == "complete"
    assert result.data.files == {"loss plugged": sha256_file(path)}
