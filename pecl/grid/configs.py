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
from pecl.results.result import Result

AUTO_FLEET = "auto"
_LARGEST = 16  # maximum runs of an automatic fleet
_ALIKE = fields_of(Role.MACHINE | Role.REPORTED)  # one value for all runs
_MOST = 100_000  # maximum combinations of a grid


def expand(values: Mapping[str, Any], where: str = "grid") -> list[ExperimentConfig]:
    """Return one config per combination of the values that are lists; the last key varies fastest.

    Runs with equal run ids are merged, such as alignment weights on a route without alignment.

    Raises:
        ConfigError: an unknown key, a wrong value or an empty list, found before any run begins.
    """
    names = list(values)
    choices = [value if isinstance(value, list) else [value] for value in values.values()]
    for name, among in zip(names, choices, strict=True):
        if not among:
            raise ConfigError(f"{where}: {name}: an empty list, expected one value or more")
        if len(among) > 1 and name in _ALIKE:
            raise ConfigError(f"{where}: {name}: expected one value, since it distinguishes no runs, got {len(among)}")
    if (count := math.prod(map(len, choices))) > _MOST:
        raise ConfigError(f"{where}: expected lists with at most {_MOST:,} combinations, got {quoted(count)}")
    products = (dict(zip(names, chosen, strict=True)) for chosen in itertools.product(*choices))
    configs = [make_config(one, where) for product in products for one in each_language(product)]
    first = {(config.run_id(), config.out): config for config in reversed(configs)}  # the first of equals
    return list(first.values())[::-1]


def repeat_configs(results: Sequence[Result], values: Mapping[str, Any]) -> list[ExperimentConfig]:
    """Return the configs of `results` with other `values` (lists are expanded), such as further seeds."""
    configs = [config for result in results for config in expand({**result.config.to_dict(), **values})]
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
        raise ConfigError(f"fleet: expected a whole number >= 1, or auto, got {size}")
    joint: dict[ExperimentConfig, list[ExperimentConfig]] = {}
    for config in (config for config in configs if config.joint):
        joint.setdefault(replace(config, language=config.joint_languages[0]), []).append(config)
    yield from joint.values()
    shared = [item.name for item in fields(ExperimentConfig) if item.name not in FLEET_FIELDS]
    alike: dict[tuple[Any, ...], list[ExperimentConfig]] = {}
    for config in (config for config in configs if not config.joint):
        alike.setdefault(tuple(getattr(config, name) for name in shared), []).append(config)
    for group in alike.values():
        most = min(_LARGEST, -(-len(group) // jobs)) if str(size) == AUTO_FLEET else int(size)
        if str(size) == AUTO_FLEET and not ENGINES[group[0].engine].has_slots:
            most = 1
        yield from (group[start : start + most] for start in range(0, len(group), most))
