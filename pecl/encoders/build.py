"""A transformers model from a config and a state dict, checked weight by weight: used for text and image towers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import CONFIG_MAPPING, PretrainedConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from pecl.encoders.state_dict import check_names, read_json
from pecl.errors import WeightsError, suggest

logger = logging.getLogger(__name__)


def read_config(folder: Path) -> PretrainedConfig:
    """Return the config of a transformers checkpoint.

    Raises:
        WeightsError: config.json is missing or damaged, or names an architecture that transformers does not have.
    """
    values = read_json(folder / "config.json")
    model_type = values.pop("model_type", None)
    if model_type not in CONFIG_MAPPING:
        raise WeightsError(
            f"{folder / 'config.json'} has the model_type {model_type!r}, which transformers does not know"
            f"{suggest(model_type, CONFIG_MAPPING.keys())}"
        )
    try:
        return CONFIG_MAPPING[model_type].from_dict(values)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{folder / 'config.json'} is no config of {model_type}: {error}") from error


def build_model(
    model_class: type[PreTrainedModel],
    config: PretrainedConfig,
    state: dict[str, torch.Tensor],
    source: Path,
    dtype: torch.dtype,
    *,
    prefix: str = "",
) -> PreTrainedModel:
    """Return a model of `config` with the weights of `state`, which it shares where the type is the same.

    A pooler is left out, in the model and in the state: pecl pools the tokens itself.

    Args:
        model_class: class of the model.
        config: its shape.
        state: all weights, by the model's names.
        source: folder named in errors.
        dtype: type of the weights.
        prefix: what the checkpoint puts before the model's names; for errors.

    Raises:
        WeightsError: weights are missing, surplus or of another shape; the first few are named.
    """
    pooler = {name for name in state if name.startswith("pooler.")}
    logger.debug("%s: %d weights of an unused pooler left out", source, len(pooler))
    with _without_load_report():
        model, info = model_class.from_pretrained(
            None,
            config=config,
            state_dict={name: tensor for name, tensor in state.items() if name not in pooler},
            dtype=dtype,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
        )
    missing = {prefix + name for name in info["missing_keys"] if not name.startswith("pooler.")}
    surplus = {prefix + name for name in info["unexpected_keys"]}
    check_names(missing, surplus, source, f"{model_class.__name__} of its config")
    _check_shapes(info["mismatched_keys"], source, prefix)
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return model.eval()


def _check_shapes(mismatched: Any, source: Path, prefix: str) -> None:
    for name, found, expected in sorted(mismatched):
        raise WeightsError(
            f"{source}: weight {prefix}{name} has shape {tuple(found)}, expected {tuple(expected)} by its config "
            f"({len(mismatched)} such weights)"
        )


@contextmanager
def _without_load_report() -> Iterator[None]:
    """Silence transformers' own table of missing weights: `build_model` reports them as an error."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
