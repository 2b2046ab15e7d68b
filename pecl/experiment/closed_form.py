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
from pecl.errors import ConfigError, not_none
from pecl.experiment.fleet import Member, members_of
from pecl.training.closed_form import LinearMap, NormalEquations, choose_ridge
from pecl.training.state import SlotRecord

logger = logging.getLogger(__name__)


Head = SlotLinear | SlotLowRankLinear


def solvable_head(adapter: Adapter) -> tuple[list[nn.Module], Head]:
    """Return the layers of the tower's head before its last one, and the last one, which an adapter has slots of.

    Raises:
        ConfigError: the adapter has no part `head` or `head:rank=K`, or the tower's last layer is not linear.
    """
    head = adapter.tower.head
    layers = list(head) if isinstance(head, nn.Sequential) else [head]
    if not layers or not isinstance(layers[-1], Head):
        raise ConfigError(
            "closed-form solves the head, so it needs an adapter with head or head:rank=K, such as "
            f'"lora+head:rank=48", and a tower whose last layer is linear, got {adapter!r}',
            field="solver",
        )
    return layers[:-1], layers[-1]


class HeadSolver:
    """Solves the head of each slot of an adapter on the training pairs of all runs in that slot.

    Raise ConfigError as `solvable_head`.
    """

    def __init__(self, adapter: Adapter, members: Sequence[Member]) -> None:
        self.adapter = adapter
        self.members = list(members)
        self.before, self.head = solvable_head(adapter)

    def solve(self, records: Sequence[SlotRecord]) -> None:
        """Solve and set the head of every slot that is measured, and add it to the slot's record."""
        for slot, record in enumerate(records):
            if record.is_measured:
                record.solved.append(self._solve_slot(slot))

    def _solve_slot(self, slot: int) -> dict[str, Any]:
        started = time.monotonic()
        members = members_of(self.members, slot)
        base = _linear(self.head.plain_base(slot))
        prior = _linear(self.head.merged(slot))
        has_bias = isinstance(self.head, SlotLowRankLinear) or self.head.bias is not None

        # Sums over the training pairs
        equations = NormalEquations(base.weight.shape[1], base.weight.shape[0], bias=has_bias)

        for member in members:
            anchors = not_none(member.frozen.anchors, "anchors")
            for places, features in self._features(slot, member.inputs.train_tokens):
                equations.add(features, anchors[places])

        # The strength of the ridge, chosen on the held-out pairs
        # (m, d)
        features = torch.cat([self._held_out_features(slot, member) for member in members])
        anchors = torch.cat([not_none(member.frozen.held_out_anchors, "held_out_anchors") for member in members])
        ridge = choose_ridge(equations, prior, features, anchors)

        if isinstance(self.head, SlotLowRankLinear):
            values = equations.solve_low_rank(base, prior, ridge, self.head.down.shape[1])
        else:
            values = vars(equations.solve(prior, ridge))  # weight and bias

        for name, parameter in self.head.slot_parameters().items():
            parameter.data[slot] = values[name].to(parameter)

        solved = _linear(self.head.merged(slot))  # possibly of low rank
        error = float((solved(features) - anchors.double()).square().mean())
        logger.info("head of slot %d solved: %d pairs, ridge %g", slot, equations.count, ridge)
        seconds = round(time.monotonic() - started, 2)
        return {"ridge": ridge, "held_out_mse": error, "pairs": equations.count, "seconds": seconds}

    def _features(self, slot: int, token_ids: TokenIds) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Yield the numbers of texts and the inputs (b, d) of the last layer of the head, batch by batch."""
        tower = self.adapter.tower
        slots = torch.tensor([slot]).expand(len(token_ids))
        before = nn.Sequential(
            *(layer.merged(slot) if isinstance(layer, SlotModule) else layer for layer in self.before)
        )
        for places, pooled in tower.encode_batches(token_ids, slots=slots, progress="features", head=False):
            with torch.inference_mode():
                yield places, before(pooled.to(tower.device, tower.dtype)).float().cpu()

    def _held_out_features(self, slot: int, member: Member) -> torch.Tensor:
        """Return the features (m, d) of the queries of the held-out pairs."""
        token_ids = member.inputs.held_out_tokens
        features = torch.empty(len(token_ids), self.head.merged(slot).in_features)  # (m, d)
        for places, batch in self._features(slot, token_ids):
            features[places] = batch
        return features


class Centring:
    """Moves the mean embedding of each slot's training texts onto that of the English memory, by the head's bias.

    Libovický et al., arXiv 2004.05160. Raise ConfigError as `solvable_head`, or for a head without a bias.
    """

    def __init__(self, adapter: Adapter, members: Sequence[Member]) -> None:
        self.adapter = adapter
        self.members = list(members)
        _, self.head = solvable_head(adapter)
        bias = self.head.shift if isinstance(self.head, SlotLowRankLinear) else self.head.bias
        if bias is None:
            raise ConfigError(
                "centring moves the bias of the head, which this tower lacks: use head:rank=1", field="solver"
            )
        self.bias = bias

    def solve(self, records: Sequence[SlotRecord]) -> None:
        """Move the bias of every slot that is measured."""
        tower = self.adapter.tower
        for slot, record in enumerate(records):
            if not record.is_measured:
                continue
            shifts = []
            for member in members_of(self.members, slot):
                tokens = member.inputs.train_tokens
                texts = tower.encode_token_ids(tokens, slots=torch.full((len(tokens),), slot))  # (n, D)
                english = not_none(member.frozen.memory, "memory")  # (M, D)
                shifts.append(english.double().mean(dim=0) - texts.double().mean(dim=0))
            self.bias.data[slot] += torch.stack(shifts).mean(dim=0).to(self.bias)


SOLVERS_OF_HEADS = {"closed-form": HeadSolver, "centring": Centring}


def _linear(layer: nn.Linear) -> LinearMap:
    """Return a linear layer as a map, on the CPU."""
    weight = layer.weight.detach().double().cpu()
    bias = torch.zeros(len(weight)) if layer.bias is None else layer.bias.detach()
    return LinearMap(weight, bias.double().cpu())
