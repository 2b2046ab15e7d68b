"""`pecl evaluate --harness`: another package's figures on tiny towers and made data, equal to our own."""

import json
import re
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.adapter_towers import states
from helpers.family_towers import WIDTH, WRITERS
from helpers.small_experiment import Colours, _pixels, use_towers

from pecl.adapters.formats.files import save_adapter
from pecl.adapters.spec import parse_adapter
from pecl.apps.harness.run import HARNESSES, evaluate_with
from pecl.cli import main
from pecl.config import make_config
from pecl.encoders.image import ImageEncoder
from pecl.encoders.towers import load_text_encoder
from pecl.errors import ConfigError
from pecl.experiment.evaluation import evaluate


@pytest.fixture
def evaluation(small, tmp_path, monkeypatch):
    """Values of an evaluation on pictures of which each second has two captions, with an adapter of German.

    The text tower reads texts by their language.
    """
    (folder := tmp_path / "tower").mkdir()
    WRITERS["nllb"](folder)
    image = ImageEncoder(Colours(), torch.nn.Linear(8, WIDTH), _pixels, name="colours", preprocessing={})
    use_towers(partial(load_text_encoder, folder), lambda: image)
    rows, path = pd.read_csv(small["dataset"]), tmp_path / "several.csv"
    rows.loc[::3, "image"] = np.roll(rows["image"], 1)[::3]
    rows.to_csv(path, index=False)
    tower = load_text_encoder(folder)
    weights = save_adapter(tmp_path / "de.safetensors", states(tower)[0], parse_adapter("lora"), "de", tower)
    return {"dataset": str(path), "out": small["out"], "language": "de", "weights": str(weights)}


@pytest.mark.parametrize("harness", HARNESSES)
def test_the_figures_are_ours(harness, evaluation):
    package, _ = HARNESSES[harness]
    pytest.importorskip(package, reason=f"{package} is not there")
    config = make_config(evaluation)
    plain = replace(config, weights=None)
    translated = replace(config, route="baseline2")  # queries are English
    rows = evaluate_with(harness, [config, plain, replace(plain, language="fr"), translated])
    both = ("text_to_image", "image_to_text")
    expected = [(language, direction) for language in ("de", "de", "fr", "de") for direction in both]
    assert [(row["language"], row["direction"]) for row in rows] == expected
    for row in rows:
        for k in (1, 5, 10):
            assert row[f"{harness} recall@{k}"] == pytest.approx(row[f"pecl recall@{k}"], abs=1e-5)
    assert rows[:2] != rows[2:4]  # the adapter took part
    result = evaluate(config)
    assert rows[0]["pecl recall@5"] == result.recall(k=5, direction="text_to_image")


def test_clip_benchmark_takes_towers_on_a_device(evaluation, fake_device, towers_on):
    pytest.importorskip("clip_benchmark", reason="clip_benchmark is not there")
    towers_on(fake_device.device)
    rows = evaluate_with("clip-benchmark", [make_config({**evaluation, "weights": None})])
    assert rows[0]["clip-benchmark recall@5"] == pytest.approx(rows[0]["pecl recall@5"])


def test_the_command_prints_both(evaluation, capsys):
    pytest.importorskip("clip_benchmark", reason="clip_benchmark is not there")
    evaluation["adapter"] = evaluation.pop("weights")
    flags = [part for name, value in evaluation.items() for part in (f"--{name}", value)]
    assert main(["evaluate", *flags, "--harness", "clip-benchmark"]) == 0
    table = capsys.readouterr().out
    assert main(["evaluate", *flags, "--harness", "clip-benchmark", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)[0]
    assert row["direction"] in table
    assert f"{row['pecl recall@5']:.3f}" in table
    assert not re.search(r"\.\d{4}", table)  # as in other tables of recalls


def test_what_a_harness_cannot_do_is_said(monkeypatch):
    config = make_config({})
    if find_spec("mteb"):
        with pytest.raises(ConfigError, match="gallery: expected images with harness='mteb', got english"):
            evaluate_with("mteb", [replace(config, gallery="english", image_weight=0.0)])
    monkeypatch.setattr("pecl.apps.harness.run.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"harness mteb is not installed: pip install -e '.\[harness\]'"):
        evaluate_with("mteb", [config])


def test_a_dry_run_checks_the_harness(evaluation, capsys):
    flags = [part for name, value in evaluation.items() if name != "weights" for part in (f"--{name}", value)]
    assert main(["evaluate", *flags, "--harness", "foo", "--dry-run"]) == 2
    assert "harness" in capsys.readouterr().err
