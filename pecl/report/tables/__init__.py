"""Tables from results: recall before and after training, with the gallery, and intervals over the test items.

Everything comes from the JSON files of `results`; logs are not parsed. The candidate that represents a language and
route is chosen by its validation score, never by its test score. Results that were measured differently are never in
one table.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from pecl.errors import DataError, WeightsError
from pecl.report.selection.candidates import (
    Candidate,
    best_of_methods,
    candidates_by_method,
    chosen_candidates,
    setups_of,
)
from pecl.report.selection.groups import BEST, Group, by_group, group_of, grouped, select, select_unfinished
from pecl.report.tables import scores
from pecl.report.tables.disparity import disparity_table, plain_english, zero_shot_disparity_table
from pecl.report.tables.formats import FORMATS
from pecl.report.tables.layout import plain_table, reported
from pecl.report.tables.lists import evaluations_table, runs_table
from pecl.report.tables.published import published_table
from pecl.report.tables.table import SHORT_ID, Column, Table
from pecl.results.result import Result, Run, TrainingResult, UnfinishedRun, trainings, verify

# name -> the required results, for the message about a missing table
TABLES: dict[str, str] = {
    "routes": "a training",
    "aligned": "method1, method2 or method3 and the baseline with the same query, in one language and setting",
    "disparity": "results of two languages on one gallery, for all routes of a setting",
    "adapters": "trainings of two adapters on one gallery",
    "shots": "trainings of one language and route with two numbers of shots",
    "runs": "a training",
    "evaluations": "an evaluation",
    "published": "published results to compare with (against)",
}


@dataclass(frozen=True)
class Report:
    """Tables, and sentences on their results; iterating over it yields the tables."""

    tables: list[Table]  # one per name, group and setup
    left_out: str  # failed and interrupted runs, which are in no table; or empty
    exchanged: tuple[str, ...] = ()  # errors for adapter files that have changed since their result

    def __iter__(self) -> Iterator[Table]:
        return iter(self.tables)

    def __len__(self) -> int:
        return len(self.tables)

    def named(self, name: str) -> list[Table]:
        """Return the tables called `name`.

        Raises:
            DataError: there is none; the message names the required results.
        """
        tables = [table for table in self.tables if table.name == name]
        if not tables:
            names = ", ".join(dict.fromkeys(table.name for table in self.tables))
            raise DataError(f"no table {name!r} from these results: it needs {TABLES[name]}; there are {names}")
        return tables


def report(runs: Sequence[Run], published: bool = False, where: Sequence[str] = ()) -> Report:
    """Return the tables of those `runs` from `collect_runs` that are complete and meet `where`, see `select`.

    `published` adds published scores for a comparison.

    Raises:
        ConfigError: a condition is not `key=value`, or has an unknown key.
        DataError: there is no complete result, or none that meets the conditions, or one is damaged, or runs of one
            language and gallery were tested on different captions.
    """
    complete = [run for run in runs if isinstance(run, Result)]
    unfinished = [run for run in runs if isinstance(run, UnfinishedRun)]
    if not complete:
        reason = f" ({_left_out(unfinished)})" if unfinished else ""
        raise DataError(f"no complete results here{reason}; run pecl train or pecl evaluate first")

    complete = select(complete, where)
    left_out = _left_out(select_unfinished(unfinished, where))

    english_results = plain_english(complete)

    tables = []
    for group, group_results in by_group(complete).items():
        if group.split_seed is None:
            tables += _tables_of_evaluations(group_results)
        else:
            tables += _tables_of_trainings(trainings(group_results), english_results)
    tables += _shots_tables(complete)
    if published:
        tables.append(published_table(complete))

    return Report(tables, left_out, tuple(_exchanged(trainings(complete))))


def _left_out(unfinished: Iterable[UnfinishedRun]) -> str:
    """Return the numbers of unfinished runs by status, and their ids."""
    by_status = grouped(unfinished, lambda run: run.status)
    parts = []
    for status, runs in sorted(by_status.items()):
        ids = ", ".join(run.run_id[:SHORT_ID] for run in runs)
        parts.append(f"{len(runs)} {status}: {ids}")
    return "; ".join(parts)


def _tables_of_evaluations(results: Sequence[Result]) -> list[Table]:
    """Return the tables of the evaluations of one group."""
    disparity = zero_shot_disparity_table(results)
    return [evaluations_table(results), *([disparity] if disparity else [])]


def _tables_of_trainings(results: Sequence[TrainingResult], english_results: Sequence[Result]) -> list[Table]:
    """Return the tables of the trainings of one group, setup by setup; `english_results` have English's scores."""
    tables = []
    for setup, setup_results in setups_of(results).items():
        candidates = chosen_candidates(setup_results)
        setup_tables = (
            scores.routes_table(candidates),
            scores.aligned_table(candidates),
            disparity_table(candidates, english_results),
            scores.adapters_table(candidates),
            runs_table(setup_results),
        )

        tables += [replace(table, setup=setup) for table in setup_tables if table is not None]
    return tables


def _shots_tables(results: Sequence[Result]) -> list[Table]:
    """Return tables of candidates that differ in shots, and so perhaps in the size of their gallery."""
    tables = []
    for group_results in grouped(trainings(results), _group_of_shots).values():
        for setup, setup_results in setups_of(group_results).items():
            table = scores.shots_table(chosen_candidates(setup_results))
            if table is not None:
                tables.append(replace(table, setup=setup))
    return sorted(tables, key=attrgetter("setup"))


def _group_of_shots(result: TrainingResult) -> Group:
    return replace(group_of(result), gallery_size=None)


def _exchanged(results: Sequence[TrainingResult]) -> Iterator[str]:
    """Yield an error for each adapter file that has changed since its result."""
    for result in results:
        if result.adapter.sha256 is not None and result.adapter_path.exists():
            try:
                verify(result)
            except WeightsError as error:
                yield str(error)
