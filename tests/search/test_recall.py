"""Queries in Czech and German on photographs of one's computer find as often as evaluation says."""

import csv
import shutil

import pytest
import torch
from helpers.layouts import real_data_dir

import pecl
from pecl.adapters.ready import ready_adapters
from pecl.cli import main

COUNT = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """300 photographs and a table of their captions in Czech and German, without English."""
    root = real_data_dir()
    sets = {code: pecl.load_dataset("multi30k-1k", code, data_dir=root).select(range(COUNT)) for code in ("cs", "de")}
    folder = tmp_path_factory.mktemp("own")
    with open(folder / "captions.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", *sets])
        for i, path in enumerate(sets["cs"].images.paths):
            (folder / "photographs" / str(i % 7)).mkdir(parents=True, exist_ok=True)
            place = folder / "photographs" / str(i % 7) / path.name
            shutil.copyfile(path, place)
            writer.writerow([place.relative_to(folder), *(captions.target[i] for captions in sets.values())])
    return folder


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.parametrize("language", ["cs", "de"])
def test_a_search_puts_the_right_photograph_first_as_often_as_evaluation_says(folder, language, tmp_path, capsys):
    assert main(["index", str(folder / "photographs")]) == 0
    assert f"{COUNT} photographs" in capsys.readouterr().out
    ready = ready_adapters("mini").get(language)
    weights = None if ready is None else str(ready)
    values = {"dataset": str(folder / "captions.csv"), "language": language, "out": str(tmp_path), "weights": weights}
    result = pecl.evaluate(pecl.make_config(values))
    captions = pecl.load_dataset(str(folder / "captions.csv"), language)
    assert captions.english is None
    found = pecl.ImageIndex.open(folder / "photographs").search(captions.target, language, top=1)
    wanted = [captions.images.paths[i] for i in captions.image_index]
    first = sum(hit.path.resolve() == path.resolve() for (hit,), path in zip(found, wanted, strict=True))
    recall = result.recall(direction="text_to_image")
    torch.testing.assert_close(first / COUNT, recall, atol=1.5 / COUNT, rtol=0)  # a tie counts as missed there
    assert first / COUNT >= recall - 1e-9
