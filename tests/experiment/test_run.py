import gc
import json
from pathlib import Path

import pytest
from helpers.adapter_towers import filled
from helpers.folders import flags
from helpers.interrupted import counted_steps
from helpers.report_results import train as made_training
from helpers.report_results import unfinished
from helpers.run_by_hand import mean_recall, ranks_of, recorded_ranks
from helpers.small_experiment import tiny_towers

from pecl.adapters.formats.files import save_adapter
from pecl.cli import main
from pecl.config import make_config
from pecl.data.registry import load_dataset
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError, DivergedError, PeclError
from pecl.experiment.evaluation import evaluate
from pecl.experiment.run import result_of, train, train_fleet
from pecl.files import sha256_file
from pecl.report.selection.candidates import chosen_candidates
from pecl.report.tables import report
from pecl.results.folder import read_manifest
from pecl.results.parts import GalleryRecord
from pecl.results.result import collect, collect_runs, read_result, read_run


def test_a_result_holds_everything(small):
    result = train(make_config(small))
    assert result.path == Path(small["out"]) / f"de-method1-{result.run_id}.json"
    assert read_result(result.path) == result
    assert result.status == "complete"
    assert result.data.split == {"train": 6, "val": 6, "test": 12}
    assert result.data.gallery == GalleryRecord("images", 12)
    assert set(result.data.sha256) == {"english", "target", "english_to_target", "target_to_english", "image", "part"}
    assert result.adapter.trainable == 2 * 2 * 2 * (32 + 32) + 2 * 2 * 2 * 32
    assert {"torch", "transformers", "pecl", "python"} <= set(result.environment.versions)
    assert result.towers.text.name == "tiny-xlm-roberta"
    ranks = result.ranks("text_to_image")
    assert len(ranks) == 12
    assert f'"text_to_image": [{",".join(map(str, ranks))}]\n' in result.path.read_text("utf-8")  # in one line


def test_other_photographs_and_parts_of_the_same_captions_are_other_data(small):
    table, parts = Path(small["dataset"]), ["train"] * 6 + ["val"] * 6 + ["test"] * 12
    head, *lines = table.read_text("utf-8").splitlines()
    swapped = [line.replace(f"{i}.png", f"{23 - i}.png") for i, line in enumerate(lines)]
    for own, rows in ((parts, lines), (parts[::-1], lines), (parts[::-1], swapped)):
        table.write_text("\n".join([f"part,{head}", *map(",".join, zip(own, rows, strict=True))]), "utf-8")
        for expected in (8, 0):
            with counted_steps() as steps:
                train(small)
            assert len(steps) == expected


def test_a_mapping_of_fields_is_a_config(small):
    result = train(small)
    assert result.config == make_config(small)
    assert train_fleet([small, {**small, "seed": 2}])[0].run_id == result.run_id
    assert evaluate({"dataset": small["dataset"], "language": "de", "out": small["out"]}).status == "complete"
    with pytest.raises(ConfigError, match=r"unknown key 'langage'; did you mean 'language'\?"):
        train({**small, "langage": "de"})
    with pytest.raises(ConfigError, match=r"config: expected fields such as .*, got 'de'$"):
        train("de")
    with pytest.raises(ConfigError, match="configs: expected at least one run, got none"):
        train_fleet([])


def test_weights_of_another_language_are_evaluated_with_a_warning(small, caplog):
    result = train(make_config(small))
    weights = result.adapter_path
    caplog.clear()
    evaluate(make_config({**small, "weights": str(weights)}))
    assert caplog.messages == []
    evaluate(make_config({**small, "weights": str(weights), "language": "fr"}))
    assert caplog.messages == [f"{weights} was trained for de and is evaluated on fr"]


def test_an_evaluation_is_of_the_plain_tower_unless_an_adapter_is_named_and_says_so(
    small, caplog, monkeypatch, tmp_path
):
    tower = tiny_towers().text
    adapter = filled(tower, "lora+head")
    path = save_adapter(tmp_path / "shipped.safetensors", adapter.slot_state(0), adapter.configs, "de", tower)
    monkeypatch.setattr("pecl.adapters.ready.ready_adapters", lambda profile: {"de": path} if profile == "mini" else {})
    caplog.set_level("INFO", "pecl.experiment.evaluation")
    values = {**small, "profile": "mini"}
    plain, *others = (evaluate({**values, "weights": weights}) for weights in (None, "de", "mini:de", str(path)))
    assert (
        "de: adapter: none (the base encoder; weights='mini:de' evaluates the adapter of this language)" in caplog.text
    )
    assert caplog.text.count("de: adapter: mini:de") == 3
    assert plain.config.weights is None
    assert plain.run_id == make_config(values).run_id("evaluate")
    assert plain.stages == ("zero_shot",)
    assert {one.run_id for one in others} == {others[0].run_id}
    assert {one.config.weights for one in others} == {"mini:de"}
    assert {one.adapter.sha256 for one in others} == {sha256_file(path)}
    assert others[0].recall() != plain.recall()


def test_an_evaluation_takes_the_whole_data_set(small):
    result = evaluate(make_config(small))
    assert result.data.gallery.size == 24
    assert result.metrics.keys() == {"test"}
    assert result.stages == ("zero_shot",)
    data, towers = load_dataset(small["dataset"], "de"), tiny_towers()
    images = towers.image.encode_image(data.images.load(i) for i in range(24))
    expected = ranks_of(towers.text.encode_text(data.target), images)
    assert recorded_ranks(result) == {"zero_shot": expected}
    assert result.recall("test", "zero_shot") == pytest.approx(mean_recall(expected, [1]))


def test_towers_are_loaded_once_and_memory_does_not_grow_with_runs(small):
    loaded = []

    def load(*_):
        loaded.append(tiny_towers())
        return loaded[-1]

    gc.collect()
    before = sum(type(thing) is MultilingualTextEncoder for thing in gc.get_objects())
    for seed in (1, 2, 3):
        train(make_config({**small, "seed": seed}), load=load)
    assert len(loaded) == 1
    assert loaded[0].text.adapter is None
    assert sum(type(thing) is MultilingualTextEncoder for thing in gc.get_objects()) <= before + 1


def test_captions_that_share_an_image_say_which(small):
    table = Path(small["dataset"])
    text = table.read_text("utf-8")
    for i in range(1, 24, 2):
        text = text.replace(f"\n{i}.png", f"\n{i - 1}.png")
    table.write_text(text, "utf-8")
    result = train(make_config({**small, "shots": 3}))
    manifest = read_manifest(result)
    shown, places = manifest["gallery"]["items"], result.data.gallery.items
    images = load_dataset(small["dataset"], "de").image_index
    assert (len(shown), len(places)) == (6, 12)
    assert [shown[place] for place in places] == [images[i] for i in manifest["indices"]["test"]]
    report([result])  # which refuses a result that does not


def test_a_run_that_diverges_leaves_its_fleet_and_is_recorded_with_its_step(small):
    good = [make_config({**small, "seed": seed}) for seed in (1, 2)]
    bad = make_config({**small, "lr": 1e30})
    _, failed, _ = train_fleet([good[0], bad, good[1]])
    assert (failed.status, failed.run_id) == ("failed", bad.run_id())
    assert 1 <= failed.steps < 8
    assert f"training diverged by step {failed.steps}: " in failed.error
    assert read_run(failed.path) == failed


def test_a_run_that_diverges_alone_is_recorded_as_in_a_fleet(small):
    bad = make_config({**small, "lr": 1e30})
    with pytest.raises(DivergedError, match="choose a smaller learning rate than 1e\\+30"):
        train(bad)
    (failed,) = collect_runs([small["out"]])
    assert (failed.status, failed.run_id) == ("failed", bad.run_id())
    assert 1 <= failed.steps < 8


# --- joint training


def test_train_and_grid_give_each_language_a_result(small, capsys):
    del small["language"]
    assert main(["train", *flags(small), "--joint", "fr+de", "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert [result["config"]["language"] for result in trained] == ["fr", "de"]
    assert main(["grid", *flags({**small, "out": f"{small['out']}-grid"}), "--joint", "de+fr", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)  # the order of the languages changes nothing
    assert {r["run_id"]: r["curve"] for r in again} == {r["run_id"]: r["curve"] for r in trained}
    assert main(["train", *flags(small), "--language", "de"]) == 0
    assert len(chosen_candidates(collect([small["out"]]))) == 3  # only German is another row than German among two


@pytest.mark.parametrize(("language", "returned"), [({"language": "German"}, "de"), ({}, "fr")])
def test_one_call_trains_all_languages_of_a_joint_training(small, language, returned):
    values = {name: value for name, value in small.items() if name != "language"}
    result = train({**values, "joint": "French+de", **language} if language else {**values, "joint": "fr+de"})
    assert (result.status, result.config.language) == ("complete", returned)
    together = {**values, "joint": "de+fr", "out": f"{small['out']}-fleet"}
    fleet = train_fleet([{**together, "language": code} for code in ("de", "fr")])
    by_language = {one.config.language: one for one in collect([small["out"]])}
    assert {code: one.metrics for code, one in by_language.items()} == {
        one.config.language: one.metrics for one in fleet
    }
    assert by_language[returned] == result


def test_a_run_that_failed_or_was_pruned_has_no_result():
    trained = made_training(4, 6)
    assert result_of("de", [trained]) is trained
    with pytest.raises(DivergedError, match=rf"{trained.name}: it diverged"):
        result_of("de", [unfinished(trained, error="it diverged")])
    with pytest.raises(PeclError, match=rf"{trained.name} has no result: a callback pruned it after step 3"):
        result_of("de", [unfinished(trained, "pruned", steps=3)])
