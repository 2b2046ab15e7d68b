"""`report`: all tables of a set of results, each made of results that were measured alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pecl.errors import DataError, WeightsError
from pecl.report.tables.candidates import Candidate, chosen_candidates, setups_of
from pecl.report.tables.disparity import disparity_table, zero_shot_disparity_table
from pecl.report.tables.groups import Group, Result, by_group, group_of, select
from pecl.report.tables.paper import published_table, read_published
from pecl.report.tables.runs import evaluations_table, runs_table
from pecl.report.tables.scores import adapters_table, aligned_table, routes_table, shots_table, with_several
from pecl.report.tables.table import SHORT_ID, Table
from pecl.results.verify import check_adapter, check_recalls

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
    """Tables, and sentences on their results.

    Attributes:
        tables: one per name, group and setup.
        left_out: failed and interrupted runs, which are in no table; empty where there are none.
        exchanged: adapter files that are not those that results were measured with, a sentence each.
    """

    tables: list[Table]
    left_out: str
    exchanged: tuple[str, ...] = ()

    def named(self, name: str) -> list[Table]:
        """Return the tables called `name`."""
        return [table for table in self.tables if table.name == name]

    def all_of(self, name: str) -> list[Table]:
        """Return the same.

        Raises:
            DataError: there is none; the message names the required results.
        """
        if found := self.named(name):
            return found
        there = ", ".join(dict.fromkeys(table.name for table in self.tables))
        raise DataError(f"no table {name!r} from these results: it needs {TABLES[name]}; there are {there}")


def report(results: Sequence[Result], against: str | None = None, where: Sequence[str] = ()) -> Report:
    """Return the tables of `results`.

    Args:
        results: as `collect` returns them.
        against: name of published scores to compare ours with.
        where: conditions `key=value` that a result has to fulfil, see `select`.

    Raises:
        ConfigError: a condition is not `key=value`, or has an unknown key.
        DataError: there is no complete result, or none that fulfils the conditions, or one is damaged, or runs of one
            language and gallery were tested on different captions.
    """
    complete = [result for result in results if result.status == "complete"]
    if not complete:
        unfinished = f" ({_count(results)})" if results else ""
        raise DataError(f"no complete results here{unfinished}; run pecl train or pecl evaluate first")
    for result in complete:
        check_recalls(result)
    complete = select(complete, where)
    tables = [table for group, own in by_group(complete).items() for table in _tables(group, own, complete)]
    tables += _shots([result for result in complete if result.kind == "train"])
    if against is not None:
        tables.append(published_table(read_published(against), complete))
    return Report(tables, _count(results), _exchanged(complete))


def _exchanged(results: Sequence[Result]) -> tuple[str, ...]:
    """Return a sentence for each adapter file that is not the one that its result names."""
    said = []
    for result in results:
        try:
            check_adapter(result)
        except WeightsError as error:
            said.append(str(error))
    return tuple(said)


def _tables(group: Group, results: Sequence[Result], everything: Sequence[Result]) -> Iterator[Table]:
    """Yield the tables of one group; it holds trainings or evaluations, since only trainings have a split seed."""
    if group.split_seed is None:
        yield evaluations_table(results)
        disparity = zero_shot_disparity_table(results)
        yield from [disparity] if disparity else []
        return
    for setup, own in setups_of(results).items():
        yield from (replace(table, setup=setup) for table in _setup_tables(own, everything))


def _setup_tables(results: Sequence[Result], everything: Sequence[Result]) -> Iterator[Table]:
    """Yield the tables of trainings of one group and one setup."""
    candidates = chosen_candidates(results)
    yield routes_table(candidates)
    yield from filter(None, [aligned_table(candidates), disparity_table(candidates, everything)])
    if several := with_several(candidates, "adapter"):
        yield adapters_table(several)
    yield runs_table(results)


def _shots(trained: Sequence[Result]) -> Iterator[Table]:
    """Yield a table for each set of candidates that differ in shots, and so perhaps in the size of their gallery."""
    families: dict[tuple[Group, str], list[Candidate]] = {}
    for setup, own in setups_of(trained).items():
        for candidate in chosen_candidates(own):
            family = replace(group_of(candidate.runs[0]), gallery_size=None)
            families.setdefault((family, setup), []).append(candidate)
    for (_, setup), candidates in families.items():
        if several := with_several(candidates, "shots"):
            yield replace(shots_table(several), setup=setup)


def _count(results: Sequence[Result]) -> str:
    """Return the number of results that are not complete, and their ids, by status."""
    found: dict[str, list[str]] = {}
    for result in results:
        if result.status != "complete":
            found.setdefault(result.status, []).append(result.run_id[:SHORT_ID])
    return "; ".join(f"{len(ids)} {status}: {', '.join(ids)}" for status, ids in sorted(found.items()))
