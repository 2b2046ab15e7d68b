import csv
import io
import json
import re

import pytest
from helpers.report_results import evaluate, train, unfinished, write

from pecl.cli import main


@pytest.fixture
def folder(tmp_path):
    results = [train(4, 6, language=code, seed=seed) for code in ("de", "fr") for seed in (1, 2)]
    return write(tmp_path / "results", *results, evaluate(9, size=30, language="en"))


def run(*arguments):
    return main(["report", *map(str, arguments)])


def test_every_format_is_printed(folder, capsys):
    for form in ("text", "markdown", "latex"):
        assert run(folder, "--format", form) == 0
        out = capsys.readouterr().out
        assert "Best candidate of each language and route" in out
        assert "0.300 " in out
    assert run(folder, "--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["language"] for row in rows] == ["de", "fr"]
    assert run(folder, "--json") == 0
    assert [table["name"] for table in json.loads(capsys.readouterr().out)["tables"]] == [
        "routes", "disparity", "runs", "evaluations",
    ]  # fmt: skip


def test_csv_of_evaluations_alone_is_theirs(tmp_path, capsys):
    write(tmp_path / "results", evaluate(9, language="en"))
    assert run(tmp_path / "results", "--format", "csv") == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert float(row["image_to_text recall@1"]) == 0.45


@pytest.mark.parametrize(("form", "ending"), [("text", "txt"), ("markdown", "md"), ("latex", "tex"), ("csv", "csv")])
def test_out_writes_a_file_for_each_table(folder, tmp_path, capsys, form, ending):
    out = tmp_path / "tables"
    assert run(folder, "--format", form, "--out", out) == 0
    names = [f"{name}.{ending}" for name in ("routes", "disparity", "runs", "evaluations")]
    assert capsys.readouterr().out.splitlines() == [str(out / name) for name in names]
    assert sorted(path.name for path in out.iterdir()) == sorted(names)


def test_where_chooses_among_tables_of_one_name(folder, capsys):
    write(folder, train(4, 6, size=30, language="fr", shots=25))
    assert run(folder, "--table", "routes") == 0
    assert re.findall(r"== (.*) ==", capsys.readouterr().out) == [
        "xtd10, 20 images, trained on pairs",
        "xtd10, 30 images, trained on pairs",
    ]
    assert run(folder, "--table", "routes", "--where", "gallery_size=20") == 0
    assert "30 images" not in capsys.readouterr().out
    assert run(folder, "--table", "disparity", "--where", "gallery_size=20", "--where", "kind=train") == 0


def test_failed_runs_are_counted(folder, caplog):
    write(folder, unfinished(train(4, 6, language="jp"), error="RuntimeError: out of memory"))
    assert run(folder) == 0
    assert "1 failed" in caplog.text


def test_where_leaves_out_failed_runs_that_do_not_meet_it(folder, caplog, capsys):
    write(folder, *(unfinished(train(4, 6, language=code), error=f"failed in {code}") for code in ("jp", "tr")))
    assert run(folder, "--where", "route=method1", "--summary") == 0
    assert "failed in jp" in capsys.readouterr().out
    assert "2 failed" in caplog.text

    caplog.clear()
    assert run(folder, "--where", "language=fr", "--summary") == 0
    assert "All runs are complete." in capsys.readouterr().out
    assert "failed" not in caplog.text

    assert run(folder, "--where", "gallery_size=20", "--summary") == 0  # an unfinished run records no gallery
    assert "failed in jp" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--json --plots P", "--format json has no effect with --html or --plots: expected --out DIR, too"),
        ("--format latex --html P", "--format latex has no effect with --html or --plots: expected --out DIR, too"),
        ("--table routes --plots P", "--table has no effect on plots: expected --out DIR or --html DIR, too"),
        ("--ids --plots P", "--ids has no effect on plots: expected --out DIR or --html DIR, too"),
        ("--data-dir P", "--data-dir is for the images of the page: expected --html DIR"),
        ("--gallery-captions 0", "--gallery-captions is for the images of the page: expected --html DIR"),
        ("--against published --paper", "--against published has no effect with --paper: expected --table published"),
        ("--against published --format csv", "has no effect on CSV alone: expected --table published"),
    ],
)
def test_flags_without_effect_are_refused(folder, tmp_path, capsys, flags, message):
    assert run(folder, *flags.replace("P", str(tmp_path / "place")).split()) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "place").exists()
