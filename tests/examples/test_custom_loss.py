"""The example of a loss: short, right, and trained with under its own name."""

import csv
import inspect

import numpy as np
import pytest
import torch
from helpers.tiny import tiny_tower

import pecl
from pecl.errors import ConfigError
from pecl.grid import run_grid
from pecl.grid.launchers import make_launcher
from pecl.training.losses import AlignmentObjective


def by_hand(query, anchor):
    """The loss of lists of vectors, product by product."""
    pairs = [(i, j) for i in range(len(query)) for j in range(len(query))]
    return np.mean([(np.dot(query[i], query[j]) - np.dot(anchor[i], anchor[j])) ** 2 for i, j in pairs])


def test_the_loss_takes_ten_lines_at_most(example):
    assert len(inspect.getsource(example("custom_loss").gram).splitlines()) <= 10


def test_the_loss_of_a_hand_worked_pair(example):
    query, anchor = torch.tensor([[1.0, 0.0], [1.0, 2.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    # inner products 1, 1, 1, 5 and 1, 0, 0, 1: differences 0, 1, 1, 4
    assert example("custom_loss").gram(query, anchor).item() == (0 + 1 + 1 + 16) / 4


def test_it_is_added_to_the_others_by_its_name(example):
    example("custom_loss")
    query, anchor = torch.randn(5, 8, dtype=torch.float64), torch.randn(5, 8, dtype=torch.float64)
    total = AlignmentObjective(("mse", "gram"), alignment_weight=0.3, image_weight=0.0)(query, anchor, None)
    expected = 0.3 * (np.mean((query - anchor).numpy() ** 2) + by_hand(query.numpy(), anchor.numpy()))
    assert total.item() == pytest.approx(expected, rel=1e-12)


def test_the_first_step_of_a_training_has_the_loss_that_its_captions_give(example, small):
    values = small | {"gallery": "english", "image_weight": 0.0, "alignment_weight": 1.0, "dropout": False}
    result = example("custom_loss").main(**values | {"batch_size": 6, "eval_every": 1, "epochs": 1})
    data = pecl.load_dataset(small["dataset"], "de", text_only=True)
    chosen = pecl.few_shot_split(len(data), small["shots"]).train
    with open(small["dataset"], encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    query, anchor = (
        tiny_tower().eval().encode_text([rows[i][column] for i in chosen], normalize=False).double().numpy()
        for column in ("de", "en")
    )
    step, loss = result.curve.loss[0]
    assert (step, result.config.alignment) == (1, "mse+gram")
    assert loss == pytest.approx(np.mean((query - anchor) ** 2) + by_hand(query, anchor), rel=1e-4)


def test_errors_name_it_among_the_choices(example):
    example("custom_loss")
    with pytest.raises(ConfigError, match=r'cosine_mse, gram, gram_mse, .* got "grm"; did you mean "gram"'):
        pecl.make_config({"alignment": "grm"})


def test_workers_of_a_grid_are_not_sent_what_they_do_not_know(example, small, tmp_path):
    example("custom_loss")
    config = pecl.make_config({**small, "alignment": "mse+gram"})
    with pytest.raises(ConfigError, match='alignment: "gram" is registered in this process only'):
        run_grid([config], launcher=make_launcher("process", 2))
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mse", '"mse" is built in'),
        ("gram", '"gram" is registered already: choose another name, or register it with replace=True'),
        ("gram+mse", 'expected a name of letters, digits and underscores that begins with a letter, got "gram.mse"'),
        ("gram-2", 'got "gram-2"'),
        ("", 'got ""'),
        (3, "got 3"),
    ],
)
def test_names_that_cannot_be_told_apart_are_refused(example, name, message):
    gram = example("custom_loss").gram
    with pytest.raises(ConfigError, match=message):
        pecl.register_alignment(name)(gram)


def test_a_loss_of_other_arguments_is_refused(registries):
    with pytest.raises(ConfigError, match=r'alignment: expected "two" to take \(query, anchor, images\)'):
        pecl.register_alignment("two")(lambda query, anchor: query.sum())


def test_a_cell_that_is_run_again_replaces_its_loss(example):
    gram, query = example("custom_loss").gram, torch.ones(2, 3)
    pecl.register_alignment("gram", replace=True)(lambda query, anchor, images: 2 * gram(query, anchor))
    objective = AlignmentObjective(("gram",), alignment_weight=1.0, image_weight=0.0)
    assert objective(query, 0 * query, None).item() == 18.0


def test_a_class_is_made_once_and_called(registries):
    @pecl.register_alignment("distance")
    class Distance:
        def __call__(self, query, anchor, images):
            return (query - anchor).abs().sum()

    objective = AlignmentObjective(("distance",), alignment_weight=1.0, image_weight=0.0)
    assert objective(torch.ones(2, 3), torch.zeros(2, 3), None).item() == 6.0
    assert inspect.isclass(Distance)
