"""The functions of an engine by its name; those of OpenDelta and PEFT are imported on use."""

from collections.abc import Sequence

from pecl.adapters import adapter, spec
from pecl.adapters.kind import AdapterConfig
from pecl.encoders.text import MultilingualTextEncoder


def parse_adapter(
    engine: str, text: str, rank: int | None = None, layers: str | None = None
) -> tuple[AdapterConfig, ...]:
    """Return the configs of an adapter's spec, as `engine` reads it; see `spec.parse_adapter`."""
    if engine == "peft":
        from pecl.adapters.peft.spec import parse_adapter as parse

        return parse(text, rank, layers)
    return spec.parse_adapter(text, rank, layers)


def attach(
    engine: str, tower: MultilingualTextEncoder, configs: Sequence[AdapterConfig], seeds: Sequence[int]
) -> adapter.Adapter:
    """Put an adapter on a text tower, with one slot per seed, and return it; see `adapter.attach`."""
    if engine == "opendelta":
        from pecl.adapters.opendelta import OpenDeltaAdapter

        return OpenDeltaAdapter(tower, configs, seeds=seeds)
    return adapter.attach(tower, configs, seeds=seeds)  # chooses the class by the kinds of the parts


def names(engine: str) -> list[str]:
    """Return the names that a part of a spec may have."""
    if engine == "peft":
        from pecl.adapters.peft.methods import method_names

        return method_names()
    if engine == "opendelta":
        from pecl.adapters.opendelta import kind_names

        return kind_names()
    return spec.part_names()
