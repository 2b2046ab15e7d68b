"""The runs of a grid: lists in a config are expanded to their product, and grouped into fleets.

Runs are trained in *fleets*: runs that differ only in `FLEET_FIELDS` share one pass over the frozen tower. The grouping
depends on the whole grid, never on complete results, so a killed and restarted grid gives the same bits.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from pecl.config import ENGINES, FLEET_FIELDS, ExperimentConfig, Role, each_language, fields_of, make_config
from pecl.errors import ConfigError
from pecl.options import quoted
from pecl.results.result import TrainingResult

AUTO_FLEET = "auto"
_LARGEST_FLEET = 16  # maximum runs of an automatic fleet
_SINGLE_VALUED = fields_of(Role.MACHINE | Role.REPORTED)  # one value for all runs
_MAX_COMBINATIONS = 100_000


def expand(values: Mapping[str, Any], where: str | None = "grid") -> list[ExperimentConfig]:
    """Return one config per combination of the values that are lists; the last key varies fastest.

    Runs with equal run ids are merged, such as alignment weights on a route without alignment.

    Raises:
        ConfigError: an unknown key, a wrong value or an empty list, found before any run begins.
    """
    choices = {name: value if isinstance(value, list) else [value] for name, value in values.items()}
    for name, choice in choices.items():
        if not choice:
            raise ConfigError("an empty list, expected one value or more", field=name, place=where)
        if len(choice) > 1 and name in _SINGLE_VALUED:
            raise ConfigError(
                f"expected one value, since it distinguishes no runs, got {len(choice)}", field=name, place=where
            )

    count = math.prod(map(len, choices.values()))
    if count > _MAX_COMBINATIONS:
        raise ConfigError(
            f"expected lists with at most {_MAX_COMBINATIONS:,} combinations, got {quoted(count)}", place=where
        )

    configs = []
    for combination in itertools.product(*choices.values()):
        product = dict(zip(choices, combination, strict=True))
        configs += [make_config(language_values, where) for language_values in each_language(product)]
    first_of_equals = {(config.run_id(), config.out): config for config in reversed(configs)}
    return list(first_of_equals.values())[::-1]


def repeat_configs(results: Sequence[TrainingResult], values: Mapping[str, Any]) -> list[ExperimentConfig]:
    """Return the configs of `results` with other `values` (lists are expanded), such as further seeds.

    They lie in the folder of their result, unless `values` have another. A joint training is repeated with all its
    languages.
    """
    configs: list[ExperimentConfig] = []
    for result in results:
        for config in expand({**result.config.to_dict(), "out": str(result.folder), **values}):
            languages = config.joint_languages if config.joint else (config.language,)
            configs += [replace(config, language=language) for language in languages]
    return list({(config.run_id(), config.out): config for config in configs}.values())


def fleets(
    configs: Sequence[ExperimentConfig], size: int | str = AUTO_FLEET, jobs: int = 1
) -> Iterator[list[ExperimentConfig]]:
    """Yield the runs in groups that can be trained together, in order of their first runs.

    The languages of a joint training are one group, whatever `size`; such groups come first. Other groups have at most
    `size` runs; "auto" is up to 16, with at least as many groups as `jobs`. Training divides an automatic group further
    if it does not fit into memory.

    Raises:
        ConfigError: `size` is below 1, or no number.
    """
    if str(size) != AUTO_FLEET and not (str(size).isdecimal() and int(size) >= 1):
        raise ConfigError(f"expected a whole number >= 1, or auto, got {size}", field="fleet")

    joint_groups: dict[ExperimentConfig, list[ExperimentConfig]] = {}
    groups: dict[tuple[Any, ...], list[ExperimentConfig]] = {}
    shared_fields = [field.name for field in fields(ExperimentConfig) if field.name not in FLEET_FIELDS]
    for config in configs:
        if config.joint:
            joint_groups.setdefault(replace(config, language=config.joint_languages[0]), []).append(config)
        else:
            groups.setdefault(tuple(getattr(config, name) for name in shared_fields), []).append(config)

    yield from joint_groups.values()
    for group in groups.values():
        fleet_size = _automatic_size(group, jobs) if str(size) == AUTO_FLEET else int(size)
        for start in range(0, len(group), fleet_size):
            yield group[start : start + fleet_size]


def _automatic_size(group: Sequence[ExperimentConfig], jobs: int) -> int:
    """Return the size of the fleets of runs that can be trained together."""
    if not ENGINES[group[0].engine].has_slots:
        return 1
    return min(_LARGEST_FLEET, math.ceil(len(group) / jobs))
