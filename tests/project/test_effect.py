"""docs/effect.md says what the shipped results say, and the runs behind it keep the rules that it states."""

import json
import re
import shlex
from dataclasses import replace
from statistics import mean

import pytest
from helpers.project import ROOT, script
from PIL import Image

from pecl.cli import build_parser
from pecl.commands.grid import grid_configs
from pecl.commands.options import language_configs
from pecl.results.result import collect

EFFECT = ROOT / "results" / "measured" / "effect"
LARGEST_SHARE = 0.0025  # of the tower's parameters


@pytest.fixture(scope="module")
def shown():
    return collect([EFFECT])


@pytest.fixture(scope="module")
def runs(shown):
    return [result for result in shown if result.kind == "train"]


@pytest.fixture(scope="module")
def on_text(runs):
    return [result for result in runs if result.config.text is not None]


def commands():
    """Return the commands of the page between its marks, as lists of words."""
    page = (EFFECT / "README.md").read_text("utf-8")
    parts = re.findall(r"<!-- commands of .*? -->\n(.*?)<!-- end -->", page, re.DOTALL)
    lines = [line for part in parts for line in part.replace("\\\n", " ").splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("pecl ")]


def configs_of(words):
    parsed = build_parser([words[0]]).parse_args(words)
    return grid_configs(parsed) if words[0] == "grid" else language_configs(parsed)


def test_the_commands_of_the_page_name_the_runs_of_its_tables(shown, monkeypatch):
    monkeypatch.chdir(ROOT)
    named = {(config.run_id(words[0].replace("grid", "train"))) for words in commands() for config in configs_of(words)}
    assert named == {result.run_id for result in shown if "closed_form" not in result.path.parent.name}


def test_seeds_of_a_row_are_averaged_and_budgets_stay_apart(on_text):
    tables = script("effect_tables")
    run = next(result for result in on_text if result.data.gallery.kind == "images" and result.config.seed == 1)
    second = replace(run, config=replace(run.config, seed=2, out="elsewhere"), run_id="0" * 16)
    wider = replace(run, config=replace(run.config, adapter="lora:r=9+head:rank=48"), run_id="1" * 16)
    wider = replace(wider, adapter=replace(run.adapter, spec="lora:r=9+head:rank=48", trainable=290_000))
    rows = [(one.seeds, tables.parameters(one)) for one in tables.candidates([run, second, wider])]
    assert sorted(rows) == [([1], 290_000), ([1, 2], run.adapter.trainable)]


def test_the_share_of_the_gap_is_that_of_its_table_and_within_its_interval():
    tables, figures = script("effect_tables"), script("effect_figures")
    top = tables.mean_recall(tables.english(), "zero_shot")
    for one in tables.gap_candidates():
        share, low, high = figures.share_with_interval(one, top)
        assert share == pytest.approx(tables.share(one), abs=1e-6)
        assert low < share < high


def test_the_picture_is_of_the_runs_of_the_table(on_text):
    said = Image.open(ROOT / "img" / "effect" / "share-of-gap.png").text["Description"]
    named = set(re.findall(r"\b[0-9a-f]{16}\b", said))
    on_photographs = {result.run_id for result in on_text if result.data.gallery.kind == "images"}
    assert named <= on_photographs
    assert {result.run_id for result in on_text if result.path.parent.name == "pairs28k"} <= named


def test_runs_on_text_never_saw_a_test_caption_and_stay_in_the_budget(on_text):
    for result in on_text:
        folder, overlap = result.path.parent.name, result.data.translations.provenance["overlap"]
        assert overlap["dropped"] == overlap["pairs"], result.path
        assert (result.config.overlap, result.config.choose) == ("drop", "text"), result.path
        assert bool(result.config.image_weight) is (folder == "images"), result.path
        assert (result.adapter.share > LARGEST_SHARE) is (folder == "full"), result.path  # the ceiling


def test_runs_are_recorded_by_a_clean_checkout(runs):
    unclean = [result.path for result in runs if not result.environment.commit or result.environment.dirty]
    assert len(runs) > 100
    assert unclean == []


def test_precisions_are_compared_on_runs_that_differ_in_nothing_else(runs):
    in_fp32 = collect([EFFECT / "precision"])
    in_bf16 = [run for run in runs if run.path.parent.name == "pairs50" and run.config.language == "cs"]
    plain = [replace(run.config, precision="bf16", threads=None, out="results") for run in in_fp32]
    assert len(in_fp32) == 3
    assert all(config in [replace(run.config, threads=None, out="results") for run in in_bf16] for config in plain)
    assert {run.config.precision for run in in_fp32} == {"fp32"}
    rows = script("effect_tables").precision_table().splitlines()
    assert [row.split(" | ")[1] for row in rows[2:4]] == ["3", "3"]


def test_a_score_of_all_ways_is_the_mean_of_the_files_of_its_runs():
    files = [json.loads(path.read_bytes()) for path in (EFFECT / "pairs757").glob("*.json")]
    ceilings = [json.loads(path.read_bytes()) for path in (EFFECT / "ceilings").glob("*.json")]

    def recalls(file, stage):
        own = [file["metrics"]["test"][stage][direction] for direction in ("image_to_text", "text_to_image")]
        return mean(one["recall@1"] for one in own), mean(one[f"recall@{k}"] for one in own for k in (1, 5, 10))

    (top,) = [recalls(one, "zero_shot")[1] for one in ceilings if one["config"]["language"] == "en"]
    rows = [row.strip("| ").split(" | ") for row in script("effect_tables").all_ways_table().splitlines()]
    (shown,) = [row for row in rows if row[:2] == ["distilled", "757"]]
    for place, language in enumerate(rows[0][3:], start=3):
        own = [
            f
            for f in files
            if f["config"]["language"] == language and f["config"].get("solver", "gradient") == "gradient"
        ]
        trained = [recalls(file, "best") for file in own]
        before = recalls(own[0], "zero_shot")[1]
        score, recall = mean(one for one, _ in trained), mean(one for _, one in trained)
        assert len(own) == 3
        assert shown[place] == f"{score:.3f} / {recall:.3f} / {(recall - before) / (top - before):.2f}"
