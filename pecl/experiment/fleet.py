"""A fleet: runs that are trained together, one slot each; the runs of a joint training share a slot."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from pecl.config import FLEET_FIELDS, ExperimentConfig
from pecl.errors import ConfigError
from pecl.experiment.frozen import Frozen
from pecl.experiment.inputs import Inputs
from pecl.experiment.record import describe_data
from pecl.files import sha256_json
from pecl.files.typed_json import encode
from pecl.results.completeness import complete_result
from pecl.results.folder import find_run, state_path
from pecl.results.result import UnfinishedRun


@dataclass(frozen=True)
class Member:
    """One run of a fleet."""

    inputs: Inputs
    frozen: Frozen
    slot: int

    @property
    def config(self) -> ExperimentConfig:
        """The config of the run."""
        return self.inputs.config


def fleets_of_languages(configs: Sequence[ExperimentConfig]) -> list[list[ExperimentConfig]]:
    """Return the configs of several languages by fleet: all in one if they are `joint`, else each by itself."""
    if configs[0].joint:
        return [list(configs)]
    return [[config] for config in configs]


def check_fleet(configs: Sequence[ExperimentConfig]) -> None:
    """Raise ConfigError with the first field in which the configs differ, though it must be equal within a fleet."""
    joint = configs[0].joint
    may_differ = {"language"} if joint else FLEET_FIELDS
    for field in fields(ExperimentConfig):
        values = {getattr(config, field.name) for config in configs}
        if field.name not in may_differ and len(values) > 1:
            raise ConfigError(f"{field.name}: expected one value within a fleet, got {', '.join(map(str, values))}")

    if joint and sorted(config.language for config in configs) != list(configs[0].joint_languages):
        languages = ", ".join(config.language for config in configs)
        raise ConfigError(
            f"expected all languages of the joint training {joint} at once, got {languages}", field="language"
        )


def slots_of(runs: Sequence[Inputs]) -> list[int]:
    """Return the slot of each run."""
    return [0 if inputs.config.joint else number for number, inputs in enumerate(runs)]


def seeds_of(members: Sequence[Member]) -> list[int]:
    """Return the seed of each slot: that of its first run."""
    seeds: dict[int, int] = {}
    for member in members:
        seeds.setdefault(member.slot, member.config.seed)
    return [seeds[slot] for slot in sorted(seeds)]


def members_of(members: Sequence[Member], slot: int) -> list[Member]:
    """Return the runs of a slot."""
    return [member for member in members if member.slot == slot]


def remaining_of(runs: Sequence[Inputs], keep_pruned: bool = False, stoppers: Collection[str] = ()) -> list[Inputs]:
    """Return the runs to train: incomplete runs, or all runs of an interrupted fleet.

    With `keep_pruned`, runs that were pruned stay so, unless a run is new or was made with other
    data: then all compete again.
    """
    if runs[0].config.joint or state_of(runs).exists():
        return list(runs)

    incomplete = [inputs for inputs in runs if not is_complete(inputs, stoppers)]
    if not keep_pruned:
        return incomplete

    unfinished = [run for run in (find_run(inputs.config) for inputs in incomplete) if isinstance(run, UnfinishedRun)]
    if len(unfinished) < len(incomplete):
        return incomplete
    return [inputs for inputs, run in zip(incomplete, unfinished, strict=True) if run.status != "pruned"]


def is_complete(inputs: Inputs, stoppers: Collection[str] = ()) -> bool:
    """Return whether a run has a complete result on its present data; `stoppers` as in `complete_result`."""

    def present_hashes(config: ExperimentConfig) -> dict[str, Any]:
        return inputs.hashes

    return complete_result(inputs.config, present_hashes, stoppers) is not None


def state_of(runs: Sequence[Inputs]) -> Path:
    """Return the path of the saved state of runs, in this order, on this machine.

    Its name has a hash of config, data, split, images and towers.
    """
    identities: list[Any] = []
    for inputs in runs:
        towers = inputs.towers
        images = None
        if inputs.data.images is not None:
            images = [towers.image.fingerprint, inputs.data.image_index, inputs.image_fingerprints]
        data = encode(describe_data(inputs))
        identities.append([inputs.config.identity(), data, inputs.parts, towers.text.fingerprint, images])

    config = runs[0].config
    if config.processes > 1:
        identities.append(config.processes)

    run_ids = [inputs.config.run_id() for inputs in runs]
    return state_path(config.out, run_ids, sha256_json(identities), torch.get_num_threads())
