"""Engines: implementations of adapters, and what a config may ask of each. `adapters/engines` has their functions."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Engine:
    """One implementation of adapters.

    Args:
        has_slots: whether one adapter trains several runs, each in its slot.
        fits_shapes: whether an adapter can be put on a tower without values, as in a dry run.
        has_parts: whether parts such as a head are pecl's own, as the closed form and `start` need them.
    """

    has_slots: bool = False
    fits_shapes: bool = False
    has_parts: bool = False


ENGINES: dict[str, Engine] = {
    "pecl": Engine(has_slots=True, fits_shapes=True, has_parts=True),
    "opendelta": Engine(),
    "peft": Engine(has_parts=True),
}
