"""`pecl report --summary` fits one screen, and has the best of each method."""

import csv
import io
import json

import pytest
from helpers.report_results import evaluate, train, unfinished, write

from pecl.cli import main
from pecl.report.selection.candidates import best_of_methods
from pecl.report.summary import LINES, summary_tables, summary_text


def test_a_row_has_the_best_of_a_method_and_its_gap_and_its_runs():
    """Of 20: German 4 before, 9 and 11 after with the better lr, 5 with the other; English 16."""
    made = [train(4, after, seed=seed, val=0.9) for seed, after in ((1, 9), (2, 11))]
    made += [train(4, 5, lr=3e-4, val=0.4), train(4, 12, text="corpus.tsv", image_weight=0.0, val=0.95)]
    made += [evaluate(16, language="en")]
    trained, evaluated = summary_tables(made)
    first, second = trained.rows
    assert (first["language"], first["method"], first["seeds"], first["runs"]) == ("de", "method1", [1, 2], 3)
    assert [first[name] for name in ("zero_shot", "mean", "gain")] == pytest.approx([0.2, 0.5, 0.3])
    assert first["share_closed"] == pytest.approx(0.5)
    assert first["gain_low"] < 0.3 < first["gain_high"]
    assert (second["method"], second["text"], second["runs"]) == ("method1 (text)", "corpus.tsv", 1)
    assert second["share_closed"] == pytest.approx(0.4 / 0.6)
    (english,) = evaluated.rows
    assert (english["method"], english["zero_shot"]) == ("base encoder", 0.8)


def test_runs_are_those_of_a_language_and_languages_are_sorted_by_gain():
    """Czech gains most, and French least; English is one caption ahead of it, which is within noise."""
    made = [train(4, 9, lr=lr) for lr in (1e-4, 1e-3, 1e-2)]
    made += [train(4, 14, language="cs"), train(15, 16, language="fr"), evaluate(16, language="en")]
    rows = summary_tables(made)[0].rows
    assert [(row["language"], row["runs"]) for row in rows] == [("cs", 1), ("de", 3), ("fr", 1)]
    assert [row["share_closed"] for row in rows] == [pytest.approx(10 / 12), pytest.approx(5 / 12), None]


def test_each_share_is_of_the_gap_to_english_in_the_precision_of_its_runs():
    """Of 20: German 4 before and 10 after; English 16 in fp32, and 12 in bf16."""
    runs = [train(4, 10), train(4, 10, precision="bf16", text="corpus.tsv", image_weight=0.0)]
    english = {name: train(hits, hits, language="en", precision=name) for name, hits in (("fp32", 16), ("bf16", 12))}
    (table,) = summary_tables([*runs, *english.values()])
    shares = {row["text"]: row["share_closed"] for row in table.rows if row["language"] == "de"}
    assert shares == pytest.approx({None: 0.3 / 0.6, "corpus.tsv": 0.3 / 0.4})
    said = " ".join(summary_text([table], []).split())
    for name, score in (("bf16", "0.600"), ("fp32", "0.800")):
        assert f"English zero-shot {score} ({name}, run {english[name].run_id[:8]})" in said
    (table,) = summary_tables([*runs, english["fp32"]])
    assert "no bf16 result of language en on this gallery" in " ".join(summary_text([table], []).split())
    assert [row["share_closed"] for row in table.rows if row["text"]] == [None]


def test_one_lucky_seed_does_not_win_over_three():
    steady = [train(4, after, seed=seed, val=0.5) for seed, after in ((1, 9), (2, 10), (3, 11))]
    lucky = train(4, 18, adapter="bottleneck", val=0.95)
    for results in ([lucky, *steady], [*steady, lucky]):
        (table,) = summary_tables(results)
        (row,) = table.rows
        assert (row["seeds"], row["mean"]) == ([1, 2, 3], pytest.approx(0.5))
        (chosen,) = best_of_methods(results)
        assert chosen.run_ids == [run.run_id for run in steady]


def test_text_says_rows_and_failures():
    made = [train(4, 9), evaluate(16, language="en"), *(evaluate(0, route=name) for name in ("method1", "baseline1"))]
    failed = unfinished(train(4, 6, language="fr"), error="DivergedError: by\nstep 3")
    lines = summary_text(summary_tables(made), [failed]).splitlines()
    assert lines[0] == "== xtd10, 20 images, 3 runs =="
    assert "base encoder: de 0.000, en 0.800" in lines
    (row,) = [line.split() for line in lines if line.startswith("de ")]
    assert row[:5] == ["de", "method1", "0.200", "0.450", "+0.250"]
    assert row[-4:] == ["42%", "1", "of", "1"]
    assert sum(line.startswith("== ") for line in lines) == 2
    made = [evaluate(9, route="baseline2", query="target_to_english"), evaluate(8), evaluate(7, precision="bf16")]
    made += [evaluate(hits, weights=f"out/{name}.safetensors") for hits, name in ((4, "old"), (6, "new"))]
    assert summary_text(summary_tables(made), []).splitlines()[1:5] == [
        *("base encoder, cpu fp32: de 0.400", "base encoder (translated), cpu fp32: de 0.450"),
        *("adapter file, cpu fp32: de 0.300 (new), de 0.200 (old)", "base encoder, cpu bf16: de 0.350"),
    ]
    assert lines[-1] == f"failed: fr method1 {failed.run_id[:8]} DivergedError: by step 3"


def test_a_screen_is_enough_for_any_folder():
    codes = ("de", "es", "fr", "it", "jp", "ko", "pl", "ru", "tr", "zh", "cs")
    made = [
        train(4, 5 + place, language=code, route=route, size=size)
        for place, code in enumerate(codes)
        for route in ("baseline1", "method1", "method2")
        for size in (20, 30)
    ]
    many = [evaluate(4, language="en", size=size) for size in range(40, 80)]
    failed = [unfinished(result, error="x" * 300) for result in made[:20]]
    long = [evaluate(4, language=code, weights=f"{i}") for code in codes for i in range(90)]
    for results, failures in ((made, []), (made, failed), (made + many, failed), (many, []), (long + made, failed)):
        lines = summary_text(summary_tables(results), failures).splitlines()
        assert len(lines) <= LINES
        assert max(map(len, lines)) <= 100
    text = summary_text(summary_tables(made), failed)
    assert "more rows)" in text
    assert text.splitlines()[-1] == "16 more runs are not complete"
    assert all(f"\n{code} " in text for code in codes)  # the best of each before the second of any
    assert "more data sets and galleries: pecl report" in summary_text(summary_tables(many), [])


def test_the_command_prints_it_as_text_json_and_csv(tmp_path, capsys):
    folder = str(write(tmp_path / "results", train(4, 9), train(4, 6, language="fr")))
    assert main(["report", folder, "--summary"]) == 0
    assert "All runs are complete." in capsys.readouterr().out
    assert main(["report", folder, "--summary", "--json"]) == 0
    (table,) = json.loads(capsys.readouterr().out)["tables"]
    assert [(row["language"], row["mean"], row["share_closed"]) for row in table["rows"]] == [
        ("de", 0.45, None), ("fr", 0.3, None),
    ]  # fmt: skip
    assert main(["report", folder, "--summary", "--format", "csv"]) == 0
    assert [row["method"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))] == ["method1", "method1"]
    assert main(["report", folder, "--summary", "--where", "language=fr"]) == 0
    assert "de" not in capsys.readouterr().out.split()
    assert main(["report", folder, "--summary", "--paper"]) == 2
    assert "expected one of --table, --paper, --summary and --compare, got 2" in capsys.readouterr().err
