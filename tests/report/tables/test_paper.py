"""`--paper`: methods down, languages across, per cent, against scores worked out by hand."""

import re

import pytest
from helpers.report_results import changed, evaluate, train

from pecl.cli import main
from pecl.errors import DataError
from pecl.report.tables import FORMATS, report
from pecl.report.tables.paper import paper_tables


def tables_of(*results):
    return {table.name: table for table in paper_tables(results)}


def test_few_shot_has_methods_down_and_languages_across():
    results = [train(4, hits, size=10, seed=seed) for seed, hits in ((1, 6), (2, 8))]
    results += [train(2, 3, size=10, language="fr"), train(2, 5, size=10, language="fr", route="baseline1")]
    results += [train(8, 9, size=10, language="en", route="baseline1")]
    results += [train(5, 6, size=10, route="method3", query="target_to_english")]
    table = tables_of(*results)["paper-few-shot"]
    assert list(table.shown[0]) == ["method", "test text", "en", "de", "fr", "avg"]
    assert [list(row.values()) for row in table.shown] == [
        ["Zero-shot", "captions", "80.0", "40.0", "20.0", "30.0"],
        ["Zero-shot", "translated", "", "50.0", "", ""],
        ["Baseline 1", "captions", "90.0", "", "50.0", ""],
        ["Method 1", "captions", "", "70.0 ± 14.1", "30.0", "50.0"],
        ["Method 3", "translated", "", "60.0", "", ""],
    ]
    # Best among rows with the same test text; a column in which one text has one row compares with nothing
    assert table.best >= {(2, "en"), (3, "de"), (2, "fr"), (3, "avg"), (4, "de")}
    assert not {(0, "en"), (0, "de"), (1, "de")} & table.best


def test_each_method_has_a_table_of_its_own_under_its_name():
    """Runs on 50 pairs of text, on all pairs and on few stand under no other method's title."""
    on_text = {"image_weight": 0.0, "train_size": 50}
    made = [
        train(4, 6),
        train(4, 10, shots=None),
        train(4, 9, train_on="multi30k-translations", **on_text),
        train(4, 8, text="multi30k-translations", **on_text, train_on="pairs", clean=True),
        train(4, 7, solver="closed-form", choose="text"),
        train(4, 5, image_weight=0.0),
    ]
    found = {(table.title, table.setup): [row["de"] for row in table.shown] for table in paper_tables(made)}
    assert found == {
        ("Retrieval after distillation from text", "trained on multi30k-translations, 50 of them"): ["20.0", "45.0"],
        ("Retrieval after distillation from text", "trained on multi30k-translations, 50 of them, clean"): [
            "20.0", "40.0",
        ],
        ("Few-shot retrieval", "trained on pairs"): ["20.0", "30.0"],
        ("Retrieval after training on all pairs", "trained on pairs"): ["20.0", "50.0"],
        ("Few-shot retrieval", "trained on pairs, closed form"): ["20.0", "35.0"],
        ("Few-shot retrieval", "trained on pairs without photographs"): ["20.0", "25.0"],
    }  # fmt: skip


def test_no_table_of_routes_gives_a_score_of_one_method_to_another():
    """By validation the closed form is the best; it has a table of its own."""
    made = [train(4, 6, val=0.5), train(4, 9, val=0.9, solver="closed-form", choose="text")]
    tables = {table.setup: [row["mean"] for row in table.rows] for table in report(made).named("routes")}
    assert tables == {"trained on pairs": [0.3], "trained on pairs, closed form": [0.45]}


def test_rows_say_their_pairs_and_parameters_and_what_else_tells_them_apart():
    def trained(hits, pairs, language="de", **values):
        return changed(train(4, hits, language=language, **values), {"data.split.train": pairs})

    runs = [trained(6, 757, shots=757), trained(8, 9000, shots=9000), trained(5, 757, shots=757, joint="de+fr")]
    runs.append(trained(7, 9100, "fr", shots=9000))
    (table,) = paper_tables(runs)[:1]
    assert [[text for name, text in row.items() if name != "test text"] for row in table.shown] == [
        ["Zero-shot", "", "", "20.0", "20.0", "20.0"],
        ["Method 1", "757", "de+fr", "25.0", "", ""],
        ["Method 1", "757", "alone", "30.0", "", ""],
        ["Method 1", "about 9,000", "alone", "40.0", "35.0", "37.5"],
    ]
    assert list(table.shown[0])[:3] == ["method", "pairs", "joint"]
    assert "parameters 1,000" in table.note


def test_modules_go_by_parameters_and_leave_the_table_of_routes():
    big = changed(train(4, 9, adapter="bottleneck"), {"adapter.trainable": 5_000_000, "adapter.share": 0.05})
    tables = tables_of(big, train(4, 5))
    modules = tables["paper-modules"].shown
    assert [[row[name] for name in ("module", "parameters", "share", "de")] for row in modules] == [
        ["lora", "1,000", "0.100%", "25.0"],
        ["bottleneck", "5,000,000", "5.000%", "45.0"],
    ]
    assert tables["paper-modules"].best == {(1, "de")}
    assert "paper-few-shot" not in tables


def test_a_half_is_rounded_as_the_other_tables_round_it():
    """887 and 1000 of 1,000 in the two directions are 0.9435, as a number of floating point a little less."""
    result = changed(train(887, 887, size=1000), {"metrics.test.best.mean_recall@1": 0.9435})
    assert [row["de"] for row in tables_of(result)["paper-few-shot"].shown] == ["88.7", "94.4"]


def test_latex_is_a_float_with_rules_bold_best_and_a_caption_with_n_gallery_and_seeds():
    results = [train(4, 6, language=code) for code in ("de", "fr", "en")]
    text = FORMATS["latex"].write(paper_tables(results))
    first = text[text.index(r"\begin{table") :].split("\n\n")[0]
    (caption,) = re.findall(r"\\caption\{(.*)\}", first)
    for said in ("20 images", "n = 20 test captions", "seed 1", "Best in bold"):
        assert said in caption
    assert re.findall(r"\\(\w+rule)", first) == ["toprule", "midrule", "bottomrule"]
    assert r"Method 1 & \textbf{30.0}" in first
    assert r"Zero-shot & 20.0" in first


def test_evaluations_alone_have_none_of_these_tables():
    with pytest.raises(DataError, match="expected results of trainings"):
        paper_tables([evaluate(4)])


def test_the_command_prints_and_writes_them(tmp_path, capsys):
    from helpers.report_results import write

    write(tmp_path / "results", *(train(4, 6, language=code) for code in ("de", "fr")))
    assert (
        main(["report", str(tmp_path / "results"), "--paper", "--format", "latex", "--out", str(tmp_path / "t")]) == 0
    )
    written = [path.rsplit("/", 1)[-1] for path in capsys.readouterr().out.split()]
    assert written == ["paper-few-shot.tex", "paper-disparity.tex"]
    assert main(["report", str(tmp_path / "results"), "--paper", "--table", "routes"]) == 2
    assert "expected one of --table, --paper and --summary, got 2" in capsys.readouterr().err
