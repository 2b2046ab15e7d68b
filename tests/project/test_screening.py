"""The screening of methods: its plan names every method, and its page's shares follow from the committed results."""

import json
from types import SimpleNamespace

import pytest
from helpers.project import ROOT, tool

from pecl.adapters import engines
from pecl.adapters.spec import KINDS

FOLDER = ROOT / "results" / "measured" / "methods" / "757-05-top-2"
RESULTS = [json.loads(line) for line in (FOLDER / "results.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def screening():
    return tool("screening")


def run(lr, *scores, status="complete"):
    curve = SimpleNamespace(val_mean_recall_at_1=list(enumerate(scores)))
    return SimpleNamespace(config=SimpleNamespace(lr=lr), curve=curve, status=status)


def test_held_out_text_chooses_the_rate_by_the_last_weights(screening):
    assert screening.chosen_rate([run(0.1, 0.9, 0.5), run(0.01, 0.9, 0.6), run(1.0, 0.9, status="failed")]) == 0.01
    assert screening.chosen_rate([run(0.1, 0.9, 0.5), run(0.01, 0.9, 0.5)]) == 0.01  # of equals the smallest
    assert screening.chosen_rate([run(0.1, status="failed")]) is None


def test_the_plan_has_every_method_once_with_specs_that_its_engine_reads(screening):
    peft = pytest.importorskip("peft")
    from pecl.adapters.peft.methods import TRIED

    assert len({method.name for method in screening.METHODS}) == len(screening.METHODS)
    named = {engine: set() for engine in ("peft", "pecl")}
    for method in screening.METHODS:
        for spec in filter(None, method.specs):
            parts = engines.parse_adapter(method.engine, spec, None, None)
            named[method.engine] |= {part.name if method.engine == "peft" else part.kind for part in parts}
    assert named["peft"] == TRIED, peft.__version__
    assert named["pecl"] == KINDS.keys() - {"peft", "full", "pooler"}


def test_the_frontier_has_the_methods_that_none_with_fewer_parameters_surpasses():
    figure = tool("screening_figure")
    points = [figure.Point(name, size, share, []) for name, size, share in
              [("a", 10, 0.2), ("b", 5, 0.1), ("c", 7, 0.1), ("d", 10, 0.3), ("e", 20, 0.25)]]  # fmt: skip
    assert [point.name for point in figure.frontier(points)] == ["b", "d"]


def test_a_share_of_the_page_follows_from_the_ranks_in_its_file():
    page = (ROOT / "docs" / "screening.md").read_text("utf-8")
    (ranks,) = (
        result["ranks"]["test"]
        for result in RESULTS
        for config in [result["config"]]
        if (config.get("engine"), config["adapter"], config["rank"]) == ("peft", "lora", 19)
        if (config["language"], config["seed"]) == ("sw", 1)
    )

    def recall(stage):
        directions = ranks[stage].values()
        return sum(sum(rank == 1 for rank in own) / len(own) for own in directions) / len(directions)

    before, after = recall("zero_shot"), recall("best")
    shares = page[page.index("<!-- shares -->") : page.index("<!-- recall -->")]
    recalls = page[page.index("<!-- recall -->") : page.index("<!-- seeds -->")]
    (row,) = (line for line in shares.splitlines() if line.startswith("| PEFT's `lora:r=19` |"))
    assert f" | {100 * (after - before) / (1 - before):.0f} [" in row
    (row,) = (line for line in recalls.splitlines() if line.startswith("| PEFT's `lora:r=19` |"))
    assert row.startswith(f"| PEFT's `lora:r=19` | {after:.3f} |")


def test_no_method_is_much_larger_than_the_budget():
    trained = [result["adapter"] for result in RESULTS if result["status"] == "complete"]
    assert trained
    assert all(adapter["trainable"] <= 1.01 * 0.0005 * adapter["total"] for adapter in trained)
