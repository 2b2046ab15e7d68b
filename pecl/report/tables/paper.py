"""The tables that the method's publication has, in its layout, from our runs: methods down, languages across, per cent.

Few-shot, all pairs and distillation by language and route, modules by parameters, and disparity over languages: one
table for each study of each data set and gallery.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from pecl.config.routes import ROUTES
from pecl.errors import DataError
from pecl.languages import ENGLISH
from pecl.report.methods import ALL_PAIRS, DISTILLED, FEW_SHOT, KINDS, method_of
from pecl.report.tables.adapters import with_several
from pecl.report.tables.candidates import Candidate, chosen_candidates, studies_of, varying
from pecl.report.tables.disparity import disparity_table
from pecl.report.tables.groups import by_group, one_group
from pecl.report.tables.languages import ZERO_SHOT
from pecl.report.tables.rows import Row, best_places, runs_of, setting_text
from pecl.report.tables.table import Table, frame
from pecl.results.result import Result

_METHODS = {
    "baseline1": "Baseline 1",
    "baseline2": "Baseline 2",
    "method1": "Method 1",
    "method2": "Method 2",
    "method3": "Method 3",
}
_TITLES = {
    FEW_SHOT: "Few-shot retrieval",
    ALL_PAIRS: "Retrieval after training on all pairs",
    DISTILLED: "Retrieval after distillation from text",
}
_TEXTS = {"target": "captions", "target_to_english": "translated"}
_IN_SIZES = frozenset({"train_on", "train_size", "text", "shots"})  # settings that study and number of pairs say
AVERAGE = "avg"
_AVERAGED = f"{AVERAGE}: mean over the languages other than English"


def paper_tables(results: Sequence[Result]) -> list[Table]:
    """Return the publication's tables of complete results.

    Raises:
        DataError: nothing was trained.
    """
    trained = [result for result in results if result.kind == "train"]
    if not trained:
        raise DataError("--paper: expected results of trainings, got none; run pecl train or pecl grid first")
    return [table for own in by_group(trained).values() for table in _group_tables(own, results)]


def _group_tables(trained: Sequence[Result], everything: Sequence[Result]) -> Iterator[Table]:
    for study, own in studies_of(trained).items():
        yield from (replace(table, study=study) for table in _study_tables(own, everything))


def _study_tables(trained: Sequence[Result], everything: Sequence[Result]) -> Iterator[Table]:
    for kind in KINDS:
        candidates = chosen_candidates([result for result in trained if method_of(result).kind == kind])
        several = with_several(candidates, "adapter")
        compared = [one for one in candidates if one not in several]
        yield from [_scores(compared, kind)] if compared else []
        yield from [_modules(several)] if several else []
    if table := disparity_table(chosen_candidates(trained), everything):
        yield replace(table, name="paper-disparity")


def _scores(candidates: Sequence[Candidate], kind: str) -> Table:
    """Return methods by languages: the plain tower on each test text, then each route."""
    lines: dict[tuple, dict[str, Candidate]] = {}
    different = varying(candidate.setting for candidate in candidates)
    for candidate in sorted(candidates, key=_order):
        key = (candidate.route, *(pair for pair in candidate.setting if pair[0] in different))
        lines.setdefault(key, {})[candidate.language] = candidate
    queries = [query for query in ZERO_SHOT if any(candidate.query == query for candidate in candidates)]
    trained, shared = _labelled(list(lines.values()), different)
    blank = dict.fromkeys([name for name in trained[0] if name not in ("method", "test text", "scores", "run_ids")], "")
    rows = [_zero_shot_row(query, candidates, blank) for query in queries] + trained
    return _by_language(f"paper-{kind}", _TITLES[kind], candidates, rows, ("test text",), shared)


def _modules(candidates: Sequence[Candidate]) -> Table:
    """Return modules by languages, the one with fewest parameters first."""
    lines: dict[tuple, dict[str, Candidate]] = {}
    for candidate in sorted(candidates, key=lambda one: one.runs[0].adapter.trainable):
        spec = candidate.runs[0].adapter.spec
        lines.setdefault((spec, candidate.route, _without_adapter(candidate)), {})[candidate.language] = candidate
    rows = [_module_row(line) for line in lines.values()]
    return _by_language("paper-modules", "Modules by trained parameters", candidates, rows, ("method",))


def _without_adapter(candidate: Candidate) -> str:
    return str([pair for pair in candidate.setting if pair[0] != "adapter"])


def _order(candidate: Candidate) -> tuple:
    return list(ROUTES).index(candidate.route), candidate.pairs, str(candidate.setting)


def _zero_shot_row(query: str, candidates: Sequence[Candidate], blank: Row) -> Row:
    scores = {one.language: (one.zero_shot, math.nan) for one in candidates if one.query == query}
    return {"method": "Zero-shot", **blank, "test text": _TEXTS[query], "scores": scores, "run_ids": []}


def _labelled(lines: Sequence[dict[str, Candidate]], different: Sequence[str]) -> tuple[list[Row], str]:
    """Return a row per line, with its pairs and parameters where they differ, and all else that differs in lines alike.

    What they share of the two is said in words.
    """
    said = [_sizes(line) for line in lines]
    shared = {name: value for name, value in said[0].items() if all(own[name] == value for own in said)}
    labels = [{name: own[name] for name in own if name not in shared} for own in said]
    for name in (name for name in different if name not in _IN_SIZES):
        heads = [str((next(iter(line.values())).route, own)) for line, own in zip(lines, labels, strict=True)]
        if len(set(heads)) < len(lines):
            for line, own in zip(lines, labels, strict=True):
                own[name.replace("_", " ")] = setting_text(name, dict(next(iter(line.values())).setting)[name])
    rows = [_method_row(line, own) for line, own in zip(lines, labels, strict=True)]
    return rows, ", ".join(f"{name} {value}" for name, value in shared.items())


def _sizes(line: dict[str, Candidate]) -> Row:
    first, pairs = next(iter(line.values())), {candidate.pairs for candidate in line.values()}
    count = f"{first.pairs:,}" if len(pairs) == 1 else f"about {round(float(np.mean(list(pairs))), -2):,.0f}"
    return {"pairs": count, "parameters": f"{first.runs[0].adapter.trainable:,}"}


def _method_row(line: dict[str, Candidate], labels: Row) -> Row:
    first = next(iter(line.values()))
    return {"method": _METHODS[first.route], **labels, "test text": _TEXTS[first.query], **_trained(line)}


def _module_row(line: dict[str, Candidate]) -> Row:
    first = next(iter(line.values()))
    described = first.runs[0].adapter
    said = {"parameters": f"{described.trainable:,}", "share": f"{described.share:.3%}"}
    return {"module": described.spec, "method": _METHODS[first.route], **said, **_trained(line)}


def _trained(line: dict[str, Candidate]) -> Row:
    scores = {code: (candidate.mean, candidate.std) for code, candidate in line.items()}
    return {"scores": scores, "run_ids": [run_id for candidate in line.values() for run_id in candidate.run_ids]}


def _by_language(
    name: str, title: str, candidates: Sequence[Candidate], rows: Sequence[Row], among: Sequence[str], shared: str = ""
) -> Table:
    """Return rows with a column a language, in per cent, the best of those with equal values of `among` bold."""
    codes = sorted({candidate.language for candidate in candidates}, key=lambda code: (code != ENGLISH, code))
    others = [code for code in codes if code != ENGLISH]
    raw = []
    for row in rows:
        scores = {code: score for code, (score, _) in row["scores"].items()}
        average = float(np.mean([scores[code] for code in others])) if set(others) <= set(scores) else math.nan
        spreads = {f"{code}_std": std for code, (_, std) in row["scores"].items()}
        rest = {key: value for key, value in row.items() if key not in ("scores", "run_ids")}
        missing = dict.fromkeys(codes, math.nan)
        raw.append({**rest, **missing, **scores, AVERAGE: average, **spreads, "run_ids": row["run_ids"]})
    columns = [*codes, *([AVERAGE] if len(others) > 1 else [])]
    best = [best_places(_comparable(raw, column), among, column, column) for column in columns]
    shown = frame([_shown(row, columns, brief=len(codes) > 6) for row in raw])
    runs = runs_of(candidates)
    averaged = _AVERAGED if len(others) > 1 else ""
    remarks = filter(None, ["in per cent", "candidates chosen by validation", shared, averaged])
    marked = frozenset().union(*best)
    group = one_group(runs)
    return Table(name, title, group, pd.DataFrame(raw), shown, runs, tuple(remarks), bootstrap=False, best=marked)


def _comparable(rows: Sequence[Row], column: str) -> list[Row]:
    """Return the rows with a score below all others where one is missing, so that it is the best of nothing."""
    return [{**row, column: -1.0 if math.isnan(row[column]) else row[column]} for row in rows]


def _shown(row: Row, columns: Sequence[str], brief: bool) -> Row:
    labels = {key: value for key, value in row.items() if isinstance(value, str)}
    return {**labels, **{code: _per_cent(row[code], row.get(f"{code}_std", math.nan), brief) for code in columns}}


def _per_cent(score: float, std: float, brief: bool) -> str:
    if math.isnan(score):
        return ""
    value = f"{round(1000 * score, 6):.0f}"  # tenths of a per cent; rounded first, so that 0.9435 does not become 94.3
    shown = f"{int(value) / 10:.1f}"
    return shown if brief or math.isnan(std) else f"{shown} ± {100 * std:.1f}"
