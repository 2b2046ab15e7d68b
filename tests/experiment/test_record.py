"""What lies next to the metrics: manifest, what was retrieved, parts told apart, interrupted runs."""

import json
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from helpers.layouts import make_xtd10
from helpers.retrieval import cosine_similarity
from helpers.small_experiment import tiny_towers

import pecl.results.parts
from pecl.config import make_config
from pecl.data.registry import load_dataset
from pecl.data.splits import few_shot_split
from pecl.errors import DataError
from pecl.experiment.evaluation import evaluate
from pecl.experiment.run import train
from pecl.files.digests import with_digest
from pecl.results.folder import manifest_path, read_manifest, read_retrieved
from pecl.results.parts import environment
from pecl.results.result import collect, read_result


def test_the_manifest_repeats_the_split_and_is_that_of_all_its_runs(small):
    result = train(make_config(small))
    manifest = json.loads(manifest_path(small["out"], result.data.manifest).read_text("utf-8"))
    assert {part: tuple(indices) for part, indices in manifest["indices"].items()} == few_shot_split(24, 6)._asdict()
    assert manifest["gallery"]["items"] == manifest["indices"]["test"]
    data = load_dataset(small["dataset"], "de")
    assert manifest["gallery"]["ids"] == [data.images.ids[i] for i in manifest["indices"]["test"]]
    assert collect([small["out"]]) == [result]  # a manifest is no result
    same, other = (train(make_config({**small, "epochs": 1, **of})) for of in ({"language": "fr"}, {"split_seed": 7}))
    assert same.data.manifest == result.data.manifest != other.data.manifest
    assert tuple(read_manifest(other)["indices"]["test"]) == few_shot_split(24, 6, 7).test


def test_what_was_retrieved_is_the_nearest_of_the_gallery(small):
    result = train(make_config(small))
    data, towers = load_dataset(small["dataset"], "de"), tiny_towers()
    test = few_shot_split(24, 6).test
    texts = towers.text.encode_text([data.target[i] for i in test])
    images = towers.image.encode_image(data.images.load(i) for i in test)
    order = cosine_similarity(texts, images).argsort(dim=1, descending=True)[:, :5]
    nearest = read_retrieved(result)
    assert nearest["zero_shot"] == [[test[j] for j in row] for row in order.tolist()]
    firsts = [row[0] for row in nearest["best"]]
    found = [rank == 1 for rank in result.ranks("text_to_image")]
    assert [first == own for first, own in zip(firsts, test, strict=True)] == found


def test_what_occurs_twice_in_the_gallery_is_counted_in_the_result(small):
    """Two test pictures become copies of a third, one caption the copy of another; of the training part none counts."""
    table = Path(small["dataset"])
    plain = train(make_config(small))
    assert plain.data.duplicates is None
    assert "duplicates" not in json.loads(plain.path.read_text())["data"]
    split = few_shot_split(24, 6)
    first, second, third, *_ = split.test
    train_first = split.train[0]
    for i, copied in ((first, second), (first, third), (train_first, split.train[1]), (train_first, split.train[2])):
        shutil.copy(table.with_name(f"{i}.png"), table.with_name(f"{copied}.png"))
    rows = pd.read_csv(table)
    rows.loc[third, "de"] = rows.loc[first, "de"]
    rows.to_csv(table, index=False)
    images = train(make_config({**small, "seed": 2}))
    assert images.data.duplicates == {"gallery": 2, "queries": 1}
    assert read_result(images.path) == images
    english = evaluate({**{name: small[name] for name in ("dataset", "language", "out")}, "gallery": "english"})
    assert english.data.duplicates == {"queries": 1}


def test_coco_train_and_validation_images_are_told_apart(tmp_path, monkeypatch, tiny_weights):
    monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path / "cache"))
    make_xtd10(tmp_path, n=10)
    values = {"dataset": "xtd10", "data_dir": str(tmp_path), "gallery": "english", "image_weight": 0.0}
    result = evaluate(make_config({**values, "language": "it", "route": "baseline1", "out": str(tmp_path / "out")}))
    parts = result.subsets["test"]
    assert {name: part["captions"] for name, part in parts.items()} == {"train2014": 8, "val2014": 2}
    whole = result.recall(stage="zero_shot")
    weighted = 0.8 * parts["train2014"]["zero_shot"]["mean_recall@1"]
    assert weighted + 0.2 * parts["val2014"]["zero_shot"]["mean_recall@1"] == pytest.approx(whole)


def test_two_different_results_of_one_run_are_refused(small, tmp_path):
    result = train(make_config(small))
    other = tmp_path / "other" / f"{result.run_id}.json"
    other.parent.mkdir()
    document = result.to_json()
    other.write_text(json.dumps(with_digest(document)))
    assert len(collect([small["out"], other.parent])) == 1  # a copy is no contradiction
    document["metrics"]["test"]["best"]["mean_recall@1"] += 0.1
    other.write_text(json.dumps(with_digest(document)))
    with pytest.raises(DataError, match="different results of run"):
        collect([small["out"], other.parent])


def test_a_result_says_of_which_commit_it_is_and_whether_tracked_files_were_changed(tmp_path, monkeypatch):
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    monkeypatch.setattr(pecl.results.parts, "__file__", str(checkout / "results.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))

    def git(*arguments):
        who = ("-c", "user.name=a", "-c", "user.email=a@b.example")
        command = ["git", "-C", str(checkout), *who, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def said():
        pecl.results.parts._checkout.cache_clear()  # as in a new process
        found = environment()
        return found.commit, found.dirty

    assert said() == (None, None)  # installed without a checkout
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "zero")
    (checkout / "results.py").write_text("1")
    assert said() == (None, None)  # within a checkout of something else
    git("add", "results.py")
    git("commit", "-q", "-m", "one")
    commit = git("rev-parse", "HEAD")
    assert said() == (commit, False)
    (checkout / "notes").write_text("untracked")
    assert said() == (commit, False)
    (checkout / "results.py").write_text("2")
    assert said() == (commit, True)
    pecl.results.parts._checkout.cache_clear()
