"""Tables from results: recall before and after training, with the gallery, and intervals over the test items.

Everything comes from the JSON files of `results`; logs are not parsed. The candidate that represents a language and
route is chosen by its validation score, never by its test score. Results that were measured differently are never in
one table.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pecl.errors import DataError, WeightsError
from pecl.report.tables import scores
from pecl.report.tables.candidates import Candidate, best_of_methods, candidates_by_method, chosen_candidates, setups_of
from pecl.report.tables.disparity import disparity_table, zero_shot_disparity_table
from pecl.report.tables.formats import FORMATS
from pecl.report.tables.groups import BEST, Group, by_group, group_of, grouped, select
from pecl.report.tables.paper import published_table
from pecl.report.tables.scores import evaluations_table, runs_table
from pecl.report.tables.table import SHORT_ID, Column, Table, plain_table, reported
from pecl.results.result import Result, verify

# name -> the required results, for the message about a missing table
TABLES: dict[str, str] = {
    "routes": "a training",
    "aligned": "method1, method2 or method3 and the baseline with the same query, in one language and setting",
    "disparity": "results of two languages on one gallery, for all routes of a setting",
    "adapters": "trainings of two adapters on one gallery",
    "shots": "trainings of one language and route with two numbers of shots",
    "runs": "a training",
    "evaluations": "an evaluation",
    "published": "the flag --against published",
}


@dataclass(frozen=True)
class Report:
    """Tables, and sentences on their results."""

    tables: list[Table]  # one per name, group and setup
    left_out: str  # failed and interrupted runs, which are in no table; or empty
    exchanged: tuple[str, ...] = ()  # errors for adapter files that have changed since their result

    def named(self, name: str) -> list[Table]:
        """Return the tables called `name`.

        Raises:
            DataError: there is none; the message names the required results.
        """
        if found := [table for table in self.tables if table.name == name]:
            return found
        there = ", ".join(dict.fromkeys(table.name for table in self.tables))
        raise DataError(f"no table {name!r} from these results: it needs {TABLES[name]}; there are {there}")


def report(results: Sequence[Result], published: bool = False, where: Sequence[str] = ()) -> Report:
    """Return the tables of the `results` from `collect` that meet all conditions of `where`, see `select`.

    `published` adds published scores for a comparison.

    Raises:
        ConfigError: a condition is not `key=value`, or has an unknown key.
        DataError: there is no complete result, or none that meets the conditions, or one is damaged, or runs of one
            language and gallery were tested on different captions.
    """
    complete = [result for result in results if result.status == "complete"]
    unfinished = grouped((one for one in results if one.status != "complete"), lambda one: one.status)
    left_out = "; ".join(
        f"{len(own)} {status}: {', '.join(one.run_id[:SHORT_ID] for one in own)}"
        for status, own in sorted(unfinished.items())
    )
    if not complete:
        said = f" ({left_out})" if left_out else ""
        raise DataError(f"no complete results here{said}; run pecl train or pecl evaluate first")
    complete = select(complete, where)
    tables = [table for group, own in by_group(complete).items() for table in _tables(group, own, complete)]
    # candidates that differ in shots, and so perhaps in the size of their gallery
    setups = setups_of([result for result in complete if result.kind == "train"])
    chosen = [(setup, one) for setup, own in setups.items() for one in chosen_candidates(own)]
    alike = grouped(chosen, lambda pair: (replace(group_of(pair[1].runs[0]), gallery_size=None), pair[0]))
    shots = [(setup, scores.shots_table([one for _, one in found])) for (_, setup), found in alike.items()]
    tables += [replace(table, setup=setup) for setup, table in shots if table]
    if published:
        tables.append(published_table(complete))
    exchanged = []
    for result in complete:
        if result.kind == "train" and result.adapter.sha256 is not None and result.adapter_path.exists():
            try:
                verify(result)
            except WeightsError as error:
                exchanged.append(str(error))
    return Report(tables, left_out, tuple(exchanged))


def _tables(group: Group, results: Sequence[Result], everything: Sequence[Result]) -> Iterator[Table]:
    """Yield the tables of one group; it holds trainings or evaluations, since only trainings have a split seed."""
    if group.split_seed is None:
        yield from filter(None, [evaluations_table(results), zero_shot_disparity_table(results)])
        return
    for setup, own in setups_of(results).items():
        candidates = chosen_candidates(own)
        tables = [scores.routes_table(candidates), scores.aligned_table(candidates)]
        tables += [disparity_table(candidates, everything), scores.adapters_table(candidates), runs_table(own)]
        yield from (replace(table, setup=setup) for table in tables if table)
