"""Read the runs of a fleet, and make all checks before its first step."""

from collections.abc import Sequence
from dataclasses import dataclass

from pecl.adapters import engines
from pecl.adapters.kind import AdapterConfig
from pecl.config import ExperimentConfig
from pecl.encoders.cached_layers import CACHED_BYTES
from pecl.encoders.towers import load_towers
from pecl.errors import ConfigError
from pecl.experiment.closed_form import solvable_head
from pecl.experiment.fleet_size import check_size, largest_fleet
from pecl.experiment.initial_weights import check_start, without_words
from pecl.experiment.inputs import Inputs, check_joint, read_training
from pecl.experiment.loading import TrainingDataCache
from pecl.experiment.towers import LoadTowers, has_no_values, towers_of, with_shape
from pecl.experiment.tracking import make_trackers
from pecl.files import check_writable
from pecl.training.trackers.tracker import Tracker
from pecl.training.trainer import WITHOUT_PARAMETERS


@dataclass(frozen=True)
class CheckedRuns:
    """The runs of a fleet that have been read and checked."""

    runs: list[Inputs]
    adapters: tuple[AdapterConfig, ...]
    max_runs: int  # runs that are trained together at most
    trackers: dict[str, Tracker]  # by name

    def fleets(self) -> list[list[Inputs]]:
        """Return the runs by the fleets that are trained one after the other."""
        return [self.runs[start : start + self.max_runs] for start in range(0, len(self.runs), self.max_runs)]


def read_and_check(
    configs: Sequence[ExperimentConfig],
    share: int | None,
    cache: TrainingDataCache,
    load: LoadTowers = load_towers,
    *,
    is_dry: bool = False,
) -> CheckedRuns:
    """Read all runs and make all checks. The arguments are those of `train_fleet`.

    A dry run loads no weights if the shape of the text tower is known, and decodes no images.
    """
    first = configs[0]
    adapters = _adapters_of(first)
    trackers = make_trackers(first)  # raises an error if a package is missing

    towers = towers_of(first, load)
    if is_dry:
        towers = with_shape(towers, first)

    runs = [read_training(config, towers, cache, other_text=not is_dry) for config in configs]
    check_joint(runs)

    max_runs = _check_adapters(runs, adapters, share)
    check_writable(first.out)
    return CheckedRuns(runs, adapters, max_runs, trackers)


def _adapters_of(config: ExperimentConfig) -> tuple[AdapterConfig, ...]:
    """Return the adapter of a run, as its engine reads it. Raise ConfigError for one that the engine does not have."""
    return engines.parse_adapter(config.engine, config.adapter, config.rank, config.adapter_layers)


def _check_adapters(
    runs: Sequence[Inputs],
    adapters: Sequence[AdapterConfig],
    share: int | None,
) -> int:
    """Attach the adapter to check it, remove it, and return how many of the runs fit into memory."""
    config = runs[0].config
    tower = runs[0].towers.text

    checked = tuple(adapters)
    seeds = [config.seed]

    if has_no_values(tower):  # no values to draw, and no tokenizer for prompts of words
        seeds = []
        checked = without_words(adapters)

    attached = engines.attach(config.engine, tower, checked, seeds=seeds)
    try:
        if config.solver != "gradient":
            solvable_head(attached)  # raises an error for an adapter without a head
        check_start(attached, runs)
        parameters = attached.num_parameters()
        if not parameters:
            raise ConfigError(WITHOUT_PARAMETERS)
        cached_bytes = CACHED_BYTES if checked and attached.first_layer else 0
    finally:
        attached.remove()

    max_runs = largest_fleet(runs, parameters, share or 1, cached_bytes)
    if share is None:
        check_size(runs, max_runs)
    return max_runs
