"""`--start`: begin a training with the parameters of an adapter file."""

from collections.abc import Sequence

from pecl.adapters.adapter import Adapter
from pecl.adapters.formats.files import AdapterFile, load_adapter_file
from pecl.adapters.kind import AdapterConfig
from pecl.adapters.spec import describe
from pecl.config import ExperimentConfig
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError
from pecl.experiment.closed_form import HeadSolver
from pecl.experiment.shape import has_no_values


def check_start(adapter: Adapter, config: ExperimentConfig) -> None:
    """Refuse a closed form or a start file that does not fit the adapter.

    Raises:
        ConfigError: the adapter has no head, or the file has another configuration.
        WeightsError: the file cannot be used on this tower.
    """
    if "closed-form" in config.solvers:
        HeadSolver(adapter, (), ())
    if config.start is not None:
        start_slots(adapter, config.start)


def start_slots(adapter: Adapter, path: str) -> None:
    """Give every slot the parameters of an adapter file.

    Raises:
        ConfigError: the file has another configuration.
        WeightsError: the file cannot be used on this tower.
    """
    file = start_file(path, adapter.configs, None if has_no_values(adapter.tower) else adapter.tower)
    adapter.check_state(file.state)
    for slot in range(adapter.num_slots):
        adapter.load_slot_state(slot, file.state)


def start_file(
    path: str, configs: Sequence[AdapterConfig], tower: MultilingualTextEncoder | None = None
) -> AdapterFile:
    """Return the adapter file that a training starts from.

    Raises:
        ConfigError: its configuration is not `configs`.
        DataError: the result next to it is damaged.
        WeightsError: it cannot be read, does not match the result next to it, or cannot be used on `tower`.
    """
    file = load_adapter_file(path, tower)
    if file.configs != tuple(configs):
        raise ConfigError(
            f'start: expected an adapter "{describe(configs)}", got {path} with "{describe(file.configs)}"'
        )
    return file
