"""Towers that share the weights of another: plain, merged with one slot of an adapter, or with a slot per language."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from pecl.adapters.adapter import Adapter, attach
from pecl.adapters.kind import AdapterConfig
from pecl.encoders.text import MultilingualTextEncoder


def merge_slot(adapter: Adapter, slot: int) -> MultilingualTextEncoder:
    """Return a new tower with the parameters of `slot` merged into its weights; adapter and tower stay as they are.

    Layers that the adapter does not change share their memory with the tower.

    Raises:
        WeightsError: a module of the adapter cannot be merged; the message has the reason.
    """
    # deepcopy takes copies from here. It descends from the root, so it meets the outermost module of a stack first.
    memo: dict[int, Any] = {}
    for _, module, _ in adapter.modules:
        memo[id(module)] = module.merged(slot)
    memo |= _shared(adapter.tower)
    backbone = adapter.plain_backbone(slot, memo)
    return _copy(adapter.tower, backbone, memo)


def second_tower(tower: MultilingualTextEncoder) -> MultilingualTextEncoder:
    """Return a second tower that shares weights and runtime of `tower`: an adapter on one leaves the other plain.

    `tower` has no adapter. Both have one fingerprint, that of the weights before rounding to bfloat16.
    """
    memo = _shared(tower)
    second = _copy(tower, copy.deepcopy(tower.backbone, memo), memo, fingerprint=tower.fingerprint)
    second.runtime = tower.runtime
    return second


def _shared(tower: MultilingualTextEncoder) -> dict[int, Any]:
    """Return the tensors of `tower` by their ids, for a copy that shares their memory."""
    parameters = {id(tensor): nn.Parameter(tensor.detach(), requires_grad=False) for tensor in tower.parameters()}
    return parameters | {id(buffer): buffer for buffer in tower.buffers()}


def _copy(
    tower: MultilingualTextEncoder,
    backbone: Any,
    memo: dict[int, Any],
    fingerprint: str | None = None,
) -> MultilingualTextEncoder:
    """Return a tower with the settings of `tower` and a copy of its encoder; `memo` has further copies, by id."""
    copied = MultilingualTextEncoder(
        backbone,
        tower.tokenizer,
        copy.deepcopy(tower.head, memo),
        name=tower.name,
        text_prefix=tower.text_prefix,
        max_length=tower.max_length,
        pooling=tower.pooling,
        clean=tower.clean,
        transliterates=tower.transliterates,
        fingerprint=fingerprint,
    )
    copied.lock = tower.lock
    return copied


class SlottedTower:
    """A view of a tower, whose weights it shares, with one adapter that has a slot per language.

    Attributes:
        tower: the view.
        adapter: the adapter.
        configs: its configuration, which all languages share.
        has_slots: whether it can have more than one slot.
        languages: language of each slot.
    """

    def __init__(self, tower: MultilingualTextEncoder, configs: Sequence[AdapterConfig]) -> None:
        self.tower = second_tower(tower)
        self.adapter = attach(self.tower, configs, seeds=())
        self.configs = self.adapter.configs
        self.has_slots = all(config.has_slots for config in self.configs)
        self.languages: list[str] = []

    def add(self, states: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
        """Add languages with checked parameters; memory grows once."""
        first = len(self.languages)
        self.adapter.rearrange(range(first), new=len(states))
        self.adapter.put_slot_states(dict(enumerate(states.values(), first)))
        self.languages += states

    def remove(self, language: str) -> None:
        """Remove a language, which frees its memory."""
        slot = self.languages.index(language)
        self.adapter.rearrange([other_slot for other_slot in range(len(self.languages)) if other_slot != slot])
        del self.languages[slot]
