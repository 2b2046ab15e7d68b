"""`PeftMethod`: one of PEFT's methods and its options, as a config that an adapter file can hold.

PEFT itself is needed to read a spec (`spec`) and to put a method on a tower (`adapter`), not to read a file's header.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import torch

from pecl.adapters.adapter import attach
from pecl.adapters.kind import NORM_ROLES, AdapterConfig, Placement, layers_option
from pecl.adapters.peft.methods import config_class_of
from pecl.adapters.peft.options import DIVISORS, ROLES, TOKENS, WORDS, check_options, option_helps
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError
from pecl.files import parse_json
from pecl.options import format_option, is_pattern, option, quoted

DEFAULT_TOKENS = 512
# The roles that a method changes unless its options name others
_DEFAULT_ROLES: dict[str, dict[str, tuple[str, ...]]] = {
    "ia3": {"target_modules": ("key", "value", "output"), "feedforward_modules": ("output",)},
    "ln_tuning": {"target_modules": NORM_ROLES},
    "trainable_tokens": {"target_modules": (WORDS,)},
}
_OTHER_ROLES = {"target_modules": ("query", "value")}


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
            is_object = isinstance(parse_json(self.options), dict)
        except ValueError:
            is_object = False
        if not is_object:
            raise ConfigError(f"{self.method}: options: expected a JSON object, got {self.options!r:.200}")

        # A text would be taken for the list of its letters
        for name in ROLES:
            names = self.values.get(name)
            if names is not None and not (isinstance(names, list) and all(isinstance(path, str) for path in names)):
                raise ConfigError(f"{self.method}: {name}: expected names of modules, got {quoted(names)}")

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
        values = self.values
        explicit_roles = {name: tuple(value) for name, value in values.items() if name in ROLES and value}
        if values.get("feedforward_modules", True) is None:  # none of the modules, not PEFT's default
            explicit_roles["feedforward_modules"] = ()
        roles = {**_DEFAULT_ROLES.get(self.method, _OTHER_ROLES), **explicit_roles}
        if "feedforward_modules" in roles and "feedforward_modules" not in explicit_roles:
            among = [role for role in roles["feedforward_modules"] if role in roles["target_modules"]]
            roles["feedforward_modules"] = tuple(among)
        return roles

    def module_names(self) -> Iterator[tuple[str, ...]]:
        """Yield the roles, paths or regular expression of each option that names modules."""
        values = self.values
        yield from (tuple(map(str, values[option])) for option in ROLES if values.get(option))

    def literal(self, tower: MultilingualTextEncoder) -> "PeftMethod":
        """Return the method with paths of layers in place of regular expressions; see `AdapterConfig.literal`."""
        values = self.values
        patterns = [name for name in ROLES if values.get(name) and is_pattern(tuple(values[name]))]
        for name in patterns:
            values[name] = [f"backbone.{path}" for path in self.layer_paths(tower, values[name])]
        return replace(self, options=to_options(values)) if patterns else self

    def given(self) -> dict[str, str]:
        """Return the options that were given, as text of a spec."""
        layers = {} if self.layers is None else {"layers": self.layers}
        return {name: _text(value) for name, value in self.values.items()} | layers

    def summary(self) -> str:
        """Return the modules that the method changes."""
        return f"PEFT's {self.method}, at {', '.join(self.roles()['target_modules'])}"

    def explained(self) -> list[tuple[str, str]]:
        """Return the options as text, with PEFT's help of each; only those that were given where PEFT is missing."""
        options = self.given()
        try:
            helps = option_helps(self.method)
        except ConfigError:
            helps = dict.fromkeys(options, ("", ""))
        return [(f"{name}={options.get(name, default)}", help) for name, (default, help) in helps.items()]

    def placements(self, tower: MultilingualTextEncoder) -> list[Placement]:
        """Return no slot modules: PEFT makes the modules."""
        return []

    def write(
        self,
        folder: Path,
        state: Mapping[str, torch.Tensor],
        tower: MultilingualTextEncoder,
        base: str | None,
    ) -> Path:
        """Write PEFT's files of an adapter of this method alone; see `formats.peft.write_peft`."""
        adapter: Any = attach(tower, self)
        try:
            adapter.load_slot_state(0, state)
            adapter.write_folder(folder, base)
        finally:
            adapter.remove()
        return folder

    def paths(self, tower: MultilingualTextEncoder) -> dict[str, list[str]]:
        """Return the paths in the plain backbone of the modules of each option in `ROLES`.

        Raise ConfigError if there is no module to change, since all lie below the layers that are adapted.
        """
        roles_of_options = self.roles()
        paths = {name: self.layer_paths(tower, roles) for name, roles in roles_of_options.items()}
        if not paths["target_modules"]:
            roles = ", ".join(roles_of_options["target_modules"])
            raise ConfigError(
                f"{self.method}: layers: expected layers with {roles} in the text tower {tower.name!r}, "
                f'got "{self.layers}"'
            )
        return paths


def options_on(method: PeftMethod, paths: Mapping[str, list[str]], backbone: Any) -> dict[str, Any]:
    """Return the options of PEFT's config for an encoder, with `paths` of modules and the values that pecl fills in.

    Raise ConfigError for an option that no spec could have, see `options`: a file may hold anything.
    """
    check_options(method.method, method.values)
    values: dict[str, Any] = {**method.values, **paths}
    modules = [backbone.get_submodule(path) for path in paths["target_modules"]]
    tokens = values.pop(TOKENS, DEFAULT_TOKENS)

    if method.method == "trainable_tokens":
        words = min(module.num_embeddings for module in modules)
        values.setdefault("token_indices", list(range(min(tokens, words))))
    name = DIVISORS.get(method.method)
    if name is not None and name not in values:
        default: Any = next(field.default for field in fields(config_class_of(method.method)) if field.name == name)
        widths = {width for module in modules for width in (module.in_features, module.out_features)}
        values[name] = math.gcd(default, *widths)
    return values


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
