"""Recall of captions on photographs of one's computer is one number, as evaluated and as searched."""

import csv
import shutil

import pytest
from helpers.layouts import real_data_dir

import pecl
from pecl.cli import main
from pecl.experiment.hub_correction import corrected_recall
from pecl.results.result import read_result

COUNT = 300

pytestmark = [pytest.mark.slow, pytest.mark.weights]


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
    assert main(["index", str(folder / "photographs")]) == 0
    return folder


def captions_of(folder, language="cs"):
    found = pecl.load_dataset(str(folder / "captions.csv"), language)
    assert found.english is None
    assert list(found.image_index) == list(range(COUNT))
    return found


def evaluated(folder, language, out):
    """Return how many captions find their photograph first, as `pecl evaluate` says."""
    command = ["evaluate", "--dataset", str(folder / "captions.csv"), "--language", language]
    assert main([*command, "--adapter", language, "--out", str(out)]) == 0
    (path,) = out.glob("*.json")
    return round(read_result(path).recall(direction="text_to_image") * COUNT)


def corrected(folder, language):
    """Return how many captions find their photograph first with hubs corrected, as `pecl evaluate` says."""
    fields = {"dataset": str(folder / "captions.csv"), "language": language, "weights": language}
    return round(corrected_recall(pecl.make_config(fields))["corrected recall@1"] * COUNT)


@pytest.mark.parametrize("language", ["cs", "de"])
def test_a_search_puts_the_right_photograph_first_as_often_as_evaluation_says(folder, language, tmp_path):
    captions = captions_of(folder, language)
    index = pecl.ImageIndex.open(folder / "photographs")
    for choice, expected in ((False, evaluated(folder, language, tmp_path)), (None, corrected(folder, language))):
        found = index.search(captions.target, language, top=1, corrected=choice)
        right = sum(hit.path.samefile(path) for (hit,), path in zip(found, captions.images.paths, strict=True))
        assert right == expected
