"""Tables from results: recall before and after training, with the gallery, and intervals over the test queries.

Everything comes from the JSON files of `results`; nothing is parsed out of logs. The cell that stands for a language
and route is chosen by its validation score, never by its test.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pecl.errors import DataError
from pecl.retrieval import bootstrap_interval

METRIC = "mean_recall@1"
BEST = "best"


def text_table(table: pd.DataFrame) -> str:
    """Return a table as text."""
    return table.to_string(index=False, na_rep="-")


def evaluation_table(results: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return one row an evaluation: recall in both directions and its gallery."""
    rows = []
    for result in results:
        measured = next(iter(result["metrics"]["test"].values()))
        row = {"language": result["config"]["language"], "dataset": result["config"]["dataset"], **_gallery(result)}
        for direction, values in measured.items():
            if isinstance(values, dict):
                row |= {f"{direction} R@{k}": f"{values[f'recall@{k}']:.3f}" for k in (1, 5, 10)}
        row["mean R@1"] = f"{measured[METRIC]:.3f}"
        row["95 % interval"] = _interval(hits(_only(result["ranks"]["test"])))
        rows.append(row)
    return pd.DataFrame(rows)


def training_table(results: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return one row a training: mean R@1 on the test part before and after, the gain and its interval."""
    rows = []
    for result in results:
        config, test, ranks = result["config"], result["metrics"]["test"], result["ranks"]["test"]
        gain = hits(ranks[BEST]) - hits(ranks["zero_shot"])
        rows.append(
            {
                "language": config["language"],
                "route": config["route"],
                "adapter": result["adapter"]["spec"],
                "parameters": result["adapter"]["trainable"],
                "lr": f"{config['lr']:g}",
                "lambda": f"{config['alignment_weight']:g}",
                "seed": config["seed"],
                **_gallery(result),
                "zero-shot R@1": f"{test['zero_shot'][METRIC]:.3f}",
                "trained R@1": f"{test[BEST][METRIC]:.3f}",
                "gain": f"{test[BEST][METRIC] - test['zero_shot'][METRIC]:+.3f}",
                "95 % interval": _interval(gain),
                "val R@1": f"{result['metrics']['val'][BEST][METRIC]:.3f}",
                "run": result["run_id"],
            }
        )
    return pd.DataFrame(rows)


def module_table(results: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return one row a module and language: what it costs, and mean R@1 on the test part before and after.

    Peak memory is that of the process, so it says something where each run had a process of its own.
    """
    rows = []
    for result in results:
        adapter, test, ranks = result["adapter"], result["metrics"]["test"], result["ranks"]["test"]
        rows.append(
            {
                "module": adapter["spec"],
                "language": result["config"]["language"],
                "parameters": f"{adapter['trainable']:,}",
                "share": f"{adapter['share']:.3%}",
                "steps": result["steps"],
                "s/step": f"{result['seconds']['per_step']:.2f}",
                "peak MiB": f"{result['peak_memory_mb']:.0f}",
                **_gallery(result),
                "zero-shot R@1": f"{test['zero_shot'][METRIC]:.3f}",
                "trained R@1": f"{test[BEST][METRIC]:.3f}",
                "gain, 95 % interval": _interval(hits(ranks[BEST]) - hits(ranks["zero_shot"])),
            }
        )
    return pd.DataFrame(rows).sort_values(["language", "parameters"], key=_sort_key, ignore_index=True)


def _sort_key(column: pd.Series) -> pd.Series:
    return column.str.replace(",", "").astype(int) if column.name == "parameters" else column


def report(results: Sequence[dict[str, Any]]) -> dict[str, pd.DataFrame]:
    """Return the tables of `results` by title.

    Raises:
        DataError: there is no complete result.
    """
    complete = [result for result in results if result["status"] == "complete"]
    trained = [result for result in complete if result["kind"] == "train"]
    evaluated = [result for result in complete if result["kind"] == "evaluate"]
    if not complete:
        raise DataError("no complete results here; run pecl train or pecl evaluate first")
    tables = {}
    if trained:
        tables["Best cell of each language and route, chosen by validation"] = training_table(best_cells(trained))
        tables["All cells"] = training_table(trained)
        if len({result["adapter"]["spec"] for result in trained}) > 1:
            tables["Modules"] = module_table(trained)
    if evaluated:
        tables["Evaluations"] = evaluation_table(evaluated)
    return tables


def best_cells(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each data set, language, route and adapter the result with the best validation score.

    Among equal scores the first by run id stands, so the choice does not depend on the order of files.
    """
    best: dict[tuple, dict[str, Any]] = {}
    for result in sorted(results, key=lambda result: result["run_id"]):
        config = result["config"]
        key = (config["dataset"], config["language"], config["route"], config["train_on"], result["adapter"]["spec"])
        if key not in best or _validation(result) > _validation(best[key]):
            best[key] = result
    return [best[key] for key in sorted(best)]


def hits(ranks: dict[str, list[int]]) -> np.ndarray:
    """Return for each test item the mean over both directions of "its rank is 1", (N,); its mean is mean recall@1.

    With several captions an image the directions have different numbers of queries; then each direction is weighted to
    count for half, as in the metric.
    """
    directions = [np.asarray(direction) == 1 for direction in ranks.values()]
    if len({len(direction) for direction in directions}) == 1:
        return np.mean(directions, axis=0)
    total = sum(len(direction) for direction in directions)
    return np.concatenate([d * total / (len(directions) * len(d)) for d in directions])


def _validation(result: dict[str, Any]) -> float:
    return result["metrics"]["val"][BEST][METRIC]


def _only(named: dict[str, Any]) -> Any:
    return next(iter(named.values()))


def _gallery(result: dict[str, Any]) -> dict[str, Any]:
    gallery = result["data"]["gallery"]
    return {"gallery": f"{gallery['size']} {gallery['kind']}"}


def _interval(per_item: np.ndarray) -> str:
    low, high = bootstrap_interval(per_item)
    return f"{low:+.3f} .. {high:+.3f}" if low < 0 else f"{low:.3f} .. {high:.3f}"
