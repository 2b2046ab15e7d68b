"""What a config says reaches the parts of a training: the trainer, its runs, and the tower that reads the texts."""

import csv

import pytest
import torch
from helpers.small_experiment import DISTILLATION, write_text

import pecl
from pecl.config import make_config
from pecl.encoders.text import MultilingualTextEncoder
from pecl.experiment.run import train
from pecl.training.losses import ANCHOR, BANK
from pecl.training.trainer import Trainer


class _Reached(Exception):
    """The training has reached its trainer."""


@pytest.fixture
def trainer_of(small, monkeypatch):
    """Return a function from fields of a config to the arguments of its `Trainer`, by name."""
    given = {}

    def record(trainer, adapter, runs, schedule, validate, **options):
        given.update(adapter=adapter, runs=runs, schedule=schedule)
        raise _Reached

    monkeypatch.setattr(Trainer, "__init__", record)

    def run(**values):
        with pytest.raises(_Reached):
            train(make_config({**small, **values}))
        return given

    return run


@pytest.mark.parametrize(
    ("field", "value", "name", "expected"),
    [
        ("epochs", 7, "epochs", 7),
        ("batch_size", 5, "batch_size", 5),
        ("eval_every", 9, "eval_every", 9),
        ("dropout", False, "dropout", False),
        ("warmup", 3, "warmup", 3),
        ("ema", 0.9, "ema", 0.9),
        ("patience", 4, "patience", 4),
        ("choose", "last", "last", True),
    ],
)
def test_each_field_of_the_schedule_reaches_it(trainer_of, field, value, name, expected):
    assert getattr(trainer_of(**{field: value})["schedule"], name) == expected
    assert getattr(trainer_of()["schedule"], name) != expected


def test_each_field_of_a_run_reaches_it(trainer_of):
    values = {"lr": 0.5, "seed": 9, "alignment": "cosine:2+mse:3", "alignment_weight": 0.25, "image_weight": 0.75}
    (run,), adapter = (trainer_of(**values, rank=3)[name] for name in ("runs", "adapter"))
    assert (run.lr, run.seed) == (0.5, 9)
    objective = run.loss.objective
    assert (objective.names, objective.weights) == (["cosine", "mse"], [2.0, 3.0])
    assert (objective.alignment_weight, objective.image_weight) == (0.25, 0.75)
    assert adapter.configs[0].r == 3


def test_match_compares_with_the_frozen_anchors_of_the_training_pairs(trainer_of):
    (run,) = trainer_of(alignment="match", anchor="frozen")["runs"]
    assert torch.equal(run.memory[BANK], run.pairs.embeddings[ANCHOR])
    assert trainer_of(alignment="mse", anchor="frozen")["runs"][0].memory == {}


@pytest.fixture
def read(monkeypatch):
    """The pairs (text, language) that are tokenised."""
    pairs, tokenize = set(), MultilingualTextEncoder.tokenize

    def record(tower, texts, language=None):
        pairs.update(zip(texts, [language] * len(texts) if isinstance(language, str) else language, strict=True))
        return tokenize(tower, texts, language)

    monkeypatch.setattr(MultilingualTextEncoder, "tokenize", record)
    return pairs


@pytest.mark.parametrize("choose", ["validation", "text"])
@pytest.mark.parametrize("route", ["method1", "method2", "method3", "baseline2"])
def test_each_caption_is_read_in_the_language_of_its_column(small, read, route, choose):
    """English captions and translations into English as English, also where they are the queries."""
    with open(small["dataset"], encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = {"en": "en", "de_to_en": "en", "de": "de", "en_to_de": "de"}
    languages = {row[column]: language for row in rows for column, language in columns.items()}
    if choose == "text" and route == "baseline2":
        pytest.skip("a route without an anchor has no held-out text")
    train(make_config({**small, "route": route, "epochs": 1, "choose": choose}))
    assert len(read) >= len(rows)
    assert {(text, language) for text, language in read if languages[text] != language} == set()


def test_captions_of_photographs_next_to_text_are_read_in_their_language(small, read, tmp_path):
    kept = {name: small[name] for name in ("dataset", "out")}
    pecl.distil(**{**DISTILLATION, **kept, "text": write_text(tmp_path / "text.tsv"), "images": True})
    with open(small["dataset"], encoding="utf-8") as file:
        captions = {row["de"] for row in csv.DictReader(file)}
    assert {language for text, language in read if text in captions} == {"de"}


@pytest.mark.parametrize("start", [None, "lexicon"])
def test_both_columns_of_training_and_held_out_text_are_read_in_their_language(small, read, tmp_path, start):
    text = write_text(tmp_path / "text.tsv")
    with open(text, encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    columns = {code: {row[code] for row in rows} for code in ("en", "de")}
    assert not columns["en"] & columns["de"]
    kept = {name: small[name] for name in ("dataset", "out")}
    options = {"text": text, "start": start, "adapter": "word_embeddings:tokens=16,rank=2", "solver": "gradient"}
    pecl.distil(**{**DISTILLATION, **kept, **options})
    for code, captions in columns.items():
        assert {text for text, _ in read if text in captions} == captions
        assert {language for text, language in read if text in captions} == {code}
