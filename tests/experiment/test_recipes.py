"""Recipes: each trains; one from outside the package has parameters and state, and ends the same after a kill."""

import json
from dataclasses import replace
from pathlib import Path

import helpers
import pytest
import torch
from helpers.interrupted import interrupted_after
from helpers.small_experiment import tiny_towers, write_text

import pecl
from pecl.adapters.formats.files import load_adapter_file
from pecl.cli import main
from pecl.config import make_config
from pecl.config.recipes import MEMORY, RECIPES
from pecl.errors import ConfigError
from pecl.experiment.inputs import read_training
from pecl.experiment.run import train, train_fleet
from pecl.training.losses import Views
from pecl.training.recipes import BothLanguages, Relations, Unpaired

PLUGIN = Path(helpers.__file__).with_name("queue_recipe.py").read_text("utf-8")


@pytest.fixture
def queue(small, tmp_path, registries):
    """Values of a run whose recipe is a plug-in's."""
    path = tmp_path / "queue.py"
    path.write_text(PLUGIN)
    pecl.load_plugin(str(path))
    return {**small, "recipe": "queue", "plugin": str(path)}


def content(result):
    return result.adapter_path.read_bytes(), result.curve, result.metrics


def test_a_recipe_of_a_plugin_trains_alone_in_a_fleet_and_after_a_kill(queue, tmp_path):
    config = make_config(queue)
    assert (config.image_weight, config.route) == (0.0, "method1")
    alone = train(replace(config, out=str(tmp_path / "alone")))
    again = train(replace(config, out=str(tmp_path / "again")))
    assert content(again) == content(alone)  # the queue of the first run is not in the second one

    with interrupted_after(3):
        train(config)
    with interrupted_after(2):
        train(config)
    assert content(train(config)) == content(alone)

    fleet = train_fleet([replace(config, out=str(tmp_path / "fleet"), seed=seed) for seed in (1, 2)])
    others = train(replace(config, out=str(tmp_path / "alone"), seed=2))
    for found, expected in zip(fleet, (alone, others), strict=True):
        loss, expected_loss = (torch.tensor(one.curve.loss) for one in (found, expected))
        torch.testing.assert_close(loss, expected_loss, rtol=1e-4, atol=1e-4)
    assert alone.curve.loss != others.curve.loss


def test_a_learned_scale_changes_the_training(queue, tmp_path):
    learned = train(queue)
    source = Path(queue["plugin"]).read_text().replace("torch.nn.Parameter(torch.tensor(2.0))", "torch.tensor(2.0)")
    fixed = tmp_path / "fixed.py"
    fixed.write_text(source.replace('"queue",\n    student', '"fixed",\n    student'))
    pecl.load_plugin(str(fixed))
    other = train({**queue, "recipe": "fixed", "plugin": str(fixed)})
    assert learned.curve.loss[0][1] != other.curve.loss[0][1]  # the mean of two steps


def test_a_recipe_of_a_plugin_is_listed_and_reported(queue, capsys):
    train(queue)
    assert main(["report", queue["out"]]) == 0
    assert "queue" in capsys.readouterr().out
    assert main(["recipes", "queue", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["student"], row["teacher"], row["loss"]) == (["target"], ["english"], "Queue")
    assert main(["recipes", "--bibtex"]) == 0
    printed = capsys.readouterr().out
    assert "@misc{queue," in printed
    assert printed.count("2305.03510") == 1  # of five routes


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "distil"])
def test_every_recipe_trains_on_the_text_that_it_states(small, tmp_path, name):
    values = {**small, "recipe": name, "rank": None, "epochs": 1}
    if name in ("centring", "unpaired"):
        (tmp_path / "memory.txt").write_text("\n".join(f"lopi vi {i}" for i in range(20)) + "\n")
        values["memory"] = str(tmp_path / "memory.txt")
    if name == "closed_form":
        values |= {"text": write_text(tmp_path / "text.tsv"), "held_out": 12, "adapter": "head:rank=3"}
    result = train(values)
    assert (result.config.recipe or result.config.route) == name
    assert (result.steps > 0) == ("gradient" in result.config.solvers)


def test_centring_moves_the_mean_of_the_language_onto_that_of_english(small, tmp_path):
    (tmp_path / "memory.txt").write_text("zumo terra\nvi belo\n")
    with pytest.raises(ConfigError, match="memory: expected English captions with the recipe centring"):
        train({**small, "recipe": "centring", "rank": None})
    values = {**small, "recipe": "centring", "rank": None, "memory": str(tmp_path / "memory.txt")}
    result = train(values)
    towers = tiny_towers()
    inputs = read_training(result.config, towers)
    before = towers.text.encode_token_ids(inputs.train_tokens).mean(dim=0)
    english = towers.text.encode_token_ids(towers.text.tokenize(inputs.memory, "en")).mean(dim=0)
    state = load_adapter_file(result.adapter_path).state
    (shift,) = (value for name, value in state.items() if name.endswith("shift"))
    torch.testing.assert_close(shift, english - before, rtol=1e-4, atol=1e-5)


def test_losses_of_hand_worked_rows():
    config = make_config({"language": "de", "alignment_weight": 2.0})
    target, english = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[1.0, 1.0], [0.0, 2.0]])
    teacher = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    both = BothLanguages(config, 2)(Views({"target": target, "english": english}, {"english": teacher}))
    assert both.item() == pytest.approx(2 * (1 / 4 + 2 / 4))
    # equal directions have equal relations: only the squared error is left
    assert Relations(config, 2)(Views({"target": target}, {"english": teacher})).item() == pytest.approx(2 * 1 / 4)

    # the mean of the texts is (.5, .5), that of the memory (0, 0): each text is nearest to its own half
    memory = torch.tensor([[3.0, -3.0], [-3.0, 3.0]])
    torch.testing.assert_close(Unpaired(config, 2).pseudo_targets(teacher, memory), memory)


@pytest.mark.usefixtures("registries")
def test_state_outside_of_buffers_is_refused(small):
    @pecl.register_loss("counting")
    class Counting(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = 0

        def forward(self, query, anchor, images):
            self.calls += 1
            return (query - anchor).square().mean() * self.calls

    with pytest.raises(ConfigError, match=r"loss: expected its state in buffers .*, got a change of Counting.calls"):
        train({**small, "alignment": "counting"})


@pytest.mark.usefixtures("registries")
def test_a_loss_with_a_queue_has_one_per_run(small, tmp_path):
    @pecl.register_loss("queued")
    class Queued(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("queue", torch.zeros(0, 8))

        def forward(self, query, anchor, images):
            self.queue = torch.cat([self.queue, anchor.detach()])[-9:]
            return (query @ self.queue.T).square().mean()

    config = make_config({**small, "alignment": "queued"})
    first = train(replace(config, out=str(tmp_path / "1")))
    train(replace(config, out=str(tmp_path / "1"), seed=7))
    second = train(replace(config, out=str(tmp_path / "2")))
    assert content(second) == content(first)
    with interrupted_after(5):
        train(config)
    assert content(train(config)) == content(first)
    (together, _) = train_fleet([replace(config, out=str(tmp_path / "3"), seed=seed) for seed in (1, 7)])
    torch.testing.assert_close(torch.tensor(together.curve.loss), torch.tensor(first.curve.loss), rtol=1e-4, atol=1e-4)


def test_a_recipe_of_unknown_columns_or_arguments_is_refused():
    with pytest.raises(ConfigError, match="unknown column 'englsh'"):
        pecl.register_recipe("wrong", teacher=["englsh"])
    with pytest.raises(ConfigError, match=r'recipe: expected "wrong" to be a torch.nn.Module class'):
        pecl.register_recipe("wrong")(lambda query: query)
    assert MEMORY not in RECIPES["relations"].teacher
