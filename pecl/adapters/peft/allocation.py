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


def penalty(config: Any, trained: Mapping[str, nn.Parameter]) -> torch.Tensor | float:
    """Return AdaLoRA's penalty, the mean distance of A Aᵀ and Bᵀ B from the identity times its weight; else 0."""
    weight = getattr(config, "orth_reg_weight", 0.0)
    if not weight:
        return 0.0
    wide = [one for name, one in trained.items() if "lora_A" in name]  # (r, i) each
    high = [one.T for name, one in trained.items() if "lora_B" in name]  # (r, o) each
    distances = [torch.linalg.norm(one @ one.T - torch.eye(len(one), device=one.device)) for one in (*wide, *high)]
    return weight * torch.stack(distances).mean()


def rank_pattern(wrapped: Any) -> dict[str, list[bool]] | None:
    """Return which ranks of each layer AdaLoRA kept: those of singular values other than zero; None if it kept all.

    A layer without any keeps one, since PEFT cannot load a rank of 0.
    """
    values = {name: one for name, one in wrapped.base_model.model.named_parameters() if ".lora_E." in name}
    kept = {name: (one.detach().flatten() != 0).tolist() for name, one in values.items()}
    if all(not any(ranks) or all(ranks) for ranks in kept.values()):
        return None
    return {name: ranks if any(ranks) else [True, *ranks[1:]] for name, ranks in kept.items()}


def progress(wrapped: Any, trained: Mapping[str, nn.Parameter]) -> dict[str, torch.Tensor]:
    """Return scores, kept ranks and frozen parameters by name; empty for a method that allocates nothing."""
    found = {}
    if (allocator := getattr(wrapped.base_model, "rankallocator", None)) is not None:
        for score in _SCORES:
            found |= {f"{score}/{name}": tensor for name, tensor in getattr(allocator, score).items()}
        ranks = wrapped.peft_config[NAME].rank_pattern or {}
        found |= {f"{_RANKS}/{name}": torch.tensor(kept, dtype=torch.uint8) for name, kept in ranks.items()}
    layers = dict(_layers(wrapped))
    for path, layer in layers.items():
        for score in _LISTS:
            subspaces = enumerate(getattr(layer, score)[NAME])
            found |= {f"{score}/{path}/{i}": tensor for i, tensor in subspaces if tensor is not None}
    if layers:
        found[_TRAINED] = torch.tensor([one.requires_grad for one in trained.values()], dtype=torch.uint8)
    return found


def resume(wrapped: Any, trained: Mapping[str, nn.Parameter], saved: Mapping[str, torch.Tensor]) -> None:
    """Put back what `progress` returned."""
    parts = {tuple(name.split("/")): tensor for name, tensor in saved.items()}
    device = next(iter(trained.values())).device
    if (allocator := getattr(wrapped.base_model, "rankallocator", None)) is not None:
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
        for parameter, is_trained in zip(trained.values(), saved[_TRAINED].tolist(), strict=True):
            parameter.requires_grad_(bool(is_trained))


def _layers(wrapped: Any) -> Iterator[tuple[str, Any]]:
    """Yield the path of each layer that AdaMSS scores, and the layer."""
    for path, module in wrapped.named_modules():
        if NAME in getattr(module, _LISTS[0], {}):
            yield path, module
