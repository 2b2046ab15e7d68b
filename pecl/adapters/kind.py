"""A kind of adapter: its options, and the places of its slot modules in a text tower's backbone, by role.

A new kind is one small file in `kinds/`: a frozen `AdapterConfig` with `placements`, and a `SlotModule`. `spec` lists
it, or `register_adapter` registers it. It names modules by role (`query`, `attention_output`, ...), so it works on
towers of every family; `encoders/families` maps roles to modules. A regular expression names linear layers by path
instead, as in PEFT; this also works for encoders of no known family.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

from torch import nn

from pecl.adapters.slots import SlotModule, SlotRows
from pecl.encoders.families import FAMILIES, TextFamily
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError, WeightsError, unknown
from pecl.options import TOP_LAYERS, format_option, is_path, is_pattern, option, problems_of, quoted

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LINEAR_ROLES = ("query", "key", "value", "attention_output", "intermediate", "output")
NORM_ROLES = ("attention_norm", "output_norm")
# Functions between two layers, by their names in transformers. They have no state, so one of each serves all.
ACTIVATIONS: dict[str, nn.Module] = {
    "gelu": nn.GELU(),
    "gelu_new": nn.GELU(approximate="tanh"),
    "relu": nn.ReLU(),
    "silu": nn.SiLU(),
    "tanh": nn.Tanh(),
}
# Levels: modules that replace a layer, change its bias or weight, follow it, or lengthen the sequence.
COPY_OF_LAYER, BIAS_OF_LAYER, WEIGHT_OF_LAYER, BEHIND_LAYER, SOFT_PROMPT = range(5)


def layers_option() -> Any:
    """Return the option `layers` for a kind that adapts the layers of the tower."""
    return option(None, "layers that are adapted: top-K, the K topmost (default: all)", form=TOP_LAYERS)


def height_of(layers: str | None) -> float:
    """Return K of an option `layers` = `top-K`; infinity for None, which means all layers."""
    return math.inf if layers is None else int(layers.removeprefix("top-"))


class Placement(NamedTuple):
    """One slot module to be made: its place in the tower, and the function that makes it from the layer there."""

    path: str
    make: Callable[[Any, SlotRows], SlotModule]


@dataclass(frozen=True)
class AdapterConfig(ABC):
    """Options of an adapter of one kind, checked when created. Frozen: `dataclasses.replace` makes a changed copy.

    Attributes:
        kind: name of the kind.
        level: at one layer, adapters of lower levels lie nearer to the tower's own layer.
        layers: an option of kinds that adapt layers: which of the topmost ones (`top-K`); None for all.
        lr_scale: the trainer multiplies the learning rate of the adapter's parameters by this.
        has_slots: whether an adapter of this kind can have several slots.

    Raises:
        ConfigError: options have wrong types or values; all problems are reported at once.
    """

    kind: ClassVar[str]
    level: ClassVar[int] = BEHIND_LAYER
    # Not annotated: an annotation would make `layers` the first option of every kind
    layers = cast("str | None", None)
    lr_scale: ClassVar[float] = 1.0
    has_slots: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if problems := problems_of(self):
            raise ConfigError("; ".join(problem.keyed for problem in problems), place=self.kind)

    @property
    def name(self) -> str:
        """The name of this part of a spec."""
        return self.kind

    def given(self) -> dict[str, str]:
        """Return the options that differ from their defaults, as text of a spec."""
        options = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                options[field.name] = format_option(value)
        return options

    def module_names(self) -> Iterator[tuple[str, ...]]:
        """Yield the roles, paths or regular expression of each option that names modules."""
        yield from (value for value in vars(self).values() if isinstance(value, tuple))

    def literal(self, tower: MultilingualTextEncoder) -> AdapterConfig:
        """Return the config with paths of layers in place of regular expressions, which no adapter file may hold.

        A regular expression from somebody else can run for hours, so only those of a spec are used.
        """
        changed: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, tuple) and is_pattern(value):
                changed[name] = tuple(f"backbone.{path}" for path in self.layer_paths(tower, value))
                if not changed[name]:
                    expected = f"expected layers with {value[0]} in the text tower {tower.name!r}"
                    raise ConfigError(f'{self.kind}: layers: {expected}, got "{self.layers}"')
        return replace(self, **changed) if changed else self

    def summary(self) -> str:
        """Return what the kind does, in one sentence."""
        return (type(self).__doc__ or "").partition("\n")[0]

    def explained(self) -> list[tuple[str, str]]:
        """Return each option with its value, as text of a spec, and its help."""
        options = []
        for field in fields(self):
            text = f"{field.name}={format_option(getattr(self, field.name))}"
            options.append((text, field.metadata["help"]))
        return options

    @abstractmethod
    def placements(self, tower: MultilingualTextEncoder) -> list[Placement]:
        """Return the slot modules that the adapter puts on `tower`, in a fixed order."""

    def at_roles(
        self, tower: MultilingualTextEncoder, roles: Sequence[str], make: Callable[[Any, SlotRows], SlotModule]
    ) -> list[Placement]:
        """Return a placement for each of `layer_paths`."""
        return [Placement(f"backbone.{path}", make) for path in self.layer_paths(tower, roles)]

    def layer_paths(self, tower: MultilingualTextEncoder, roles: Sequence[str]) -> list[str]:
        """Return the paths in the backbone of the modules with one of `roles`, in the layers that are adapted."""
        backbone = tower.backbone
        paths = [path for role in roles for path in paths_of(backbone, role)]
        if self.layers is None:
            return paths

        count = len(architecture_of(backbone).layers_of(backbone))
        if height_of(self.layers) > count:
            raise ConfigError(
                f"{self.kind}: layers: expected top-1 to top-{count} in the text tower {tower.name!r}, "
                f'got "{self.layers}"'
            )

        lowest = count - height_of(self.layers)
        return [path for path in paths if layer_of(backbone, f"backbone.{path}") >= lowest]


def architecture_of(backbone: PreTrainedModel) -> TextFamily:
    """Return the family of `backbone`. Raise WeightsError with the known families for another architecture."""
    model_type = backbone.config.model_type
    if model_type not in FAMILIES:
        raise WeightsError(
            f"adapters do not fit this backbone: {unknown('architecture', model_type, FAMILIES)}; in another, a "
            "regular expression as target_modules names the layers"
        )
    return FAMILIES[model_type]


def paths_of(backbone: PreTrainedModel, role: str) -> list[str]:
    """Return the paths within a plain `backbone` of the modules with `role`: one for each layer, or only one.

    A role may also be the path of a linear layer in the tower, or a regular expression that matches the whole path in
    the backbone of each linear layer. Raise ConfigError if there is none, WeightsError for a role that the family
    lacks.
    """
    if is_path(role) or is_pattern((role,)):
        return _paths_that_match(backbone, role.removeprefix("backbone."))

    family = architecture_of(backbone)
    if role in family.at_top:
        return [family.at_top[role]]

    if role not in family.in_layer:
        choices = [*family.in_layer, *family.at_top]
        raise WeightsError(f"{backbone.config.model_type} has no such module: {unknown('role', role, choices)}")
    count = len(family.layers_of(backbone))
    return [f"{family.layers}.{i}.{family.in_layer[role]}" for i in range(count)]


def _paths_that_match(backbone: PreTrainedModel, pattern: str) -> list[str]:
    linear_paths = [path for path, module in backbone.named_modules() if isinstance(module, nn.Linear)]
    if pattern in linear_paths:
        return [pattern]

    paths = [path for path in linear_paths if is_pattern((pattern,)) and re.fullmatch(pattern, path)]
    if not paths:
        raise ConfigError(
            f"target_modules: expected paths or a regular expression of linear layers such as {linear_paths[0]}, got "
            f"{quoted(pattern)}, which matches none"
        )
    return paths


def layer_of(backbone: PreTrainedModel, path: str) -> int:
    """Return the lowest layer that depends on the module at `path` in the text tower.

    That is its own layer, from 0; the first for embeddings; the number of layers for modules after the layers. It is 0
    for all modules of an unknown architecture.
    """
    family = FAMILIES.get(backbone.config.model_type)
    if family is None:
        return 0

    layer = re.match(rf"backbone\.{re.escape(family.layers)}\.(\d+)\.", path)
    if layer:
        return int(layer[1])
    return len(family.layers_of(backbone)) if path.startswith(("head", "backbone.pooler.")) else 0
