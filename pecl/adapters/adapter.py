"""`attach` puts the slot modules of one or more adapter configs on a tower; `Adapter` holds them.

The tower's own weights are never written. A slot module takes the place of the layer that it adapts and keeps it as
`base`; `Adapter.remove` puts the layers back, and the tower gives the same bits as before.
"""

import copy
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import nn

from pecl.adapters.kind import AdapterConfig, layer_of
from pecl.adapters.slots import SlotModule, SlotPrompt, SlotRows
from pecl.adapters.spec import ADAPTER_CLASSES, check_combination, describe
from pecl.adapters.steps import TrainingSteps
from pecl.encoders.batches import TokenIds
from pecl.encoders.row_adapter import PromptedInputs
from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.tokenizing import around, cut_to
from pecl.errors import ConfigError, WeightsError
from pecl.language.lexicon import make_lexicon

_LEAST = 8  # tokens of a text that prompts must leave room for, in a tower with few positions


class Attached(NamedTuple):
    """A slot module on the tower."""

    path: str
    module: SlotModule
    config: AdapterConfig


class Adapter:
    """The slot modules of one configuration, attached to one tower. Made by `attach`.

    A parameter is named `<path in the tower>.<parameter>`. The state of one slot has no slot dimension.
    """

    trains_all_tensors: ClassVar[bool] = True  # whether all numbers of a slot's state are trained
    steps: TrainingSteps | None = None  # what the engine does in a training; None for slot modules

    def __init__(
        self, tower: MultilingualTextEncoder, configs: tuple[AdapterConfig, ...], seeds: Sequence[int]
    ) -> None:
        self.tower = tower
        self.configs = configs
        self.file_configs = tuple(config.literal(tower) for config in configs)  # as adapter files hold them
        self.rows = SlotRows(len(seeds), tower.dtype)
        self.modules: list[Attached] = []
        self.put_on(seeds)

    def put_on(self, seeds: Sequence[int]) -> None:
        """Put the modules on the tower; an error leaves the base encoder. An engine puts its own modules on, too."""
        tower = self.tower
        try:
            placements = [(placement, config) for config in self.configs for placement in config.placements(tower)]
            # Deepest first: a path stays valid as long as no module above it has been replaced. Then by level.
            placements.sort(key=lambda pair: (-pair[0].path.count("."), pair[1].level))

            for (path, make), config in placements:
                module = make(tower.get_submodule(path), self.rows)
                self.modules.append(Attached(path, module, config))
                tower.set_submodule(path, module)
            self._check_positions()
            for slot, seed in enumerate(seeds):
                self.reset_slot(slot, seed)
        except BaseException:  # an interruption, too, must leave a base encoder
            self.remove()
            raise

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(adapter={describe(self.configs)!r}, slots={self.num_slots}, "
            f"parameters_per_slot={self.num_parameters():_}, tower={self.tower.name!r})"
        )

    @property
    def prompts(self) -> list[SlotPrompt]:
        """The modules that lengthen the input sequence."""
        return [module for _, module, _ in self.modules if isinstance(module, SlotPrompt)]

    def _check_positions(self) -> None:
        length = sum(prompt.length for prompt in self.prompts)
        positions = self.tower.positions
        if not length:
            return

        if self.tower.shapes_texts and length > positions - _LEAST:  # prompts replace padding, or the last words
            raise ConfigError(
                f"expected prompts of at most {positions - _LEAST} vectors, which leave {_LEAST} of the "
                f"{positions} positions of the text tower to a text, got {length}",
                field="adapter",
            )
        if not self.tower.shapes_texts and length + self.tower.max_length > positions:
            raise ConfigError(
                f"expected prompts and texts within the {positions} positions of the text tower, got "
                f"{length} vectors and texts of up to {self.tower.max_length} tokens",
                field="adapter",
            )

    @property
    def num_slots(self) -> int:
        """Number of slots S."""
        return self.rows.num_slots

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield (name, parameter (S, ...)) of every slot module, in a fixed order."""
        return ((name, tensor) for name, tensor in self.named_tensors() if isinstance(tensor, nn.Parameter))

    def named_tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield (name, tensor (S, ...)) of all that a slot holds: parameters, and integers that are not trained."""
        for path, module, _ in self.modules:
            for name, tensor in module.slot_tensors().items():
                yield f"{path}.{name}", tensor

    def parameters(self) -> list[nn.Parameter]:
        """Return the parameters, each (S, ...)."""
        return [parameter for _, parameter in self.named_parameters()]

    def num_parameters(self) -> int:
        """Return the number of trainable parameters of one slot."""
        return sum(math.prod(parameter.shape[1:]) for parameter in self.parameters())

    def learning_rate_scales(self) -> dict[str, float]:
        """Return the factor on the run's learning rate for each parameter, by name."""
        scales = {}
        for path, module, config in self.modules:
            scales |= {f"{path}.{name}": config.lr_scale for name in module.slot_parameters()}
        return scales

    def reset_slot(self, slot: int, seed: int) -> None:
        """Give `slot` its initial values: those that a single-slot adapter gets from the same seed."""
        generator = torch.Generator().manual_seed(seed)
        for _, module, _ in self.modules:
            module.reset_slot(slot, generator)

    def choose(self, slot: int, texts: Iterable[TokenIds]) -> None:
        """Let a fresh slot choose tokens from its training texts (token ids); kinds that choose none ignore them."""
        choosing = [module for _, module, _ in self.modules if module.counts_tokens]
        counts = Counter(token for column in texts for text in column for token in text) if choosing else {}
        for module in choosing:
            module.choose(slot, counts)

    def translate(self, slot: int, texts: Sequence[Sequence[int]], english: Sequence[Sequence[int]]) -> None:
        """Start the word embeddings of `slot` near those of the English tokens that translate them.

        Args:
            slot: a fresh slot.
            texts: token ids of n texts of the language.
            english: token ids of their translations.
        """
        counts = Counter(chain.from_iterable(texts))
        lexicon = make_lexicon(texts, english)
        for _, module, _ in self.modules:
            if module.counts_tokens:
                module.translate(slot, counts, lexicon)

    def rearrange(self, slots: Sequence[int], new: int = 0) -> None:
        """Keep `slots`, in that order, and append `new` uninitialised slots. Existing optimizers become invalid."""
        for _, module, _ in self.modules:
            module.rearrange(slots, new)
        self.rows.num_slots = len(slots) + new

    def slot_state(self, slot: int) -> dict[str, torch.Tensor]:
        """Return a copy of what `slot` holds, by name."""
        return {name: tensor.detach()[slot].clone() for name, tensor in self.named_tensors()}

    def plain_backbone(self, slot: int, memo: dict[int, Any]) -> Any:
        """Return a copy of the tower's encoder without the adapter; `memo` has copies of some modules and tensors."""
        return copy.deepcopy(self.tower.backbone, memo)

    def file_state(self, state: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        """Return a slot's state under the names of adapter files: here, the same names."""
        return state

    def load_slot_state(self, slot: int, state: Mapping[str, torch.Tensor]) -> None:
        """Put `state` into `slot`. Raise WeightsError as `check_state` does."""
        self.check_state(state)
        self.put_slot_states({slot: state})

    def put_slot_states(self, states: Mapping[int, Mapping[str, torch.Tensor]]) -> None:
        """Set the parameters of several slots from states that `check_state` has accepted."""
        for name, tensor in self.named_tensors() if states else ():
            tensor.data[list(states)] = torch.stack([state[name].to(tensor) for state in states.values()])

    def complete(self, state: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        """Return a slot's state with the tensors that files did not hold before: here, the same state."""
        return state

    def check_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Raise WeightsError unless a state has this adapter's names and shapes, and finite values."""
        check_state(self.complete(state), self.held())
        check_finite(state)

    def held(self) -> dict[str, torch.Tensor]:
        """Return the tensors of one slot by name, on the meta device: shapes and types, no values."""
        return {name: tensor.new_empty(tensor.shape[1:], device="meta") for name, tensor in self.named_tensors()}

    @property
    def works_on_tokens(self) -> bool:
        """See `RowAdapter`."""
        return not any(module.needs_rows for _, module, _ in self.modules)

    @property
    def has_prompts(self) -> bool:
        """See `RowAdapter`."""
        return any(isinstance(module, SlotPrompt) for _, module, _ in self.modules)

    @property
    def first_layer(self) -> int:
        """See `RowAdapter`."""
        backbone = self.tower.backbone
        return min((layer_of(backbone, path) for path, _, _ in self.modules), default=layer_of(backbone, "head"))

    def select(self, slots: torch.Tensor | None, rows: int) -> None:
        """See `RowAdapter`."""
        self.rows.select(slots, rows, self.tower.device)

    def pack(self, lengths: torch.Tensor | None) -> None:
        """See `RowAdapter`."""
        self.rows.pack(lengths)

    def extend_inputs(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> PromptedInputs | None:
        """See `RowAdapter`."""
        if not self.prompts:
            return None

        room = self.tower.positions - sum(prompt.length for prompt in self.prompts)
        if self.tower.shapes_texts and input_ids.shape[1] > room:
            tokenizer = self.tower.tokenizer
            input_ids = cut_to(input_ids, room, tokenizer.pad_token_id, around(tokenizer)[1])  # (B, room)
            attention_mask = attention_mask[:, :room]

        words = self.prompts[-1](input_ids)  # (B, L, d)
        inputs = PromptedInputs(words, attention_mask, attention_mask)
        for prompt in self.prompts:
            inputs = prompt.extend(inputs)
        return inputs

    def remove(self) -> None:
        """Take the slot modules off the tower and put its own layers back."""
        for path, module, _ in reversed(self.modules):
            module.restore()
            self.tower.set_submodule(path, module.base)
        self.modules = []
        self.tower.adapter = None


def attach(
    tower: MultilingualTextEncoder,
    configs: AdapterConfig | Sequence[AdapterConfig],
    seeds: Sequence[int] = (1,),
) -> Adapter:
    """Put an adapter with one slot for each seed on `tower` and make its parameters the only trainable ones.

    From then on `tower` computes with the adapter, until `Adapter.remove`. An `AdapterBank` leaves its tower plain.

    Args:
        tower: text tower without an adapter.
        configs: one config, or several that work together, e.g. `[LoraConfig(r=8), LayerNormConfig()]`.
        seeds: the initial values of each slot are drawn with its own seed.

    Raises:
        ConfigError: the tower has an adapter already, configs exclude each other, or one does not fit the tower.
        WeightsError: the tower's architecture is unknown.
    """
    check_has_no_adapter(tower)
    configs = (configs,) if isinstance(configs, AdapterConfig) else tuple(configs)
    check_combination(configs)

    if tower.device.type != "meta":  # weights on the meta device have no values; they serve to count parameters
        tower.fix_fingerprint()

    classes = [ADAPTER_CLASSES[config.kind] for config in configs if config.kind in ADAPTER_CLASSES]
    adapter_class = classes[0] if classes else Adapter
    adapter: Adapter = adapter_class(tower, configs, seeds)
    tower.adapter = adapter
    set_trainable(tower, adapter.parameters())
    return adapter


def check_has_no_adapter(tower: MultilingualTextEncoder) -> None:
    """Raise ConfigError for a tower with an adapter."""
    if tower.adapter is not None:
        raise ConfigError("the text tower has an adapter already; call its remove() first")


def check_state(state: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
    """Raise WeightsError unless a state has the names, shapes and kinds of `expected`; `check_finite` checks values."""
    missing = sorted(expected.keys() - state.keys())
    if missing:
        raise WeightsError(f"adapter state lacks {len(missing)} of {len(expected)} parameters, first {missing[0]!r}")

    surplus = sorted(state.keys() - expected.keys())
    if surplus:
        raise WeightsError(f"adapter state has {len(surplus)} unknown parameters, first {surplus[0]!r}")

    for name, expected_tensor in expected.items():
        _check_tensor(name, state[name], expected_tensor)


def _check_tensor(name: str, tensor: torch.Tensor, expected: torch.Tensor) -> None:
    """Raise WeightsError unless a tensor has the shape and the type of `expected`, and token ids rise."""
    if tensor.shape != expected.shape:
        raise WeightsError(
            f"adapter parameter {name!r} has shape {tuple(tensor.shape)}, expected {tuple(expected.shape)}"
        )

    if expected.is_floating_point():
        expected_name = "floating-point numbers"
        has_type = tensor.is_floating_point()
    else:
        expected_name = str(expected.dtype).removeprefix("torch.")
        has_type = tensor.dtype == expected.dtype
    if not has_type:
        actual_name = str(tensor.dtype).removeprefix("torch.")
        raise WeightsError(f"adapter parameter {name!r} holds {actual_name}, expected {expected_name}")

    if name.endswith(".tokens") and bool((tensor[1:] < tensor[:-1]).any()):
        raise WeightsError(f"adapter parameter {name!r} holds descending numbers, expected ascending token ids")


def check_finite(state: Mapping[str, torch.Tensor], path: Path | None = None) -> None:
    """Raise WeightsError with the parameter, and the file `path` if given, unless all numbers are finite."""
    for name, tensor in state.items():
        if not np.isfinite(tensor.detach().float().cpu().numpy()).all():  # torch.isfinite takes three times as long
            prefix = f"adapter {path} cannot be used: " if path else ""
            raise WeightsError(f"{prefix}adapter parameter {name!r} contains NaN or infinity")


def set_trainable(tower: nn.Module, parameters: Sequence[nn.Parameter]) -> None:
    """Freeze all of `tower` and make `parameters` trainable: the only place that sets `requires_grad`."""
    tower.requires_grad_(False)
    for parameter in parameters:
        parameter.requires_grad_(True)
