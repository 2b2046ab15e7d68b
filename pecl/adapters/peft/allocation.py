"""AdaLoRA's and AdaMSS's allocation of ranks: the penalty of a step, and the state that a resumed training needs.

Both score their parameters in each step (`update_and_allocate`) and hold the scores outside the model's tensors.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

NAME = "default"
_SCORES = ("ipt", "exp_avg_ipt", "exp_avg_unc")  # of AdaLoRA's allocator, by the name of a parameter
_LISTS = ("exp_avg_ipt_A", "exp_avg_ipt_B", "exp_avg_unc_A", "exp_avg_unc_B")  # of AdaMSS's layers, by subspace
_RANKS, _TRAINED = "rank_pattern", "trained"


def penalty(config: Any, parameters: Mapping[str, nn.Parameter]) -> torch.Tensor | float:
    """Return AdaLoRA's penalty, the mean distance of A Aᵀ and Bᵀ B from the identity times its weight; else 0."""
    weight = getattr(config, "orth_reg_weight", 0.0)
    if not weight:
        return 0.0

    wide = [parameter for name, parameter in parameters.items() if "lora_A" in name]  # (r, i) each
    high = [parameter.T for name, parameter in parameters.items() if "lora_B" in name]  # (r, o) each
    distances = []
    for factor in (*wide, *high):
        identity = torch.eye(len(factor), device=factor.device)
        distances.append(torch.linalg.norm(factor @ factor.T - identity))
    return weight * torch.stack(distances).mean()


def rank_pattern(wrapped: Any) -> dict[str, list[bool]] | None:
    """Return which ranks of each layer AdaLoRA kept: those of singular values other than zero; None if it kept all.

    A layer without any keeps one, since PEFT cannot load a rank of 0.
    """
    pattern: dict[str, list[bool]] = {}
    for name, parameter in wrapped.base_model.model.named_parameters():
        if ".lora_E." in name:
            pattern[name] = (parameter.detach().flatten() != 0).tolist()

    if all(not any(ranks) or all(ranks) for ranks in pattern.values()):
        return None
    return {name: ranks if any(ranks) else [True, *ranks[1:]] for name, ranks in pattern.items()}


def progress(wrapped: Any, parameters: Mapping[str, nn.Parameter]) -> dict[str, torch.Tensor]:
    """Return scores, kept ranks and frozen parameters by name; empty for a method that allocates nothing."""
    tensors: dict[str, torch.Tensor] = {}
    allocator = getattr(wrapped.base_model, "rankallocator", None)
    if allocator is not None:
        for score in _SCORES:
            for name, tensor in getattr(allocator, score).items():
                tensors[f"{score}/{name}"] = tensor
        pattern = wrapped.peft_config[NAME].rank_pattern or {}
        for name, ranks in pattern.items():
            tensors[f"{_RANKS}/{name}"] = torch.tensor(ranks, dtype=torch.uint8)

    layers = dict(_layers(wrapped))
    for path, layer in layers.items():
        for score in _LISTS:
            for i, tensor in enumerate(getattr(layer, score)[NAME]):
                if tensor is not None:
                    tensors[f"{score}/{path}/{i}"] = tensor
    if layers:
        is_trained = [parameter.requires_grad for parameter in parameters.values()]
        tensors[_TRAINED] = torch.tensor(is_trained, dtype=torch.uint8)

    return tensors


def resume(wrapped: Any, parameters: Mapping[str, nn.Parameter], saved: Mapping[str, torch.Tensor]) -> None:
    """Put back what `progress` returned."""
    parts = {tuple(name.split("/")): tensor for name, tensor in saved.items()}
    device = next(iter(parameters.values())).device

    allocator = getattr(wrapped.base_model, "rankallocator", None)
    if allocator is not None:
        for score in _SCORES:
            scores = {name[1]: tensor.to(device) for name, tensor in parts.items() if name[0] == score}
            setattr(allocator, score, scores)
        ranks = {name[1]: tensor.bool().tolist() for name, tensor in parts.items() if name[0] == _RANKS}
        wrapped.peft_config[NAME].rank_pattern = ranks or None

    for path, layer in _layers(wrapped):
        for score in _LISTS:
            subspaces = getattr(layer, score)[NAME]
            for i in range(len(subspaces)):
                tensor = parts.get((score, path, str(i)))
                subspaces[i] = None if tensor is None else tensor.to(device)

    if _TRAINED in saved:
        for parameter, is_trained in zip(parameters.values(), saved[_TRAINED].tolist(), strict=True):
            parameter.requires_grad_(bool(is_trained))


def _layers(wrapped: Any) -> Iterator[tuple[str, Any]]:
    """Yield the path of each layer that AdaMSS scores, and the layer."""
    for path, module in wrapped.named_modules():
        if NAME in getattr(module, _LISTS[0], {}):
            yield path, module
