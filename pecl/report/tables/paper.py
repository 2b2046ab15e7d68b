"""Tables of our runs in the layout of the method's publication.

They have methods as rows and languages as columns, in per cent: few-shot, all pairs and distillation by language and
route, modules by parameters, and disparity over languages; one table per setup, data set and gallery.
"""

from collections.abc import Sequence
from dataclasses import replace

from pecl.config.routes import ROUTES
from pecl.errors import DataError
from pecl.language.languages import ENGLISH
from pecl.report.selection.candidates import Candidate, chosen_candidates, setups_of, varying, with_several, without
from pecl.report.selection.groups import by_group, group_of, grouped
from pecl.report.selection.methods import ALL_PAIRS, DISTILLED, FEW_SHOT, ZERO_SHOT
from pecl.report.tables.columns import PARAMETERS, SHARE, TEST_TEXT, best_fields, setting_text
from pecl.report.tables.disparity import disparity_table, plain_english
from pecl.report.tables.table import Column, Row, Table, frame_of
from pecl.results.result import Result, trainings

AVERAGE = "avg"
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
_MODULES = "Modules by trained parameters"
_MODULES_TITLES = {FEW_SHOT: _MODULES, ALL_PAIRS: f"{_MODULES}, trained on all pairs", DISTILLED: _MODULES}
_PAIRS = Column("pairs", "{pairs:,} to {most_pairs:,}")
_STATED_BY_SIZES = frozenset({"train_on", "train_size", "text", "shots"})  # in the setup or the number of pairs
_WIDE = 6  # more languages have no standard deviations


def paper_tables(results: Sequence[Result]) -> list[Table]:
    """Return the publication's tables of complete results.

    Raises:
        DataError: nothing was trained.
    """
    training_results = trainings(results)
    if not training_results:
        raise DataError("expected results of trainings, got none; run pecl train or pecl grid first", field="paper")

    english_results = plain_english(results)

    tables = []
    for group_results in by_group(training_results).values():
        for setup, setup_results in setups_of(group_results).items():
            candidates = chosen_candidates(setup_results)
            tables += [replace(table, setup=setup) for table in _tables_of_setup(candidates, english_results)]
    return tables


def _tables_of_setup(candidates: Sequence[Candidate], english_results: Sequence[Result]) -> list[Table]:
    tables = []
    for kind, title in _TITLES.items():
        of_kind = [candidate for candidate in candidates if candidate.method.kind == kind]
        of_adapters = with_several(of_kind, "adapter")
        of_routes = [candidate for candidate in of_kind if candidate not in of_adapters]
        if of_routes:
            tables.append(_scores_table(f"paper-{kind}", title, of_routes))
        if of_adapters:
            tables.append(_modules_table(_MODULES_TITLES[kind], of_adapters))

    disparity = disparity_table(candidates, english_results)
    if disparity is not None:
        tables.append(replace(disparity, name="paper-disparity"))
    return tables


def _scores_table(name: str, title: str, candidates: Sequence[Candidate]) -> Table:
    """Return a row per test text of the base encoder, then one per route and setting."""
    fields = varying(candidate.setting for candidate in candidates)
    ordered = sorted(candidates, key=_route_pairs_and_setting)
    lines = grouped(ordered, lambda candidate: (candidate.route, *_fields_of(candidate, fields)))
    rows = [_trained_row(line) for line in lines.values()]

    labels, remarks = _size_columns(rows)
    labels += [Column(field.replace("_", " ")) for field in fields if field not in _STATED_BY_SIZES]
    columns = (Column("method"), *labels, TEST_TEXT)
    return _table(name, title, [*_plain_rows(candidates), *rows], columns, candidates, "test_text", remarks)


def _route_pairs_and_setting(candidate: Candidate) -> tuple[int, int, str]:
    return list(ROUTES).index(candidate.route), candidate.pairs, str(candidate.setting)


def _fields_of(candidate: Candidate, fields: Sequence[str]) -> list[tuple]:
    return [(field, value) for field, value in candidate.setting if field in fields]


def _size_columns(rows: Sequence[Row]) -> tuple[list[Column], list[str]]:
    """Return the columns of sizes that distinguish rows, and a remark on the sizes that all rows share."""
    columns = []
    shared = []
    for column in (_PAIRS, PARAMETERS):
        texts = {column.text(row) for row in rows}
        if len(texts) > 1:
            columns.append(column)
        else:
            shared.append(f"{column.name} {texts.pop()}")
    return columns, [", ".join(shared)] if shared else []


def _plain_rows(candidates: Sequence[Candidate]) -> list[Row]:
    """Return a row of zero-shot scores by language for each test text."""
    by_query = grouped(candidates, lambda candidate: candidate.query)
    rows = []
    for query in ZERO_SHOT:
        if query in by_query:
            scores = {candidate.language: candidate.zero_shot for candidate in by_query[query]}
            rows.append({"method": "Zero-shot", "test_text": query, "run_ids": [], **scores})
    return rows


def _modules_table(title: str, candidates: Sequence[Candidate]) -> Table:
    """Return a row per adapter, method and setting, fewest parameters first.

    Rows of one adapter and method state the fields of the setting in which they differ.
    """
    ordered = sorted(candidates, key=lambda candidate: candidate.adapter.trainable)
    lines = grouped(ordered, lambda candidate: (candidate.adapter.spec, str(without(candidate, "adapter")[1:])))
    rows = [_trained_row(line) for line in lines.values()]

    fields: set[str] = set()
    for alike in grouped(candidates, lambda candidate: (candidate.adapter.spec, candidate.route)).values():
        fields.update(varying((candidate.setting for candidate in alike), "adapter"))
    settings = [Column(field.replace("_", " ")) for field in sorted(fields)]

    columns = (Column("module"), Column("method"), *settings, PARAMETERS, SHARE)
    return _table("paper-modules", title, rows, columns, candidates, "method", [])


def _trained_row(candidates: Sequence[Candidate]) -> Row:
    """Return the row of candidates that differ in their language."""
    first = candidates[0]
    fewest_pairs = min(candidate.pairs for candidate in candidates)
    most_pairs = max(candidate.pairs for candidate in candidates)

    return {
        "method": _METHODS[first.route],
        "module": first.adapter.spec,
        "pairs": fewest_pairs,
        "most_pairs": most_pairs if most_pairs > fewest_pairs else None,
        "parameters": first.adapter.trainable,
        "share": first.adapter.share,
        **{name: setting_text(name, value) for name, value in first.setting},
        "test_text": first.query,
        **{candidate.language: candidate.mean for candidate in candidates},
        **{f"{candidate.language}_std": candidate.std for candidate in candidates},
        "run_ids": [run_id for candidate in candidates for run_id in candidate.run_ids],
    }


def _table(
    name: str,
    title: str,
    rows: Sequence[Row],
    labels: Sequence[Column],
    candidates: Sequence[Candidate],
    among: str,
    remarks: Sequence[str],
) -> Table:
    """Return a table with a column per language, in per cent, after the `labels` of its rows.

    The best of the rows with equal values of `among` is bold.
    """
    languages = sorted({candidate.language for candidate in candidates}, key=lambda code: (code != ENGLISH, code))
    other_languages = [language for language in languages if language != ENGLISH]

    keys = [column.name.replace(" ", "_") for column in labels]
    if _PAIRS in labels:
        keys.append("most_pairs")
    deviations = [f"{language}_std" for language in languages]
    frame = frame_of(rows).reindex(columns=[*keys, *languages, *deviations, AVERAGE, "run_ids"])
    frame[AVERAGE] = None
    if other_languages:
        frame[AVERAGE] = frame[other_languages].astype(float).mean(axis="columns", skipna=False)

    scores = [_language_column(language, wide=len(languages) > _WIDE) for language in languages]
    notes = ["in per cent", "candidates chosen by validation", *remarks]
    if len(other_languages) > 1:
        scores.append(Column(AVERAGE, f"{{{AVERAGE}:%}}"))
        notes.append(f"{AVERAGE}: mean over the languages other than English")

    best = frozenset().union(*(best_fields(frame, (among,), column.name, column.name) for column in scores))
    runs = [run for candidate in candidates for run in candidate.runs]
    return Table(name, title, group_of(runs[0]), frame, (*labels, *scores), runs, notes, best)


def _language_column(language: str, wide: bool) -> Column:
    mean = f"{{{language}:%}}"
    return Column(language, mean if wide else f"{mean} ± {{{language}_std:%}}")
