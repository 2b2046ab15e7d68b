"""`PeftAdapter`: a method of PEFT on a text tower, with one slot.

PEFT changes a copy of the tower's encoder, which shares the memory of all weights that PEFT leaves as they are. Taking
the adapter off puts the tower's own encoder back. Parameters have PEFT's names; those of layers begin with `backbone.`,
those that PEFT shares between layers with `peft.`.
"""

import copy
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pecl.adapters.foreign import ForeignAdapter
from pecl.adapters.formats.peft import CONFIG_FILE, WEIGHTS_FILE
from pecl.adapters.kind import layer_of
from pecl.adapters.peft import allocation
from pecl.adapters.peft.method import PeftMethod, options_on
from pecl.adapters.peft.methods import (
    PEFT_ERRORS,
    TRIED,
    UNKNOWN_STEPS,
    import_peft,
    peft_config,
    quiet,
)
from pecl.encoders.batches import TokenIds
from pecl.errors import ConfigError, WeightsError, one_line
from pecl.files import write_tensors
from pecl.files.writing import new_folder
from pecl.machine import FP32

NAME = "default"  # of the adapter within PEFT
# Integers that PEFT's layers hold outside their tensors
_INDICES = ("shira_indices", "token_indices", "scatter_index")
# Parts of the names of tensors that PEFT computes from the tower's weights and does not save. Another machine may
# compute others: the signs of singular vectors, and clusters of them, depend on the device and the library.
_COMPUTED = ("_psoft_A_cache.", "_psoft_B_cache.", ".scatter_index")
_TEXTS = ("a", "one two three four five")  # on which a method of a newer PEFT is tried
_TOLERANCE = 1e-4
_ALWAYS_FIT = 2**24  # numbers of a method in an encoder of any size


class PeftAdapter(ForeignAdapter):
    """A method of PEFT on a tower, perhaps with slot modules of pecl for its head or word embeddings.

    Raises:
        ConfigError: PEFT is missing, there are several seeds, the tower is not in fp32, or the method does not fit it.
    """

    trains_all_tensors = False  # a method may hold fixed tensors, such as shared projections

    def put_on(self, seeds: Sequence[int]) -> None:
        """Put PEFT's modules on the tower, then the slot modules."""
        tower = self.tower
        self.check_slots("peft", len(seeds))
        if tower.precision != FP32:
            raise ConfigError(f"engine peft: expected the precision fp32, got {tower.precision}")

        (self.method,) = (config for config in self.configs if isinstance(config, PeftMethod))
        self.paths = self.method.paths(tower)
        self._plain_backbone = tower.backbone
        self._inject(seeds[0] if seeds else 0)

        self.steps = PeftSteps(self)
        super().put_on(seeds)
        if self.method.method not in TRIED and tower.tokenizer is not None:
            self._try_on_texts()

    def _inject(self, seed: int) -> None:
        """Put a copy of the encoder with PEFT's modules in its place; the initial values are those of `seed`."""
        options = options_on(self.method, self.paths, self._plain_backbone)
        self._check_size(options)
        backbone, originals = self._copied()
        config = peft_config(self.method.method, options)
        devices = [self.tower.device] if self.tower.device.type == "cuda" else []

        try:
            with torch.random.fork_rng(devices=devices), quiet():
                torch.manual_seed(seed)
                self.wrapped: Any = import_peft().get_peft_model(backbone, config, NAME)
        except PEFT_ERRORS as error:
            raise ConfigError(
                f"engine peft: {self.method.method} does not fit the text tower {self.tower.name!r}: {one_line(error)}"
            ) from error

        vars(backbone).pop("peft_config", None)  # it would be saved with a merged encoder
        self.config = self.wrapped.peft_config[NAME]
        self.wrapped.train(self.tower.training)
        self._find_tensors(originals)
        self._indices = list(self._live_indices())
        self.tower.backbone = backbone

    def _check_size(self, options: dict[str, Any]) -> None:
        """Raise ConfigError for more numbers than the encoder has, before any memory is taken.

        They are counted without values; a method that needs the values of the weights is limited by its options only.
        """
        if self.tower.device.type == "meta":
            return
        shapes = self._copied()[0].to("meta")
        limit = sum(tensor.numel() for tensor in _tensors_of(shapes))
        try:
            with torch.random.fork_rng(devices=[]), torch.device("meta"), quiet():
                config = peft_config(self.method.method, copy.deepcopy(options))
                wrapped: Any = import_peft().get_peft_model(shapes, config, NAME)
        except PEFT_ERRORS:
            return

        added = sum(tensor.numel() for tensor in _tensors_of(wrapped)) - limit
        if added > max(limit, _ALWAYS_FIT):
            expected = f"expected at most the {limit:,} numbers of the encoder"
            raise ConfigError(f"engine peft: {self.method.method}: {expected}, got {added:,}")

    def _copied(self) -> tuple[Any, dict[int, torch.Tensor]]:
        """Return a copy of the encoder, and the tower's own tensors by the id of the copy's.

        Modules that PEFT changes have copies of their tensors; all others share theirs with the tower.
        """
        backbone = self._plain_backbone
        changed_modules = [backbone.get_submodule(path) for path in chain.from_iterable(self.paths.values())]
        changed = {id(tensor): tensor for module in changed_modules for tensor in _tensors_of(module)}

        # `deepcopy` does not copy what is in the memo
        memo: dict[int, Any] = {id(tensor): tensor for tensor in _tensors_of(backbone) if id(tensor) not in changed}
        copied = copy.deepcopy(backbone, memo)

        originals = {id(tensor): tensor for tensor in _tensors_of(copied)}
        originals |= {id(memo[key]): tensor for key, tensor in changed.items()}
        return copied, originals

    def _find_tensors(self, originals: Mapping[int, torch.Tensor]) -> None:
        """Find the parameters that PEFT trains, and all tensors that a file needs.

        `originals` has the tower's own tensor for the id of each tensor of the copied encoder. A copy that PEFT did not
        change shares the memory of the tower's own again.
        """
        self.trained: dict[str, nn.Parameter] = {}
        self._held: dict[str, torch.Tensor] = {}
        saved = self.wrapped.state_dict().keys()

        for name, tensor in chain(self.wrapped.named_parameters(), self.wrapped.named_buffers()):
            original = originals.get(id(tensor))
            if original is not None and not _is_changed(tensor, original):
                tensor.data = original.data
                continue

            if name in saved or _is_computed(name):
                self._held[_name(name)] = tensor
            if isinstance(tensor, nn.Parameter) and tensor.requires_grad:
                self.trained[_name(name)] = tensor

        if not self.trained:
            raise ConfigError(f"engine peft: {self.method.method} trains nothing with these options")

    def _live_indices(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the name and the holder of the indices of each layer; those in lists become arrays."""
        for path, module in self.wrapped.named_modules():
            for name in _INDICES:
                holder = getattr(module, name, None)
                if isinstance(holder, dict) and NAME in holder:
                    if isinstance(holder[NAME], list):
                        holder[NAME] = torch.tensor(holder[NAME], dtype=torch.int64).numpy()
                    yield f"{_name(path)}.{name}", holder

    def _try_on_texts(self) -> None:
        """Raise ConfigError if a method gives no gradient, or mixes the texts of a batch."""
        token_ids = self.tower.tokenize(_TEXTS)
        parameters = list(self.trained.values())
        values_before = [parameter.detach().clone() for parameter in parameters]
        generator = torch.Generator().manual_seed(0)
        for parameter in parameters:  # fresh parameters may change nothing yet
            parameter.data += torch.randn(parameter.shape, generator=generator).to(parameter)

        try:
            batch = self.tower.pad(token_ids, range(len(_TEXTS)))
            together = self.tower(batch.input_ids, batch.attention_mask)
            rows = [self.tower.pad(token_ids, [i]) for i in range(len(_TEXTS))]
            alone = torch.cat([self.tower(row.input_ids, row.attention_mask) for row in rows])
            together.square().sum().backward()
        except PEFT_ERRORS as error:
            self.remove()
            raise ConfigError(f"engine peft: {self.method.method} does not work here: {one_line(error)}") from error

        has_gradient = any(parameter.grad is not None for parameter in parameters)
        for parameter, value in zip(parameters, values_before, strict=True):
            parameter.data.copy_(value)
            parameter.grad = None

        problem = "" if has_gradient else "gives no gradient"
        if not torch.allclose(together, alone, atol=_TOLERANCE):
            problem = "mixes the texts of a batch"
        if problem:
            self.remove()
            raise ConfigError(f"engine peft: {self.method.method} {problem}, so it does not work here: use lora")

    def own_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the parameters that PEFT trains."""
        yield from self.trained.items()

    def own_tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield parameters, what layers share or draw at random, and weights of the tower that PEFT replaced."""
        yield from self._held.items()
        for name, holder in self._indices:
            yield name, torch.as_tensor(holder[NAME])

    def complete(self, state: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        """Return a state with what PEFT computes from the tower's weights, which files did not hold before."""
        computed = {name: tensor for name, tensor in self.own_tensors() if _is_computed(name) and name not in state}
        return {**state, **computed}

    def put_slot_states(self, states: Mapping[int, Mapping[str, torch.Tensor]]) -> None:
        """Set the tensors of the only slot; see `Adapter.put_slot_states`."""
        super().put_slot_states({slot: self.complete(state) for slot, state in states.items()})
        if states:
            self.follow_projections()

    def follow_projections(self) -> None:
        """Compute FRoD's factor U of each layer for the projection V of the file: U diag(lambda) V is the weight."""
        for module in self.wrapped.modules():
            if NAME in getattr(module, "frod_U", {}):
                factor, _ = module._calculate_frod_u_and_lambda(module.frod_V[NAME], module.base_layer.weight)
                module.frod_U[NAME].copy_(factor)

    @property
    def first_layer(self) -> int:
        """See `RowAdapter`."""
        paths = chain.from_iterable(self.paths.values())
        return min(super().first_layer, *(layer_of(self._plain_backbone, f"backbone.{path}") for path in paths))

    def choose(self, slot: int, texts: Iterable[TokenIds]) -> None:
        """Let trainable_tokens choose the most frequent tokens of the training texts, unless its options name them."""
        texts = list(texts)
        super().choose(slot, texts)
        if self.method.method != "trainable_tokens" or "token_indices" in self.method.values:
            return

        counts = Counter(token for column in texts for text in column for token in text)
        for (_, holder), path in zip(self._indices, self.paths["target_modules"], strict=True):
            layer = self.wrapped.get_submodule(f"base_model.model.{path}")
            tokens = _most_frequent(counts, len(holder[NAME]), layer.base_layer.num_embeddings)
            token_ids = torch.tensor(tokens)
            rows = layer.base_layer.weight.detach()[token_ids.to(self.tower.device)]
            layer.trainable_tokens_original[NAME].copy_(rows)

            # The vectors of tokens that were chosen before, by the adapter that a training starts from, are kept
            delta = layer.trainable_tokens_delta[NAME].data
            vectors = dict(zip(holder[NAME].tolist(), delta.clone(), strict=True))
            delta.copy_(torch.stack([vectors.get(token, row) for token, row in zip(tokens, rows, strict=True)]))
            holder[NAME][:] = token_ids.numpy()

    def plain_backbone(self, slot: int, memo: dict[int, Any]) -> Any:
        """Return a copy of the encoder into which PEFT merged the adapter; raise WeightsError where it cannot merge."""
        for path in chain.from_iterable(self.paths.values()):
            for tensor in _tensors_of(self.tower.backbone.get_submodule(path)):
                memo.pop(id(tensor), None)
        wrapped = copy.deepcopy(self.wrapped, memo).eval()

        try:
            with quiet(), torch.no_grad():
                backbone = wrapped.merge_and_unload(safe_merge=True)
        except (NotImplementedError, *PEFT_ERRORS) as error:
            raise WeightsError(f"this adapter cannot be merged into the tower: {one_line(error)}") from error
        vars(backbone).pop("peft_config", None)
        return backbone.requires_grad_(False)

    def write_folder(self, folder: Path, base: str | None = None) -> None:
        """Write PEFT's two files into `folder`, without pecl's own parts; `base` names the encoder for PEFT."""
        config = self.config
        if hasattr(config, "token_indices"):
            config.token_indices = [int(token) for _, holder in self._indices for token in holder[NAME]]

        allocates_ranks = hasattr(self.wrapped.base_model, "rankallocator")  # AdaLoRA
        pattern_before = getattr(config, "rank_pattern", None)
        try:
            if allocates_ranks:  # the ranks of these weights; those of a later step may be fewer
                config.rank_pattern = allocation.rank_pattern(self.wrapped)
            with quiet():
                get_state = import_peft().get_peft_model_state_dict
                state = get_state(self.wrapped, adapter_name=NAME, save_embedding_layers=False)
                written = copy.copy(config)
                written.base_model_name_or_path = base or self.tower.name
                written.task_type = "FEATURE_EXTRACTION"
                written.inference_mode = True
                written.save_pretrained(str(folder))
        finally:
            if allocates_ranks:
                config.rank_pattern = pattern_before

        # without memory that tensors share, such as those of all layers
        tensors = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()
        }
        write_tensors(folder / WEIGHTS_FILE, tensors, {"format": "pt"})

    def remove(self) -> None:
        """Take the adapter off and put the tower's own encoder back."""
        super().remove()
        self.tower.backbone = self._plain_backbone.train(self.tower.backbone.training)


class PeftSteps:
    """The steps of a `PeftAdapter`, see `TrainingSteps`: AdaLoRA's and AdaMSS's choice of ranks, and PEFT's folder."""

    def __init__(self, adapter: PeftAdapter) -> None:
        self.adapter = adapter

    def begin(self, steps: int) -> None:
        """Give the length of the training to a method that allocates ranks by it."""
        config = self.adapter.config
        if getattr(config, "total_step", None) == UNKNOWN_STEPS and steps:
            first, last = config.tinit, config.tfinal
            if first >= steps - last:
                raise ConfigError(
                    f"engine peft: {self.adapter.method.method}: expected tinit + tfinal below the {steps} steps of "
                    f"the training, got {first + last}"
                )
            config.total_step = steps

    def penalty(self) -> torch.Tensor | float:
        """Return AdaLoRA's penalty on factors that are not orthogonal; PEFT adds it to the loss of a whole model."""
        return allocation.penalty(self.adapter.config, self.adapter.trained)

    def after_step(self, step: int) -> None:
        """Let AdaLoRA and AdaMSS allocate their ranks."""
        if hasattr(self.adapter.wrapped.base_model, "update_and_allocate"):
            self.adapter.wrapped.base_model.update_and_allocate(step)

    def prune_average(self, averages: Mapping[str, torch.Tensor]) -> None:
        """Set the ranks to zero that AdaLoRA cut: their averages would be those of the steps before."""
        for name, parameter in self.adapter.trained.items():
            if ".lora_E." in name:
                averages[name].masked_fill_(parameter.detach() == 0, 0.0)

    def progress(self) -> dict[str, torch.Tensor]:
        """Return the scores and masks of the allocation of ranks."""
        return allocation.progress(self.adapter.wrapped, self.adapter.trained)

    def resume(self, progress: Mapping[str, torch.Tensor]) -> None:
        """Put back what `progress` returned."""
        allocation.resume(self.adapter.wrapped, self.adapter.trained, progress)
        self.adapter.follow_projections()

    def finish(self, path: Path) -> None:
        """Write PEFT's folder at `path`, without pecl's own parts; a folder of PEFT that is there is replaced."""
        if (path / CONFIG_FILE).exists():
            shutil.rmtree(path)
        with new_folder(path) as folder:
            self.adapter.write_folder(folder)


def _tensors_of(module: nn.Module) -> Iterator[torch.Tensor]:
    """Yield the parameters and buffers of a module."""
    yield from module.parameters()
    yield from module.buffers()


def _is_computed(name: str) -> bool:
    """Return whether PEFT computes a tensor from the tower's weights and does not save it."""
    return any(part in name for part in _COMPUTED)


def _is_changed(tensor: torch.Tensor, original: torch.Tensor) -> bool:
    """Return whether PEFT changed the values of a tensor of the copied encoder."""
    # Shared tensors are not compared: that would read all weights from the disk.
    # Tensors on the meta device have no values.
    if tensor is original or tensor.device.type == "meta":
        return False
    return not torch.equal(original, tensor)


def _most_frequent(counts: Mapping[int, int], number: int, vocabulary: int) -> list[int]:
    """Return the `number` most frequent tokens, rising; the first tokens of the vocabulary fill what is left."""
    tokens = sorted(counts, key=lambda token: (-counts[token], token))[:number]
    unseen_tokens = (token for token in range(vocabulary) if token not in counts)
    return sorted([*tokens, *islice(unseen_tokens, number - len(tokens))])


def _name(name: str) -> str:
    """Return the name in pecl's files of a tensor of PEFT's model."""
    name = name.removeprefix("base_model.")
    return f"backbone.{name.removeprefix('model.')}" if name.startswith("model.") else f"peft.{name}"
