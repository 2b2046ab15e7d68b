"""The comparison of recipes: its rates are inside their grids, and its rows follow from the results by scipy."""

import json
import re

import numpy as np
import pytest
from helpers.comparisons import cells_of, multiple
from helpers.project import ROOT, tool
from scipy import stats

LANGUAGES = ("cs", "de", "fr")
PAGE = ROOT / "docs" / "recipes.md"
# Every step of these lowers held-out recall, so the smallest rate that is tried is the best one
AT_THE_SMALLEST_RATE = {(757, "baseline2", "cs"), (757, "baseline2", "fr"), (757, "method3", "fr")}


def published(captions):
    path = ROOT / "results" / "measured" / "recipes" / f"{captions}.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else {"recipes": {}}


def hits(digits):
    """Return (seeds, N): the share of directions in which a photograph has rank 1."""
    return np.array([[int(digit) for digit in row] for row in digits]) / 2


def runs_of(result, language):
    return hits([run["hits"] for run in result["runs"] if run["language"] == language])


def table_of(part):
    """Return the rows of a table: name -> column -> text."""
    page = PAGE.read_text("utf-8")
    section = page[page.index(f"<!-- {part} -->") :]
    head, _, *lines = [line for line in section[: section.index("<!-- end -->")].splitlines() if line.startswith("| ")]
    rows = [dict(zip(cells_of(head), cells_of(line), strict=True)) for line in lines]
    return {row["recipe"].strip("`"): row for row in rows}


@pytest.mark.parametrize("captions", [757, 50])
def test_no_chosen_rate_is_at_an_edge_and_held_out_captions_chose_it(captions):
    smallest = min(tool("methods").ALL_RATES)
    for recipe, result in published(captions)["recipes"].items():
        for language, by_rate in result["rates"].items():
            scores = {float(rate): score for rate, score in by_rate.items()}
            (used,) = {run["lr"] for run in result["runs"] if run["language"] == language}
            assert used == min(rate for rate in scores if scores[rate] == max(scores.values()))
            if recipe not in ("closed_form", "centring"):
                if (captions, recipe, language) in AT_THE_SMALLEST_RATE:
                    assert used == smallest
                else:
                    assert min(scores) < used < max(scores), (captions, recipe, language)


@pytest.mark.parametrize(("captions", "part"), [(757, "main"), (50, "few")])
def test_each_row_has_three_seeds_and_the_recalls_of_its_digits(captions, part):
    results = published(captions)
    rows = table_of(part) if results["recipes"] else {}
    for recipe, result in results["recipes"].items():
        assert sorted((run["language"], run["seed"]) for run in result["runs"]) == [
            (code, seed) for code in LANGUAGES for seed in (1, 2, 3)
        ]
        recalls = [runs_of(result, code).mean() for code in LANGUAGES]
        assert [rows[recipe][code] for code in LANGUAGES] == [f"{recall:.3f}" for recall in recalls]
        assert float(rows[recipe]["mean"]) == pytest.approx(np.mean(recalls), abs=6e-4)
        change = hits([run["english"] for run in result["runs"]]).mean() - hits([results["plain"]["english"]]).mean()
        assert float(rows[recipe]["English"].split()[0]) == pytest.approx(change, abs=6e-4)
        assert {run["parameters"] for run in result["runs"]} <= {58_496}


def test_differences_from_teacher_learning_are_tested_as_by_scipy():
    """The variances of photographs and of the seeds of both recipes add up; Holm's correction is over the table."""
    results, rows = published(757)["recipes"], table_of("main")
    names = [name for name in rows if name in results and name != "distil"]
    p_values = []
    for name in names:
        for code in LANGUAGES:
            first, second = runs_of(results[name], code), runs_of(results["distil"], code)
            photographs = first.mean(0) - second.mean(0)
            parts = [(stats.sem(photographs) ** 2, len(photographs) - 1)]
            parts += [(stats.sem(side.mean(1)) ** 2, len(side) - 1) for side in (first, second)]
            variance = sum(part for part, _ in parts)
            freedom = variance**2 / sum(part**2 / own for part, own in parts)
            p_values.append(2 * stats.t.sf(abs(photographs.mean()) / variance**0.5, freedom))

    assert names
    for name, expected in zip(names, multiple(p_values).reshape(-1, 3), strict=True):
        (column,) = (column for column in rows[name] if column.startswith("p ("))
        stated = [float(value.replace("<", "")) for value in rows[name][column].split()]
        assert stated == pytest.approx(np.maximum(expected, 0.001), abs=6e-4), name


def test_intervals_of_means_agree_with_a_bootstrap_of_this_test():
    """Languages, seeds of both sides and photographs are drawn; the ends agree within the noise of 2,000 resamples."""
    results, rows = published(757)["recipes"], table_of("main")
    generator = np.random.default_rng(5)
    for name in [name for name in rows if name in results and name != "distil"][:5]:
        means = []
        for _ in range(2000):
            photographs = generator.integers(900, size=900)
            total = 0.0
            for code in generator.choice(LANGUAGES, 3):
                for sign, side in ((1, results[name]), (-1, results["distil"])):
                    own = HITS.setdefault((id(side), code), runs_of(side, code))
                    total += sign * own[generator.integers(3, size=3)][:, photographs].mean() / 3
            means.append(total)
        (column,) = (column for column in rows[name] if column.startswith("less"))
        stated = [float(number) for number in re.findall(r"[-+][\d.]+", rows[name][column])]
        assert stated[1:] == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.003), name


HITS: dict[tuple[int, str], np.ndarray] = {}


def test_the_page_states_what_is_not_measured():
    page = PAGE.read_text("utf-8")
    for captions in tool("recipes").CAPTIONS:
        count = len(published(captions)["recipes"])
        assert re.search(rf"- {captions} captions: {count} of {len(tool('recipes').PLAN)} recipes", page)
