"""The area under the curve of present and absent words, against hand-worked values and a plain count."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.small_experiment import tiny_towers
from helpers.small_index import unit
from helpers.tiny import tiny_tower

import pecl
from pecl.cli import main
from pecl.experiment.further_measurements import area_under_curve, words_of


@pytest.mark.parametrize(
    ("present", "absent", "area"),
    [([3, 4], [1, 2], 1), ([1], [2], 0), ([2, 2], [2], 0.5), ([1, 3], [2], 0.5), ([5, 2], [1, 2, 3], (3 + 1.5) / 6)],
)
def test_the_area_is_the_share_of_pairs_in_order(present, absent, area):
    assert area_under_curve(np.array(present), np.array(absent)) == pytest.approx(area)


def test_words_count_by_their_captions_and_are_present_by_the_gallery():
    captions = ["the Dog and the cat", "a dog", "dog", "red cat", "a cat", "cow", "cow", "Cow with 3 legs"]
    captions += ["an ox an ox an ox", "एक कुत्ता", "कुत्ता!"]
    words, is_present = words_of(captions, [1, 1, 1, 0, 1, 3, 5, 7, 2, 4, 5], "en")
    expected = {"dog": False, "cat": True, "cow": False, "कुत्ता": True}  # three letters and three marks
    assert dict(zip(words, is_present.tolist(), strict=True)) == expected


def test_the_command_gives_the_area_of_the_data(small, capsys, monkeypatch):
    monkeypatch.setattr("pecl.experiment.further_measurements.FEWEST", 1)
    table = Path(small["dataset"])
    rows = pd.read_csv(table)
    rows["de"] = [f"ein {first}{second}wort" for first in "abcd" for second in "efghij"][: len(rows)]
    rows.to_csv(table, index=False)
    command = ["evaluate", "--dataset", str(table), "--out", small["out"], "--language", "de", "--presence"]
    assert main([*command, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    data = pecl.load_dataset(str(table), "de")
    gallery = unit([tiny_towers().image.encode_image([data.images.load(i)])[0].numpy() for i in range(0, len(rows), 4)])
    best = unit(tiny_tower().encode_text([text.split()[1] for text in data.target]).numpy()) @ gallery.T
    scores = best.max(axis=1)
    absent = [score for i, score in enumerate(scores) if i % 4]
    pairs = [(p > a) + 0.5 * (p == a) for p in scores[::4] for a in absent]
    assert (row["images"], row["present"], row["absent"]) == (len(gallery), len(scores[::4]), len(absent))
    assert row["area"] == pytest.approx(np.mean(pairs), abs=1e-6)
    assert main(command) == 0
    assert f"{row['area']:.3f}" in capsys.readouterr().out
    assert main([*command, "--gallery", "english"]) == 2
    assert "gallery: expected images with --presence" in capsys.readouterr().err
