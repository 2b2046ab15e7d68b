"""`--start`: begin a training with the parameters of an adapter file."""

from collections.abc import Mapping
from typing import Any

from pecl.adapters.adapter import Adapter
from pecl.adapters.formats.files import load_adapter_file
from pecl.adapters.spec import describe
from pecl.errors import ConfigError
from pecl.experiment.text_tower import has_no_values


def with_adapter_of_start(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of a config, with the adapter of the start file where they name one and no adapter.

    Raises:
        DataError, WeightsError: as `load_adapter_file`.
    """
    start = values.get("start")
    if not isinstance(start, str) or "adapter" in values:
        return dict(values)
    return {**values, "adapter": describe(load_adapter_file(start).configs)}


def start_slots(adapter: Adapter, path: str) -> None:
    """Give every slot the parameters of an adapter file.

    Raises:
        ConfigError: the file has another configuration.
        DataError: the result next to it is damaged.
        WeightsError: it cannot be read, does not match the result next to it, or cannot be used on this tower.
    """
    file = load_adapter_file(path, None if has_no_values(adapter.tower) else adapter.tower)
    if file.configs != tuple(adapter.configs):
        raise ConfigError(
            f'start: expected an adapter "{describe(adapter.configs)}", got {path} with "{describe(file.configs)}"'
        )
    adapter.check_state(file.state)
    for slot in range(adapter.num_slots):
        adapter.put_slot_state(slot, file.state)
