"""Many cells: lists in a config are expanded to their product, and each cell is trained unless it is complete already.

Cells may be trained in *fleets*: consecutive cells that differ in `FLEET_FIELDS` alone share one pass over the frozen
tower. How cells are grouped depends on the whole grid, never on what is complete, so a grid that was killed and
started again gives the same results to the last digit.
"""

from __future__ import annotations

import itertools
import logging
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from tqdm import tqdm

from pecl.config import ExperimentConfig, make_config
from pecl.errors import PeclError
from pecl.experiment import FLEET_FIELDS, train_fleet
from pecl.results import environment, write_result

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GridOutcome:
    """Results of a grid's cells in order, complete or failed."""

    results: list[dict[str, Any]]

    @property
    def failed(self) -> list[dict[str, Any]]:
        """Results of the cells that failed; `error` says why."""
        return [result for result in self.results if result["status"] == "failed"]


def expand(values: Mapping[str, Any], where: str = "grid") -> list[ExperimentConfig]:
    """Return one config for each combination of the values that are lists; the last key varies fastest.

    Raises:
        ConfigError: an unknown key or a wrong value, found before any cell runs.
    """
    names = list(values)
    choices = [value if isinstance(value, list) else [value] for value in values.values()]
    return [make_config(dict(zip(names, cell, strict=True)), where) for cell in itertools.product(*choices)]


def fleets(configs: Sequence[ExperimentConfig], size: int) -> Iterator[list[ExperimentConfig]]:
    """Yield the cells in groups of at most `size` that can be trained side by side, in order."""
    shared = [item.name for item in fields(ExperimentConfig) if item.name not in FLEET_FIELDS]
    for _, cells in itertools.groupby(configs, key=lambda config: [getattr(config, name) for name in shared]):
        while group := list(itertools.islice(cells, size)):
            yield group


def run_grid(configs: Sequence[ExperimentConfig], fleet: int = 1) -> GridOutcome:
    """Train all cells; a cell that fails is recorded with its error and does not stop the rest.

    Raises:
        PeclError: bad input, which would be bad for the other cells too.
    """
    results: list[dict[str, Any]] = []
    with tqdm(total=len(configs), desc="grid", unit="cell") as bar:
        for group in fleets(configs, fleet):
            try:
                results += train_fleet(group)
            except PeclError:
                raise
            except Exception as error:  # whatever went wrong, the other cells may still go right
                logger.exception("cells failed: %s", ", ".join(config.run_id() for config in group))
                results += [_record_failure(config, error) for config in group]
            bar.update(len(group))
            bar.set_postfix(failed=sum(result["status"] == "failed" for result in results))
    return GridOutcome(results)


def _record_failure(config: ExperimentConfig, error: Exception) -> dict[str, Any]:
    result = {
        "kind": "train",
        "run_id": config.run_id(),
        "status": "failed",
        "error": "".join(traceback.format_exception_only(error)).strip(),
        "config": config.to_dict(),
        **environment(),
    }
    write_result(config.out, result)
    return result
