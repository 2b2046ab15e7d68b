"""`PeftMethod`: one of PEFT's methods and its options, as a config that an adapter file can hold.

PEFT itself is needed to read a spec (`spec`) and to put a method on a tower (`adapter`), not to read a file's header.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from pecl.adapters.adapter import attach
from pecl.adapters.kind import NORM_ROLES, AdapterConfig, Placement, layers_option
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError
from pecl.options import format_option, option

WORDS = "word_embeddings"  # the role of the tower's word embeddings
TOKENS = "tokens"  # option of trainable_tokens: how many of the most frequent tokens of the training text it trains
DEFAULT_TOKENS = 512
# Options of PEFT whose values are roles here, and paths of modules in PEFT
ROLES = ("target_modules", "feedforward_modules", "modules_to_save")
# The roles that a method changes unless its options name others
_DEFAULT_ROLES: dict[str, dict[str, tuple[str, ...]]] = {
    "ia3": {"target_modules": ("key", "value", "output"), "feedforward_modules": ("output",)},
    "ln_tuning": {"target_modules": NORM_ROLES},
    "trainable_tokens": {"target_modules": (WORDS,)},
}
_OTHER_ROLES = {"target_modules": ("query", "value")}
# Options that divide the widths of all layers; without a value they are the largest divisor of PEFT's own default
DIVISORS = {"c3a": "block_size", "road": "group_size", "vblora": "vector_length"}


@dataclass(frozen=True)
class PeftMethod(AdapterConfig):
    """A method of PEFT on the linear layers of the encoder.

    `options` are those of PEFT's config class that were given, as JSON. Modules are named by roles, as in pecl's kinds.
    """

    kind: ClassVar[str] = "peft"
    has_slots: ClassVar[bool] = False
    method: str = option("lora", "method, as PEFT names it")
    options: str = option("{}", "options of PEFT's config of the method, as JSON")
    layers: str | None = layers_option()

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            is_object = isinstance(json.loads(self.options), dict)
        except ValueError:
            is_object = False
        if not is_object:
            raise ConfigError(f"{self.method}: options: expected a JSON object, got {self.options!r:.200}")

    @property
    def name(self) -> str:
        """The name of this part of a spec."""
        return self.method

    @property
    def values(self) -> dict[str, Any]:
        """The options that were given."""
        return json.loads(self.options)

    @property
    def trains_words(self) -> bool:
        """Whether rows of the tower's word embeddings are trained."""
        return any(WORDS in roles for roles in self.roles().values())

    def roles(self) -> dict[str, tuple[str, ...]]:
        """Return the roles of each option in `ROLES` that has some."""
        given = {name: tuple(value) for name, value in self.values.items() if name in ROLES and value}
        roles = {**_DEFAULT_ROLES.get(self.method, _OTHER_ROLES), **given}
        if "feedforward_modules" in roles and "feedforward_modules" not in given:
            among = [role for role in roles["feedforward_modules"] if role in roles["target_modules"]]
            roles["feedforward_modules"] = tuple(among)
        return roles

    def given(self) -> dict[str, str]:
        """Return the options that were given, as text of a spec."""
        layers = {} if self.layers is None else {"layers": self.layers}
        return {name: _text(value) for name, value in self.values.items()} | layers

    def placements(self, tower: MultilingualTextEncoder) -> list[Placement]:
        """Return no slot modules: PEFT makes the modules."""
        return []

    def write(
        self,
        folder: Path,
        state: Mapping[str, torch.Tensor],
        configs: Sequence[AdapterConfig],
        tower: MultilingualTextEncoder,
        base: str | None,
    ) -> Path:
        """Write PEFT's files of an adapter with this method; see `formats.peft.write_peft`."""
        adapter: Any = attach(tower, configs)
        try:
            adapter.load_slot_state(0, state)
            adapter.write_folder(folder, base)
        finally:
            adapter.remove()
        return folder

    def paths(self, tower: MultilingualTextEncoder) -> dict[str, list[str]]:
        """Return the paths in the plain backbone of the modules of each option in `ROLES`."""
        return {name: self.layer_paths(tower, roles) for name, roles in self.roles().items()}


def to_options(values: Mapping[str, Any]) -> str:
    """Return options as the JSON of a `PeftMethod`."""
    return json.dumps(values, ensure_ascii=False, sort_keys=True)


def _text(value: Any) -> str:
    """Return the value of an option as text of a spec."""
    if isinstance(value, dict):
        return json.dumps(json.dumps(value, ensure_ascii=False), ensure_ascii=False)
    if isinstance(value, list):
        return format_option(tuple(map(str, value)))
    return format_option(value)
