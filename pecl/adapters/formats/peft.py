"""LoRA and word embeddings in PEFT's format: a folder with `adapter_config.json` and `adapter_model.safetensors`.

Folders of pecl load as `peft.PeftModel.from_pretrained(tower.backbone, folder)`, and folders of PEFT for the same
backbone load here; both give the same embeddings. LayerNorms are stored as PEFT's `modules_to_save`. Layers are named
by their full paths: PEFT matches endings, so `output.dense` would also match `attention.output.dense`. Changes of word
embeddings are written as PEFT's LoRA of an embedding, with zeros for each token without a vector, and cannot be read
back.
"""

import math
import re
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import torch

from pecl.adapters.adapter import check_finite
from pecl.adapters.kind import LINEAR_ROLES, NORM_ROLES, AdapterConfig, architecture_of, paths_of
from pecl.adapters.kinds.layer_norm import LayerNormConfig
from pecl.adapters.kinds.lora import LoraConfig
from pecl.adapters.spec import describe
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError, WeightsError
from pecl.files import DamagedFileError, load_json, read_tensors, write_json, write_tensors

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
_OF_WORDS = (".tokens", ".vectors", ".up")  # endings of the parameters of word embeddings

_LONGEST_NAME = 500  # characters; names are searched for the path of a module

State = Mapping[str, torch.Tensor]

# Options of PEFT that change the computation, with their values for plain LoRA.
_PLAIN: dict[str, tuple[Any, ...]] = {
    "bias": ("none",),
    "target_parameters": (None, []),
    **dict.fromkeys(("rank_pattern", "alpha_pattern"), ({}, None)),
    # the tensors of some variants have the names, and often the shapes, of plain LoRA's
    **dict.fromkeys(("use_dora", "lora_bias", "use_qalora", "use_bdlora"), (False, None)),
    **dict.fromkeys(("trainable_token_indices", "alora_invocation_tokens", "layer_replication"), (None,)),
    **dict.fromkeys(("arrow_config", "kasa_config"), (None,)),
    # other values, such as pissa or olora, also change the backbone's own weights
    "init_lora_weights": (True, False, None, "gaussian", "orthogonal", "eva"),
}
# Options that pecl reads, or that change nothing here; those of any other must be empty, as of a newer PEFT
_READ = frozenset(
    {
        *("auto_mapping", "base_model_name_or_path", "ensure_weight_tying", "eva_config", "exclude_modules"),
        *("fan_in_fan_out", "inference_mode", "layers_pattern", "layers_to_transform", "lora_alpha", "lora_dropout"),
        *("megatron_core", "modules_to_save", "peft_type", "peft_version", "qalora_group_size", "r", "revision"),
        *("target_modules", "task_type", "use_rslora"),
    }
)


def write_peft(
    folder: str | Path,
    state: State,
    configs: Sequence[AdapterConfig],
    tower: MultilingualTextEncoder,
    base: str | None = None,
) -> Path:
    """Write the state of a slot in PEFT's format: a method of PEFT, or LoRA or word embeddings with LayerNorms or not.

    PEFT loads the encoder from `base`, a folder or hub id, by default the tower's name. Raise ConfigError for an
    adapter with parts that the format cannot hold.
    """
    folder = Path(folder)
    by_kind: dict[str, Any] = {config.kind: config for config in configs}
    method = by_kind.get("peft")
    if method is not None and len(by_kind) == 1:
        return method.write(folder, state, tower, base)

    lora = by_kind.pop("lora", None)
    words = by_kind.pop("word_embeddings", None)
    norms = by_kind.pop("layernorm", None)
    if not (lora or words) or by_kind:
        raise ConfigError(
            f"adapter {describe(configs)!r} cannot be written in PEFT's format, which holds lora, lora-only, "
            "word_embeddings or one method of the engine peft here"
        )

    tensors = {_to_peft(name): tensor for name, tensor in state.items() if not name.endswith(_OF_WORDS)}
    targets = [_path(name) for name in state if name.endswith(".lora_A")]
    patterns = {}
    if words is not None:
        (path,) = paths_of(tower.backbone, "word_embeddings")
        tensors |= _words_to_peft(path, state, tower.backbone.config.vocab_size)
        targets.append(path)
        patterns = {path: words.rank}
        lora = lora or LoraConfig(r=words.rank, lora_alpha=float(words.rank))

    document = {
        "peft_type": "LORA",
        "task_type": "FEATURE_EXTRACTION",
        "base_model_name_or_path": base or tower.name,
        "inference_mode": True,
        "r": lora.r,
        "lora_alpha": lora.lora_alpha,
        "lora_dropout": lora.lora_dropout,
        "bias": "none",
        "fan_in_fan_out": False,
        "rank_pattern": patterns,
        "alpha_pattern": patterns,
        "target_modules": targets,
        "modules_to_save": norms.layer_paths(tower, norms.target_modules) if norms else None,
    }

    write_tensors(folder / WEIGHTS_FILE, tensors, {"format": "pt"})
    write_json(folder / CONFIG_FILE, document)
    return folder


def read_peft(
    folder: str | Path, tower: MultilingualTextEncoder
) -> tuple[tuple[AdapterConfig, ...], dict[str, torch.Tensor]]:
    """Return configs and parameters (as in `Adapter.slot_state`) of an adapter in PEFT's format, made for `tower`.

    PEFT records only the name of the weights that an adapter was trained on: you must pass the right `tower`. Raise
    WeightsError for an adapter that is damaged, or that pecl cannot compute.
    """
    folder = Path(folder)
    options = _read_options(folder / CONFIG_FILE)
    tensors = read_weights(folder / WEIGHTS_FILE)
    state = {_from_peft(name, tower, folder): tensor for name, tensor in tensors.items()}
    check_finite(state, folder / WEIGHTS_FILE)

    scale = math.sqrt(options["r"]) if options.get("use_rslora") else 1.0  # rsLoRA divides by sqrt(r) instead of r
    adapted = {_path(name) for name in state}
    roles, layers = roles_of(adapted, tower, LINEAR_ROLES, folder)
    lora = LoraConfig(
        r=options["r"],
        lora_alpha=float(options["lora_alpha"]) * scale,
        lora_dropout=float(options.get("lora_dropout", 0.0)),
        target_modules=roles,
        layers=layers,
    )

    norm_roles, norm_layers = roles_of(adapted, tower, NORM_ROLES, folder)
    if not norm_roles:
        return (lora,), state
    return (lora, LayerNormConfig(norm_roles, norm_layers)), state


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of PEFT's file. Raise WeightsError if it is damaged, or has names of no module."""
    try:
        tensors, _ = read_tensors(path)
    except (OSError, DamagedFileError) as error:
        raise WeightsError(f"cannot read {path}: {error}") from error
    for name in tensors:
        if len(name) > _LONGEST_NAME:
            raise WeightsError(f"{path}: expected names of parameters, got {name[:50]!r} and {len(name):,} characters")
    return tensors


def is_plain_lora(folder: Path) -> bool:
    """Return whether a folder is of LoRA, without options of PEFT that change its computation."""
    try:
        options = load_json(folder / CONFIG_FILE)
    except (OSError, ValueError):
        return True  # `read_peft` reports the problem
    if not isinstance(options, dict):
        return True
    if options.get("peft_type", "LORA") != "LORA":
        return False
    if "r" not in options:
        return True

    is_plain = all(options.get(name, plain[0]) in plain for name, plain in _PLAIN.items())
    return is_plain and not any(value for name, value in options.items() if name not in _PLAIN and name not in _READ)


def _read_options(path: Path) -> dict[str, Any]:
    try:
        options = load_json(path)
        method = options.get("peft_type", "LORA")
        if method != "LORA":
            raise WeightsError(f"{path}: expected a LoRA in PEFT's format, got {method}")
        LoraConfig(options["r"], float(options["lora_alpha"]), float(options.get("lora_dropout", 0.0)))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise WeightsError(f"{path}: expected the config of a LoRA in PEFT's format ({error})") from error

    for name, plain_values in _PLAIN.items():
        value = options.get(name, plain_values[0])
        if value not in plain_values:
            raise WeightsError(f"{path}: {name}: pecl computes only {plain_values[0]!r}, got {value!r}")
    return options


def _path(name: str) -> str:
    """Return the path in the backbone of the module that has the parameter `name`."""
    return name.removeprefix("backbone.").rpartition(".")[0]


def _to_peft(name: str) -> str:
    """`backbone.<path>.lora_A` is PEFT's `base_model.model.<path>.lora_A.weight`."""
    name = name.replace("backbone.", "base_model.model.", 1)
    return f"{name}.weight" if name.endswith((".lora_A", ".lora_B")) else name


def _words_to_peft(path: str, state: State, vocabulary: int) -> State:
    """Return the change of the word embeddings as PEFT's factors, (r, V) and (d, r)."""
    tokens, vectors, up = (state[f"backbone.{path}{name}"] for name in _OF_WORDS)
    is_word = tokens < vocabulary
    all_vectors = vectors.new_zeros(vectors.shape[1], vocabulary)
    all_vectors[:, tokens[is_word].long()] = vectors[is_word].T
    name = f"base_model.model.{path}.lora_embedding_"
    return {f"{name}A": all_vectors, f"{name}B": up}


def _from_peft(name: str, tower: MultilingualTextEncoder, folder: Path) -> str:
    """Undo `_to_peft`; PEFT's prefix of the path depends on the model that it wrapped."""
    layers = re.escape(architecture_of(tower.backbone).layers)
    match = re.fullmatch(rf"(?:.*\.)?({layers}\.\d+\..*?)(\.lora_[AB])?(?:\.weight|(\.bias))", name)
    if match is None:
        raise WeightsError(f"{folder / WEIGHTS_FILE}: expected parameters of layers' LoRA or LayerNorm, got {name!r}")
    path, factor, bias = match.groups()
    return f"backbone.{path}{factor or bias or '.weight'}"


def roles_of(
    adapted: Set[str], tower: MultilingualTextEncoder, roles: Sequence[str], folder: Path
) -> tuple[tuple[str, ...], str | None]:
    """Return the `roles` of the modules at the paths `adapted`, and the topmost layers that have them.

    Raise WeightsError if the layers are not the topmost ones, or not the same for all roles.
    """
    paths = {role: paths_of(tower.backbone, role) for role in roles}
    adapted_roles = tuple(role for role in roles if not adapted.isdisjoint(paths[role]))
    if not adapted_roles:
        return (), None

    lowest = min(i for role in adapted_roles for i, path in enumerate(paths[role]) if path in adapted)
    for role in adapted_roles:
        for path in paths[role][lowest:]:
            if path not in adapted:
                raise WeightsError(f"{folder} adapts {role} in some layers only: {path} has no parameters")

    count = len(paths[adapted_roles[0]])
    return adapted_roles, f"top-{count - lowest}" if lowest else None
