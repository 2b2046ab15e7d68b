"""Names of the kinds of adapters, and combinations as text: `lora`, `lora:r=4+head`, `soft_prompt:pool_prompt=false`.

Parts are joined by `+`; a part is a name, or `name:option=value,option=value`. A tuple is written a/b/c, and text that
has one of , + = / : in it is put in double quotes: `soft_prompt:init_text="Language: "`. So is a regular expression of
`target_modules`, where a backslash is written twice: `lora-only:target_modules=".*[.]fc[12]"`. Files hold the paths of
the layers instead, as in `lora-only:target_modules=backbone.encoder.layer.0.fc1/backbone.encoder.layer.0.fc2`.

`lora`, `bottleneck` and `compacter` train the LayerNorms of their layers too, as the method's release does; `lora-only`
(and so on) does not. `PRESETS` are names for longer specs.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from typing import Any, cast

from pecl.adapters.kind import AdapterConfig, height_of
from pecl.adapters.kinds.layer_norm import LayerNormConfig
from pecl.errors import ConfigError, unknown
from pecl.options import Registry, is_pattern, parse_option, quoted, split_unquoted, unquote, value_type

# Configs are listed in this order, however a spec orders its parts.
_BUILT_IN = {
    "lora": "lora:LoraConfig",
    "bottleneck": "bottleneck:BottleneckConfig",
    "compacter": "compacter:CompacterConfig",
    "word_embeddings": "word_embeddings:WordEmbeddingsConfig",
    "soft_prompt": "soft_prompt:SoftPromptConfig",
    "prefix": "prefix:PrefixConfig",
    "layernorm": "layer_norm:LayerNormConfig",
    "bitfit": "bitfit:BitFitConfig",
    "head": "head:HeadConfig",
    "pooler": "head:PoolerConfig",
    "full": "full:FullConfig",
}
KINDS = Registry("adapter", {kind: f"pecl.adapters.kinds.{path}" for kind, path in _BUILT_IN.items()})
# Kinds that the specs of another engine name, and the class of an adapter that has a part of such a kind
OF_ENGINES = Registry("adapter", {"peft": "pecl.adapters.peft.method:PeftMethod"})
ADAPTER_CLASSES = Registry("adapter", {"peft": "pecl.adapters.peft.adapter:PeftAdapter"})
WITH_LAYER_NORMS = ("lora", "bottleneck", "compacter")

PRESETS: dict[str, str] = {
    "lora-r1": "lora:r=1",
    "lora-qkvo": "lora:target_modules=query/key/value/attention_output",
    # trained by the released run_cross.py: 2,131,712 parameters in XLM-R Large, 1,049,600 of them an unused pooler's
    "run_cross": "lora:r=1,target_modules=query/key/value/attention_output+head+pooler",
}


def register_adapter(config_class: Any = None, *, replace: bool = False) -> Any:
    """Make an `AdapterConfig` subclass an adapter that specs and configs can name: `adapter="ia3"`, or `"ia3+head"`.

    A decorator. The class is a frozen dataclass; its `kind` is its name, its options are made with `option`, and its
    `placements` put its `SlotModule` on layers.

    In a plug-in (`--plugin my.py`, `pecl.load_plugin`), the name is registered in the workers of a grid, too, and
    results record the SHA-256 of the file. An adapter registered elsewhere exists only in this process, and results
    record a digest of its file, see `pecl.config.code_digest`. Either way, a run of changed code is trained again.

    Args:
        config_class: the subclass.
        replace: take the place of an adapter that was registered under this name before, as when a notebook's cell is
            run again.

    Raises:
        ConfigError: it is not such a class, an option has no default, or its `kind` is taken already or has characters
            other than letters, digits and underscores.

    Example:
        >>> @register_adapter
        ... @dataclass(frozen=True)
        ... class Ia3Config(AdapterConfig):
        ...     kind = "ia3"
        ...     def placements(self, tower):
        ...         return self.at_roles(tower, ("key", "value"), SlotScale)
    """
    if config_class is None:
        return lambda decorated: register_adapter(decorated, replace=replace)
    if not (isinstance(config_class, type) and issubclass(config_class, AdapterConfig) and is_dataclass(config_class)):
        raise ConfigError(f"adapter: expected a frozen dataclass derived from AdapterConfig, got {config_class!r}")
    kind = cast(Any, getattr(config_class, "kind", None))
    try:
        config_class()
    except TypeError as error:
        raise ConfigError(f"adapter: expected {quoted(kind)} to be made without arguments: {error}") from error
    if kind in PRESETS:
        raise ConfigError(f'adapter: "{kind}" is built in: choose another name')
    KINDS.add(kind, config_class, replace=replace)
    return config_class


def part_names() -> list[str]:
    """Return every name that a part of a spec may have."""
    return [*KINDS, *(f"{kind}-only" for kind in WITH_LAYER_NORMS), *PRESETS]


def split_specs(text: str) -> list[str]:
    """Return the specs that commas join in `text`. A part that begins with `option=` continues the spec before it.

    Example:
        >>> split_specs("lora:r=4,layers=top-3+head,vera:r=64,boft")
        ['lora:r=4,layers=top-3+head', 'vera:r=64', 'boft']
    """
    specs: list[str] = []
    for part in split_unquoted(text, ","):
        if specs and re.match(r"\s*\w+=", part):
            specs[-1] += f",{part}"
        else:
            specs.append(part)
    return specs


def parse_adapter(spec: str, rank: int | None = None, layers: str | None = None) -> tuple[AdapterConfig, ...]:
    """Return the configs that `spec` names, in the order of `KINDS`.

    Args:
        spec: for example `lora`, `bottleneck:bottleneck_dim=48` or `lora-r1+head`.
        rank: r of the LoRA part instead of its own.
        layers: topmost layers, such as `top-3`, for every part that adapts layers, instead of its own.

    Raises:
        ConfigError: an unknown name, option or value (the valid ones are named), a kind given twice, or `rank`
            or `layers` if no part has them.

    Example:
        >>> parse_adapter("lora-only:r=4")
        (LoraConfig(r=4, lora_alpha=16.0, lora_dropout=0.0, target_modules=('query', 'value'), layers=None),)
    """
    explicit: dict[str, AdapterConfig] = {}
    bringing: list[AdapterConfig] = []
    for part in split_unquoted(spec, "+"):
        for config, brings_norms in parse_part(part):
            if config.kind in explicit:
                raise ConfigError(
                    f"expected each part once, got {config.kind} twice in {quoted(spec)}", field="adapter"
                )
            explicit[config.kind] = config
            if brings_norms:
                bringing.append(config)
    implied = {LayerNormConfig.kind: _norms_beside(bringing)} if bringing else {}
    configs = implied | explicit  # an explicit `layernorm` part replaces the one that `lora` brings

    if rank is not None:
        if "lora" not in configs:
            expected = "expected an adapter with lora, which has a rank"
            raise ConfigError(f"{expected}, got rank {rank} with {quoted(spec)}", field="rank")
        configs["lora"] = replace(configs["lora"], r=rank)

    if layers is not None:
        has_layers = [kind for kind, config_class in KINDS.items() if "layers" in _option_names(config_class)]
        if configs.keys().isdisjoint(has_layers):
            expected = f"expected an adapter with one of {', '.join(has_layers)}"
            raise ConfigError(f"{expected}, got {layers} with {quoted(spec)}", field="adapter_layers")
        configs |= {kind: replace(config, layers=layers) for kind, config in configs.items() if kind in has_layers}

    ordered_configs = in_order(configs.values())
    check_combination(ordered_configs)
    return ordered_configs


def parse_part(part: str) -> list[tuple[AdapterConfig, bool]]:
    """Return the configs of one part, and for each whether its name brings LayerNorms."""
    name, options = split_part(part)
    if name in PRESETS:
        if options:
            preset = quoted(PRESETS[name])
            raise ConfigError(f"preset {quoted(name)} takes no options: write out {preset} and change it")
        return [config for preset_part in PRESETS[name].split("+") for config in parse_part(preset_part)]
    if name not in part_names():
        raise ConfigError(unknown("adapter", name, part_names()))

    config_class = KINDS[name.removesuffix("-only")]
    values: dict[str, Any] = {}
    for option, text in options.items():
        _check_name(config_class, option)
        kind = value_type(config_class, option)[0]
        try:
            if kind in (str, tuple) and text.startswith('"'):
                values[option] = unquote(option, text) if kind is str else (unquote(option, text),)
            else:
                values[option] = parse_option(config_class, option, text)
        except ConfigError as error:
            raise ConfigError(error.keyed, place=config_class.kind) from error
    return [(config_class(**values), name in WITH_LAYER_NORMS)]


def split_part(part: str) -> tuple[str, dict[str, str]]:
    """Return the name of a part and its options as text. Raise ConfigError for an option without a value."""
    name, *options = split_unquoted(part, ":", 1)
    name = name.strip()
    values: dict[str, str] = {}
    if not options or not options[0]:
        return name, values

    for pair in split_unquoted(options[0], ","):
        option, *text = split_unquoted(pair, "=", 1)
        if not text:
            raise ConfigError(f"{name.removesuffix('-only')}: expected option=value, got {quoted(pair)}")
        if option.strip() in values:
            raise ConfigError(f"{name.removesuffix('-only')}: {option.strip()}: expected one value, got several")
        values[option.strip()] = text[0]
    return name, values


def _norms_beside(configs: Iterable[AdapterConfig]) -> LayerNormConfig:
    """Return the LayerNorms that come with `configs`: those of every layer that one of them adapts."""
    return LayerNormConfig(layers=max((config.layers for config in configs), key=height_of))


def _option_names(config_class: Any) -> list[str]:
    return [field.name for field in fields(config_class)]


def _check_name(config_class: type[AdapterConfig], name: str) -> None:
    """Raise ConfigError unless the configs of a class have an option `name`."""
    names = _option_names(config_class)
    if not names:
        raise ConfigError(f"{config_class.kind} takes no options, got {quoted(name)}")
    if name not in names:
        raise ConfigError(f"{config_class.kind}: {unknown('option', name, names)}")


def check_combination(configs: Sequence[AdapterConfig]) -> None:
    """Raise ConfigError if a kind occurs twice, `full` with other parameters, or two kinds train one bias."""
    if not configs:
        raise ConfigError("expected at least one kind, such as lora, got none", field="adapter")
    by_kind: dict[str, Any] = {config.kind: config for config in configs}
    if len(by_kind) < len(configs):
        twice = Counter(config.kind for config in configs).most_common(1)[0][0]
        raise ConfigError(f"expected each kind once, got {twice} twice", field="adapter")
    other_kinds = [kind for kind in by_kind if kind != "full"]
    if "full" in by_kind and other_kinds:
        kind = other_kinds[0]
        raise ConfigError(f"full and {kind} exclude each other: full trains every weight of the tower already")

    norms = by_kind.get("layernorm")
    biases = by_kind.get("bitfit")
    if norms is not None and biases is not None:
        shared = [role for role in norms.target_modules if role in biases.target_modules]
        if shared:
            raise ConfigError(
                f"bitfit and layernorm exclude each other at {'/'.join(shared)}, whose biases both train: leave one "
                "out (lora, bottleneck and compacter bring layernorm; lora-only and so on do not)"
            )


def in_order(configs: Iterable[AdapterConfig]) -> tuple[AdapterConfig, ...]:
    """Return `configs` in the order of `KINDS`."""
    order = [*OF_ENGINES, *KINDS]
    return tuple(sorted(configs, key=lambda config: order.index(config.kind)))


def describe(configs: Sequence[AdapterConfig]) -> str:
    """Return the shortest spec of `configs`: `parse_adapter` of their engine gives them back (in order)."""
    configs = in_order(configs)
    bringing = [config for config in configs if config.kind in WITH_LAYER_NORMS]
    norms_implied = bool(bringing) and _norms_beside(bringing) in configs
    parts = []
    for config in configs:
        if norms_implied and config.kind == LayerNormConfig.kind:
            continue
        suffix = "" if norms_implied or config.kind not in WITH_LAYER_NORMS else "-only"
        values = [f"{name}={text}" for name, text in config.given().items()]
        parts.append(config.name + suffix + (":" + ",".join(values) if values else ""))
    return "+".join(parts)


def configs_to_json(configs: Sequence[AdapterConfig]) -> list[dict[str, Any]]:
    """Return `configs` as JSON values, every option written out, as adapter files hold them."""
    return [{"kind": config.kind, **asdict(config)} for config in configs]


def configs_from_json(document: Any) -> tuple[AdapterConfig, ...]:
    """Return the configs, of known kinds, that `configs_to_json` wrote.

    Raise ConfigError for a wrong option, or a regular expression: those of somebody else are not used.
    """
    configs = []
    for entry in document:
        options = dict(entry)
        kind = options.pop("kind")
        config_class = OF_ENGINES[kind] if kind in OF_ENGINES else KINDS[kind]
        for name in options:
            _check_name(config_class, name)
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
        config: AdapterConfig = config_class(**values)
        for names in config.module_names():
            if is_pattern(names):
                raise ConfigError(f"{config.name}: expected names or paths of modules, got the pattern {quoted(names)}")
        configs.append(config)
    return tuple(configs)
