"""A result as an object: what it answers, the way to its JSON and back, and files that are damaged."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.report_results import both, changed, document, made, ranked, train

from pecl.config import ExperimentConfig, make_config
from pecl.errors import DataError
from pecl.results.folder import read_retrieved, write_retrieved
from pecl.results.result import (
    EvaluationResult,
    Result,
    TrainingResult,
    UnfinishedRun,
    collect,
    collect_runs,
    read_result,
    read_run,
    run_from_json,
    write_result,
    write_unfinished,
)

MEASURED = Path(__file__).parents[2] / "results" / "measured"
RECORDED = sorted(MEASURED.rglob("results.jsonl"))


def full():
    """Return the JSON of a training in which everything is there that may be."""
    states = {stage: both(ranked(hits, 20), ranked(hits + 2, 20)) for stage, hits in STAGES.items()}
    result = copy.deepcopy(document("train", states, language="de", seed=3))
    result["data"] |= {
        "manifest": "0123456789abcdef",
        "translations": {"dataset": "flickr30k200", "sha256": {"target": "a" * 64}, "provenance": {"files": {}}},
    }
    result["data"]["gallery"]["items"] = list(range(20))
    result["closed_form"] = [{"ridge": 0.3, "held_out_mse": 0.01, "pairs": 640, "seconds": 4.5}]
    result["subsets"] = {"test": {"val2014": {"captions": 4, "best": {"mean_recall@1": 0.5}}}}
    return result


STAGES = {"zero_shot": 4, "final": 6, "best": 8}


def leaves(value, path=""):
    """Yield (path, value) of all that a JSON document holds, but for null: a list of numbers is one value."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from leaves(one, f"{path}.{key}")
    elif value is not None:
        yield path, json.dumps(value)


def test_recall_and_ranks_by_hand():
    result = run_from_json(full())
    # 8 of 20 in one direction, 10 of 20 in the other
    assert result.recall() == result.recall(part="test", stage="best", k=1) == pytest.approx((0.4 + 0.5) / 2)
    assert result.recall(direction="text_to_image") == pytest.approx(0.5)
    assert result.recall(stage="zero_shot", direction="image_to_text") == pytest.approx(0.2)
    assert result.recall("val") == 0.5
    assert result.recall(k=10) == pytest.approx((0.4 + 0.5) / 2)
    assert result.ranks("text_to_image") == (1,) * 10 + (20,) * 10
    assert result.ranks("image_to_text", stage="zero_shot").count(1) == 4
    assert result.stages == ("zero_shot", "final", "best")
    assert result.measured(stage="final").directions["image_to_text"].recall[5] == pytest.approx(0.3)


def test_json_and_back_is_the_same_and_nothing_is_lost():
    before = full()
    result = run_from_json(before)
    after = json.loads(json.dumps(result.to_json()))
    assert run_from_json(after) == result
    assert dict(leaves(after)) == dict(leaves(before))


def test_failed_and_interrupted_runs_go_to_json_and_back(tmp_path):
    config = make_config({"out": str(tmp_path)})
    written = write_unfinished(config, "failed", error="RuntimeError: no luck")
    failed = read_run(written.path)
    assert failed == written
    assert (failed.status, failed.error, failed.steps) == ("failed", "RuntimeError: no luck", None)
    assert failed.config == config
    assert repr(failed) == f"UnfinishedRun(de-method1-{config.run_id()}, failed)"
    stopped = read_run(write_unfinished(config, "interrupted", steps=7).path)
    assert (stopped.status, stopped.steps) == ("interrupted", 7)
    assert run_from_json(stopped.to_json()) == stopped


def test_an_unfinished_run_is_no_result(tmp_path):
    """It lacks the fields of a result, and what reads results leaves it out or names it."""
    stopped = write_unfinished(make_config({"out": str(tmp_path)}), "interrupted", steps=7)
    assert not isinstance(stopped, Result)
    assert not any(hasattr(stopped, name) for name in ("data", "metrics", "recall", "adapter"))
    with pytest.raises(DataError, match=r"has no result: its run was interrupted; run it again"):
        read_result(stopped.path)
    assert collect([tmp_path]) == []
    assert [type(run) for run in collect_runs([tmp_path])] == [UnfinishedRun]


def test_what_a_complete_result_needs_must_be_in_its_file():
    sound = full()
    assert type(run_from_json(sound)) is TrainingResult
    for name in ("data", "towers", "metrics", "ranks", "peak_memory_mb", "adapter", "steps", "seconds", "curve"):
        with pytest.raises(DataError, match=f"is damaged: {name}: "):
            run_from_json({key: value for key, value in sound.items() if key != name})
    plain = document("evaluate", {"zero_shot": both([1, 2], [1, 2])})
    assert type(run_from_json(plain)) is EvaluationResult
    assert run_from_json(plain).adapter is None


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.parent.name)
def test_recorded_results_are_read_and_written_without_loss(path):
    before = json.loads(path.read_text("utf-8").partition("\n")[0])
    (result,) = (run for run in collect([path]) if run.run_id == before["run_id"])
    before.pop("sha256")  # of the file, not of the result
    after = json.loads(json.dumps(result.to_json()))
    assert dict(leaves(after)) == dict(leaves(before))
    assert run_from_json(after) == result
    assert result.config.run_id(result.kind) == result.run_id


def test_lines_of_a_packed_file_are_results_and_a_damaged_one_is_named(tmp_path):
    ids = ["a" * 16, "b" * 16]
    one, two = (write_result(tmp_path / run_id, run_from_json({**full(), "run_id": run_id})) for run_id in ids)
    lines = [json.dumps(json.loads(path.read_text("utf-8"))) for path in (one, two)]
    packed = tmp_path / "study" / "results.jsonl"
    packed.parent.mkdir()
    packed.write_text("\n".join(lines) + "\n")
    write_result(packed.parent, read_result(one))  # the same run in a file of its own counts once
    found = collect([packed.parent])
    assert found == [read_result(one), read_result(two)] == collect([packed])
    assert {run.folder for run in found} == {packed.parent}

    packed.write_text(f"{lines[0]}\n{lines[1][:-9]}\n")
    with pytest.raises(DataError, match=r"results\.jsonl, line 2 cannot be read"):
        collect([packed])
    packed.write_text(lines[0].replace('"seed": 3', '"seed": 4'))
    with pytest.raises(DataError, match=r"results\.jsonl is damaged: its content does not match its checksum"):
        collect([packed])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"towers": None}, "towers"),
        ({"kind": "guess"}, "kind"),
        ({"metrics": {"test": {"best": {}}}}, "mean_recall"),
        ({"config": {"colour": 3}}, "config.colour is unknown to this version of pecl"),
    ],
)
def test_a_wrong_part_is_named_with_the_file(change, message):
    with pytest.raises(DataError, match=message) as refused:
        run_from_json(full() | change, "results/x.json")
    assert str(refused.value).startswith("results/x.json ")
    assert "\n" not in str(refused.value)


def test_a_recorded_config_may_name_what_is_registered_elsewhere():
    found = full()
    found["config"] |= {"alignment": "gram", "adapter": "ia3", "language": "tlh", "dataset": "mine"}
    config = run_from_json(found).config
    assert (config.alignment, config.adapter, config.language) == ("gram", "ia3", "tlh")
    assert isinstance(config, ExperimentConfig)


def test_retrieved_items_lie_next_to_the_result_or_are_not_there(tmp_path):
    one, other = (read_result(write_result(tmp_path, train(4, 6, language=code))) for code in ("de", "fr"))
    assert read_retrieved(one) is None
    path, _ = (write_retrieved(tmp_path, result.name, {"best": [[i]]}) for i, result in enumerate((one, other)))
    assert (read_retrieved(one), read_retrieved(other)) == ({"best": [[0]]}, {"best": [[1]]})
    path.write_text("{", "utf-8")
    with pytest.raises(DataError, match=rf"cannot be read \(Expecting property name.*\); run {one.run_id} again"):
        read_retrieved(one)


def test_hits_of_images_with_several_captions_have_the_mean_of_the_metric():
    """Two images of two captions each: one image finds a caption, three captions find their image."""
    result = made("evaluate", {"zero_shot": both([1, 2], [1, 1, 2, 1])}, language="de")
    result = changed(result, {"data.gallery.items": [0, 0, 1, 1]})
    assert result.hits().tolist() == [1.0, 0.25]
    assert result.hits().mean() == result.recall() == (1 / 2 + 3 / 4) / 2


def test_ranks_of_the_last_weights_are_those_of_the_best_if_they_are_the_same():
    document = full()
    del document["ranks"]["test"]["final"]
    assert run_from_json(document).ranks("text_to_image", stage="final").count(1) == STAGES["best"] + 2


def test_a_result_shows_recall_before_and_after_and_the_command_of_all_its_processes():
    result = train(4, 6)
    assert repr(result).endswith("complete, mean R@1 0.200 -> 0.300 among 20 images)")
    assert result.command.startswith("pecl train")
    several = replace(result, config=make_config({"processes": 2}))
    assert several.command.startswith("torchrun --nproc-per-node 2 --module pecl train")
