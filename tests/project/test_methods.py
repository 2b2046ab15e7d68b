"""The comparison of methods: its rates are inside their grids, and its rows follow from the results by scipy."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from helpers.comparisons import cells_of, multiple
from helpers.project import ROOT, tool
from scipy import stats

from pecl.config.recipes import RECIPES
from pecl.results.result import collect

FOLDER = ROOT / "results" / "measured" / "comparison"
LANGUAGES = ("cs", "de", "fr")


@pytest.fixture(scope="module")
def methods():
    return tool("methods")


def files(part):
    folder = FOLDER / part
    return {run.run_id: run.to_json() for run in collect([folder])} if folder.is_dir() else {}


def cells():
    """Return each cell of the tables: part, method, language, and its recalls of held-out text by rate."""
    for path in sorted(FOLDER.glob("*/rates.json")):
        for method, by_language in json.loads(path.read_text("utf-8")).items():
            for language, scores in by_language.items():
                yield path.parent.name, method, language, {float(rate): score for rate, score in scores.items()}


def test_a_rate_at_an_edge_is_followed_by_the_next(methods):
    assert methods.next_rate({2.4e-4: 0.7, 9.6e-4: 0.8, 3.84e-3: 0.6}) is None
    assert methods.next_rate({2.4e-4: 0.8, 9.6e-4: 0.7}) == pytest.approx(6e-5)
    assert methods.next_rate({9.6e-4: 0.7, 3.84e-3: 0.8, 1.536e-2: 0.9}) == pytest.approx(6.144e-2)
    assert methods.next_rate({9.6e-4: 0.7, 3.84e-3: 0.8, 1.536e-2: 0.8}) is None


@pytest.mark.parametrize("sign", [1, -1])
def test_rates_are_added_until_none_is_left(methods, sign):
    scores = {rate: sign * rate for rate in methods.RATES}
    while (rate := methods.next_rate(scores)) is not None:
        assert rate not in scores
        scores[rate] = sign * rate
    assert len(scores) == len(methods.RATES) + methods.FURTHEST


def test_no_chosen_rate_is_at_an_edge():
    for part, method, language, scores in cells():
        best = min(rate for rate in scores if scores[rate] == max(scores.values()))
        assert min(scores) < best < max(scores), (part, method, language)


def test_each_method_is_as_large_as_the_budget_or_smaller(methods):
    for part in methods.PARTS:
        for document in files(part).values():
            assert document["adapter"]["trainable"] <= 0.0005 * 117_604_480


def hits(document, stage="best"):
    """Return (N,): the share of directions in which a photograph has rank 1, from the file's ranks."""
    return np.mean([np.array(ranks) == 1 for ranks in document["ranks"]["test"][stage].values()], axis=0)


def table_of(part):
    page = (ROOT / "docs" / "methods.md").read_text("utf-8")
    section = page[page.index(f"<!-- {part} -->") :]
    return [line for line in section[: section.index("<!-- end -->")].splitlines() if line.startswith("| ")]


def head_of(part):
    return cells_of(table_of(part)[0])


def rows_of(part):
    return table_of(part)[2:]


def test_rows_of_the_main_table_follow_from_ranks(methods):
    """Recalls and their mean, from the files' ranks."""
    documents = files("main")
    by_setting = {}
    for document in documents.values():
        config = document["config"]
        by_setting.setdefault((config["adapter"], config.get("rank"), config["language"]), []).append(hits(document))
    own = {key: np.mean(values, axis=0) for key, values in by_setting.items() if len(values) == 3}

    rows = rows_of("main")
    recalls = {tuple(f"{own[key[0], key[1], code].mean():.3f}" for code in LANGUAGES) for key in own}
    assert rows
    for row in rows:
        fields = cells_of(row)
        assert tuple(fields[2:5]) in recalls, row
        assert float(fields[5]) == pytest.approx(np.mean([float(value) for value in fields[2:5]]), abs=1.5e-3)


@pytest.mark.parametrize("part", ["main", "placement", "engines"])
def test_differences_are_tested_as_by_scipy(methods, part):
    """The variances of photographs and of the seeds of both methods add up; scipy has Student's distribution."""
    tables = tool("methods_tables")
    rows = tables.placement_rows() if part == "placement" else tables.rows(part)
    (base,) = (row for row in rows if row.method.name == methods.BASE)
    p_values = []
    for row in rows:
        for code in LANGUAGES if row is not base else ():
            first, second = row.hits(code), base.hits(code)
            photographs = first.mean(0) - second.mean(0)
            parts = [(stats.sem(photographs) ** 2, len(photographs) - 1)]
            parts += [(stats.sem(hits.mean(1)) ** 2, len(hits) - 1) for hits in (first, second)]
            variance = sum(part for part, _ in parts)
            freedom = variance**2 / sum(part**2 / own for part, own in parts)
            p_values.append(2 * stats.t.sf(abs(photographs.mean()) / variance**0.5, freedom))

    expected = multiple(p_values).tolist()
    (column,) = (place for place, name in enumerate(head_of(part)) if name.startswith("p ("))
    others = [row for row in rows if row is not base]
    for row, start in zip(others, range(0, len(expected), 3), strict=True):
        key = (row.label, row.method.placement) if part == "placement" else (row.label,)
        (fields,) = (fields for fields in map(cells_of, rows_of(part)) if tuple(fields[: len(key)]) == key)
        said = [float(value.replace("<", "")) for value in fields[column].split()]
        assert said == pytest.approx(np.maximum(expected[start : start + 3], 0.001), abs=6e-4), key


def test_the_page_states_what_is_not_measured(methods):
    page = (ROOT / "docs" / "methods.md").read_text("utf-8")
    for part in methods.PARTS:
        planned = sum(method.part == part for method in methods.PLAN)
        measured = len(tool("methods_tables").rows(part))
        assert re.search(rf"- {part}: {measured} of {planned} rows", page)


def test_each_published_method_has_a_bibtex_entry(methods):
    text = (ROOT / "docs" / "methods.bib").read_text("utf-8")
    named = {name for keywords in re.findall(r"keywords = \{(.*)\}", text) for name in keywords.split(", ")}
    ours = {"head"}  # a linear layer
    for method in methods.PLAN:
        name, _, options = method.spec.partition(":")
        assert name in named | ours, method
        assert "use_dora" not in options or "use_dora" in named


@pytest.mark.skipif(shutil.which("bibtex") is None, reason="needs bibtex, e.g. texlive-binaries of Debian")
def test_bibtex_reads_the_entries_of_methods_and_recipes(tmp_path):
    """BibTeX warns of fields that an entry lacks, and of braces that do not match."""
    shutil.copy(ROOT / "docs" / "methods.bib", tmp_path)
    entries = dict.fromkeys(recipe.bibtex for recipe in RECIPES.values() if recipe.bibtex)
    (tmp_path / "recipes.bib").write_text("\n\n".join(entries), "utf-8")
    (tmp_path / "paper.aux").write_text("\\citation{*}\n\\bibdata{methods,recipes}\n\\bibstyle{plain}\n")
    found = subprocess.run(["bibtex", "paper"], cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout
    assert "Warning" not in found.stdout
    printed = (tmp_path / "paper.bbl").read_text("utf-8")
    files = (tmp_path / "methods.bib").read_text("utf-8") + (tmp_path / "recipes.bib").read_text("utf-8")
    assert printed.count("\\bibitem") == files.count("@inproceedings")
    assert r"Libovick{\'y}" in printed
