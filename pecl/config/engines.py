"""Engines: implementations of adapters. Their modules are imported on use, since configs need no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Engine:
    """One implementation of adapters. Its functions are named as `module:function`.

    Args:
        parser: `parse_adapter(spec, rank, layers)` returns the configs of a spec.
        attacher: `attach(tower, configs, seeds)` puts an adapter on a text tower, with one slot per
            seed, and returns it. It has the methods of `pecl.adapters.adapter.Adapter`.
        lister: `names()` returns the names that a part of a spec may have.
        has_slots: whether one adapter trains several runs, each in its slot.
        fits_shapes: whether an adapter can be put on a tower without values, as in a dry run.
        has_parts: whether parts such as a head are pecl's own, as the closed form and `start`
            need them.
    """

    parser: str
    attacher: str
    lister: str
    has_slots: bool = False
    fits_shapes: bool = False
    has_parts: bool = False

    @property
    def parse_adapter(self) -> Callable[..., Any]:
        """The function that reads a spec."""
        return _load(self.parser)

    @property
    def attach(self) -> Callable[..., Any]:
        """The function that puts configs on a tower."""
        return _load(self.attacher)

    @property
    def names(self) -> Callable[[], list[str]]:
        """The function that returns the names of parts."""
        return _load(self.lister)


def _load(target: str) -> Callable[..., Any]:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


_SPEC = "pecl.adapters.spec:parse_adapter"
_ATTACH = "pecl.adapters.adapter:attach"  # chooses the adapter's class by the kinds of its parts
_NAMES = "pecl.adapters.spec:part_names"
ENGINES: dict[str, Engine] = {
    "pecl": Engine(_SPEC, _ATTACH, _NAMES, has_slots=True, fits_shapes=True, has_parts=True),
    "opendelta": Engine(_SPEC, "pecl.adapters.opendelta:OpenDeltaAdapter", "pecl.adapters.opendelta:kind_names"),
    "peft": Engine(
        "pecl.adapters.peft.spec:parse_adapter", _ATTACH, "pecl.adapters.peft.methods:method_names", has_parts=True
    ),
}
