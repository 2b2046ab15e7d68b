"""Collect trainings of the same languages with adapters of several sizes: a table of budgets.

    python tools/languages_budgets.py FOLDER ...
    python tools/languages_budgets.py --add FOLDER ...    # keep existing budgets

The folders hold results of `pecl distil` on XTD200. Trainings with equal settings are one budget,
over one or more seeds. Only languages that every budget has are kept, and only seeds that all
languages of a budget have. The script writes `results/language_budgets.json`; `languages_page.py`
reads it.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from marked import ROOT

from pecl.files import load_json, write_json
from pecl.results.result import TrainingResult, collect, trainings

BUDGETS = ROOT / "results" / "language_budgets.json"
_SETTINGS = "solver", "epochs", "batch_size", "lr"


def budgets(results: Sequence[TrainingResult]) -> list[dict[str, Any]]:
    """Return a record per budget, fewest parameters first: settings, and R@1 before and after by language and seed."""
    by_settings: dict[tuple[Any, ...], dict[str, Any]] = {}
    for result in results:
        settings = {name: getattr(result.config, name) for name in _SETTINGS}
        record = {"adapter": result.adapter.spec, "parameters": result.adapter.trainable, "share": result.adapter.share}
        budget = by_settings.setdefault(
            (result.adapter.spec, *settings.values()), record | settings | {"languages": {}}
        )
        budget["languages"].setdefault(result.config.language, {})[str(result.config.seed)] = _measured(result)

    shared = set.intersection(*(set(budget["languages"]) for budget in by_settings.values()))
    for budget in by_settings.values():
        languages = {code: budget["languages"][code] for code in sorted(shared)}
        seeds = sorted(set.intersection(*map(set, languages.values())), key=int)
        budget["languages"] = {code: {seed: by_seed[seed] for seed in seeds} for code, by_seed in languages.items()}

    return sorted(by_settings.values(), key=lambda budget: budget["parameters"])


def with_budgets(
    there: Sequence[dict[str, Any]],
    new: Sequence[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Return budgets with `new` ones, or new seeds of equal settings, in the languages of `there`.

    Raises:
        SystemExit: a new budget lacks a language.
    """
    by_settings = {tuple(budget[name] for name in ("adapter", *_SETTINGS)): budget for budget in there}
    for budget in new:
        missing = there[0]["languages"].keys() - budget["languages"]
        if missing:
            raise SystemExit(f"{budget['adapter']}: expected trainings in {', '.join(sorted(missing))}, too")
        known = by_settings.setdefault(
            tuple(budget[name] for name in ("adapter", *_SETTINGS)), budget | {"languages": {}}
        )
        known["languages"] = {
            code: known["languages"].get(code, {}) | budget["languages"][code] for code in there[0]["languages"]
        }

    return sorted(by_settings.values(), key=lambda budget: budget["parameters"])


def _measured(result: TrainingResult) -> Mapping[str, float | str]:
    before, after = (round(result.recall(stage=stage), 4) for stage in ("zero_shot", "best"))
    seconds = result.seconds.train + sum(head.seconds for head in result.closed_form or ())
    return {"before": before, "after": after, "seconds": round(seconds), "run_id": result.run_id}


def main() -> None:
    """Write the budgets of all folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="folders with results of `pecl distil`")
    parser.add_argument("--add", action="store_true", help="keep the existing budgets and their languages")
    parsed = parser.parse_args()
    results = trainings(collect(parsed.folders))
    if not results:
        parser.error("expected complete trainings in these folders, got none")

    measured = budgets(results)
    write_json(BUDGETS, with_budgets(load_json(BUDGETS), measured) if parsed.add else measured)


if __name__ == "__main__":
    main()
