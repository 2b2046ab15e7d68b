"""Solve the head of an adapter in closed form: regress frozen anchors on the current features of the texts.

If the head has several layers, the last one is solved on the output of those before it.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from pecl.adapters.adapter import Adapter
from pecl.adapters.kinds.head import SlotLinear, SlotLowRankLinear
from pecl.adapters.slots import SlotModule
from pecl.encoders.batches import TokenIds
from pecl.errors import ConfigError
from pecl.experiment.prepared import Prepared
from pecl.training.closed_form import LinearMap, NormalEquations, choose_ridge
from pecl.training.state import SlotRecord

logger = logging.getLogger(__name__)


class HeadSolver:
    """Solves the head of each slot of an adapter on the training pairs of all runs in that slot.

    Raises:
        ConfigError: the adapter has no part `head` or `head:rank=K`, or the tower's last layer is not linear.
    """

    def __init__(self, adapter: Adapter, members: Sequence[Prepared], slot_of: Sequence[int]) -> None:
        layers = list(adapter.tower.head) if isinstance(adapter.tower.head, nn.Sequential) else [adapter.tower.head]
        if not layers or not isinstance(layers[-1], SlotLinear | SlotLowRankLinear):
            raise ConfigError(
                "solver: closed-form solves the head, so it needs an adapter with head or head:rank=K, such as "
                f'"lora+head:rank=48", and a tower whose last layer is linear, got {adapter!r}'
            )
        self.adapter, self.members, self.slot_of, self.head = adapter, members, slot_of, layers[-1]
        self.before = layers[:-1]

    def solve(self, records: Sequence[SlotRecord]) -> None:
        """Solve and set the head of every slot that has not diverged, and add it to the slot's record."""
        for slot, record in enumerate(records):
            if record.diverged is None:
                record.solved.append(self._solve_slot(slot))

    def _solve_slot(self, slot: int) -> dict[str, Any]:
        started = time.monotonic()
        members = [member for member, own in zip(self.members, self.slot_of, strict=True) if own == slot]
        base, prior = _linear(self.head.plain_base(slot)), _linear(self.head.merged(slot))
        has_bias = isinstance(self.head, SlotLowRankLinear) or self.head.bias is not None
        equations = NormalEquations(base.weight.shape[1], base.weight.shape[0], bias=has_bias)
        for member in members:
            anchors = member.frozen_anchor
            for places, features in self._features(slot, member.train_tokens):
                equations.add(features, anchors[places])
        held_out = [self._whole(slot, member) for member in members]
        features, anchors = (torch.cat(parts) for parts in zip(*held_out, strict=True))
        ridge = choose_ridge(equations, prior, features, anchors)
        if isinstance(self.head, SlotLowRankLinear):
            values = equations.solve_low_rank(base, prior, ridge, self.head.down.shape[1])
        else:
            values = vars(equations.solve(prior, ridge))  # weight and bias
        for name, parameter in self.head.slot_parameters().items():
            parameter.data[slot] = values[name].to(parameter)
        found = _linear(self.head.merged(slot))  # possibly of low rank
        error = float((found(features) - anchors.double()).square().mean())
        logger.info("head of slot %d solved: %d pairs, ridge %g", slot, equations.count, ridge)
        seconds = round(time.monotonic() - started, 2)
        return {"ridge": ridge, "held_out_mse": error, "pairs": equations.count, "seconds": seconds}

    def _features(self, slot: int, token_ids: TokenIds) -> Iterator[tuple[list[int], torch.Tensor]]:
        slots, tower = torch.tensor([slot]).expand(len(token_ids)), self.adapter.tower
        before = nn.Sequential(*(one.merged(slot) if isinstance(one, SlotModule) else one for one in self.before))
        for places, pooled in tower.encode_batches(token_ids, slots=slots, progress="features", head=False):
            with torch.inference_mode():
                yield places, before(pooled.to(tower.device, tower.dtype)).float().cpu()

    def _whole(self, slot: int, member: Prepared) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the features (m, d) and anchors (m, D) of the held-out pairs."""
        anchors = member.held_out_anchor
        features = torch.empty(len(anchors), self.head.merged(slot).in_features)  # (m, d)
        for places, batch in self._features(slot, member.held_out_tokens):
            features[places] = batch
        return features, anchors


def _linear(layer: nn.Linear) -> LinearMap:
    """Return a linear layer as a map, on the CPU."""
    weight = layer.weight.detach().double().cpu()
    bias = torch.zeros(len(weight)) if layer.bias is None else layer.bias.detach()
    return LinearMap(weight, bias.double().cpu())
