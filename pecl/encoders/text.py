"""`MultilingualTextEncoder`: a frozen transformers encoder, a pooling of its tokens, then a linear layer.

With the masked mean as pooling, it is M-CLIP's text tower (multilingual-clip's `MultilingualCLIP`).
Tokenisation is not part of `forward`, so a text that is encoded many times is tokenised once.
Adapters take part at two points only (`RowAdapter`): they get the slot of each row, and a prompt
lengthens the sequence of input embeddings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from pecl.encoders import batches, layers
from pecl.encoders.attention import register_with_transformers
from pecl.encoders.batches import MAX_PADDING, Batch, TokenIds
from pecl.encoders.bert import Bert, in_transformers
from pecl.encoders.bfloat16 import Bfloat16Linear
from pecl.encoders.cached_layers import CACHED_BYTES, CachedLayers, LayerStates
from pecl.encoders.dropout import DropoutSeeds
from pecl.encoders.fingerprint import Tower, fingerprint_module
from pecl.encoders.lock import Lock
from pecl.encoders.passes.choice import choose_pass
from pecl.encoders.passes.inputs import PassInputs
from pecl.encoders.pooling import POOLINGS
from pecl.encoders.row_adapter import RowAdapter
from pecl.encoders.runtime import Runtime, threads_beside
from pecl.encoders.tokenizing import Tokenizing
from pecl.errors import ConfigError, unknown
from pecl.files.progress import Bar
from pecl.machine import BF16, FP32

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class MultilingualTextEncoder(Tokenizing, Tower):
    """Text tower: backbone, pooling, head.

    Args:
        backbone: transformers encoder without pooler, which gives `last_hidden_state` (B, L, d); or a `Bert`.
        tokenizer: transformers tokenizer of the backbone.
        head: linear layer d -> D, or layers whose last linear one gives D; None for the pooled vector itself.
        name: name of the tower in results.
        text_prefix: text put before every text, such as E5's "query: ".
        max_length: longest sequence in tokens; longer texts are cut.
        pooling: `mean` over the tokens, `cls` (the first) or `lasttoken`.
        clean: a change of each text before the tokenizer, a name in `cleaning.CLEANINGS`; empty for none.
        transliterates: whether texts in some scripts are first written in another script, see
            `pecl.language.transliteration`.
        fingerprint: fingerprint of the weights, if it is known; by default it is computed at first use.
    """

    def __init__(
        self,
        backbone: PreTrainedModel | Bert,
        tokenizer: Any,
        head: nn.Module | None,
        *,
        name: str,
        text_prefix: str = "",
        max_length: int = 128,
        pooling: str = "mean",
        clean: str = "",
        transliterates: bool = False,
        fingerprint: str | None = None,
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ConfigError(unknown("pooling", pooling, POOLINGS))

        if not isinstance(backbone, Bert):
            register_with_transformers()

        self.backbone: Any = backbone  # transformers' model or `Bert`
        self.head = head if head is not None else nn.Identity()
        # Width D of the embeddings; not read from `head` later, since an adapter may replace it.
        linear = [layer for layer in self.head.modules() if isinstance(layer, nn.Linear)]
        self.embedding_dim: int = backbone.config.hidden_size
        if linear:
            self.embedding_dim = linear[-1].out_features

        self.tokenizer = tokenizer
        self.name = name
        self.text_prefix = text_prefix
        self.max_length = max_length
        self.pooling = pooling
        self.clean = clean
        self.transliterates = transliterates
        # of texts whose language is not given: that of an adapter merged into it
        self.language: str | None = None
        self.adapter: RowAdapter | None = None
        self.dropout_seeds = DropoutSeeds()  # shared by all dropouts, see `use_row_dropout`
        self.cached_layers: CachedLayers | None = None  # see `caching`
        self._earlier_states: LayerStates | None = None  # of the last cache
        # held while texts are tokenised or embedded, which set the slots, the attention and the tokenizer's limit;
        # towers that share weights share it
        self.lock = Lock()
        self.packing = True  # whether a batch with much padding is computed without it
        self.runtime: Runtime | None = None  # computes the backbone in place of PyTorch
        self._fingerprint = fingerprint
        self.eval()

    @property
    def precision(self) -> str:
        """PyTorch's arithmetic of the frozen matrices: fp32 (or whatever `dtype` is), or bf16."""
        if any(isinstance(module, Bfloat16Linear) for module in self.backbone.modules()):
            return BF16
        return FP32

    def use_bfloat16(self, states: bool | None = None) -> None:
        """Hold and multiply the frozen matrices of the transformer in bfloat16: faster, and half their memory.

        `states`: whether the states between layers are bfloat16, too; None chooses by the device, see `bfloat16`. The
        fingerprint stays that of the weights as they were. Raise ConfigError if the tower has an adapter.
        """
        if self.adapter is not None:
            raise ConfigError("expected a text tower without adapter: set it before you attach one", field="precision")

        self.fix_fingerprint()
        if states is None:
            states = self.device.type == "cpu" and layers.knows_attention(self.backbone)

        for path, module in list(self.backbone.named_modules()):
            if type(module) is nn.Linear:
                self.backbone.set_submodule(path, Bfloat16Linear(module, states))

        if states:
            self.backbone.state_dtype = torch.bfloat16

    @property
    def holds_bfloat16(self) -> bool:
        """Whether the states between layers are bfloat16, see `bfloat16`."""
        return layers.state_dtype(self.backbone) is not None

    def written_backbone(self) -> PreTrainedModel:
        """Return the backbone in transformers' class, sharing the weights, for programs that need that class."""
        if isinstance(self.backbone, Bert):
            return in_transformers(self.backbone)
        return self.backbone

    def fix_fingerprint(self) -> str:
        """Compute the fingerprint of the tower as it is now, unless it is fixed already, and return it.

        Call it before anything changes the weights that a fingerprint must describe: an adapter
        or rounding. Raise RuntimeError if it comes too late, after an adapter.
        """
        if self._fingerprint is None:
            if self.adapter is not None:
                raise RuntimeError(f"fingerprint of the text tower {self.name}: expected it before an adapter")
            settings = {"text_prefix": self.text_prefix, "max_length": self.max_length, "pooling": self.pooling}
            if self.clean:
                settings["clean"] = self.clean
            self._fingerprint = fingerprint_module(self, settings)

        return self._fingerprint

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the frozen weights and settings, see `fix_fingerprint`."""
        return self.fix_fingerprint()

    def pad(self, token_ids: TokenIds, indices: Sequence[int] | torch.Tensor) -> Batch:
        """Return the texts at `indices` as one batch, on the CPU."""
        return batches.pad(token_ids, indices, self.tokenizer.pad_token_id)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        slots: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Embed token ids.

        Arguments on the CPU are copied to the tower's device without waiting for it. Arguments on
        that device make the CPU wait, since it needs the positions of the tokens.

        Args:
            input_ids: (B, L) int64.
            attention_mask: (B, L), 1 for tokens and 0 for padding.
            slots: (B,) int64, the adapter slot of each row; None where there is one slot, or no adapter.

        Returns:
            (B, D) embeddings, not normalised.
        """
        return self.head(self.pooled(input_ids, attention_mask, slots))  # (B, d) -> (B, D)

    def pooled(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        slots: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the input (B, d) of the head; arguments as in `forward`."""
        if self.adapter is not None:
            self.adapter.select(slots, len(input_ids))
        inputs = PassInputs(input_ids, attention_mask)
        return choose_pass(self, inputs)(self, inputs)

    @contextmanager
    def caching(
        self,
        lists: Iterable[TokenIds],
        limit: int = CACHED_BYTES,
    ) -> Iterator[CachedLayers | None]:
        """Cache the outputs of the layers below the adapter, so that passes in the body begin at its lowest layer.

        The outputs for the texts of `lists` are computed now, in evaluation mode, up to `limit`
        bytes; those of other texts are computed in each pass. Passes with dropout do not use the
        cache. Nothing is cached, and None yielded, for an adapter in the first layer or below it,
        or an attention other than torch's SDPA.

        The outputs stay in memory until the next call, so that a run on the same texts does not
        compute them again.
        """
        first = 0 if self.adapter is None else self.adapter.first_layer
        earlier = self._earlier_states
        self._earlier_states = None
        if first == 0 or not layers.can_pack(self.backbone):
            yield None
            return

        self.eval()
        cache = CachedLayers(self.backbone, first, self.pooling, limit, earlier)
        self.cached_layers = cache

        try:
            cache.add(lists)
            yield cache
            self._earlier_states = cache.states
        finally:
            self.cached_layers = None

    @property
    def draws_by_row(self) -> bool:
        """Whether all dropout of the backbone, also in its attention, can be drawn per row; see `dropout`."""
        inner = getattr(self.backbone.config, "attention_probs_dropout_prob", None)
        return inner == 0 or layers.knows_attention(self.backbone)

    @property
    def reads_last(self) -> bool:
        """Whether only the last position of the last layer is read; the layer then computes no other output."""
        return self.pooling == "lasttoken" and self.family is not None and self.family.is_fixed

    @property
    def active_runtime(self) -> Runtime | None:
        """The runtime, if it computes the next pass. PyTorch computes gradients, dropout, and what a runtime lacks."""
        runtime = self.runtime
        if runtime is None or self.training or torch.is_grad_enabled() or not runtime.computes(self):
            return None
        return runtime

    @property
    def may_pack(self) -> bool:
        """Whether batches can be packed, and have padding that can be left out."""
        if self.active_runtime is not None or (self.family is not None and self.family.is_fixed):
            return False
        takes_tokens = self.adapter is None or self.adapter.works_on_tokens
        return self.packing and takes_tokens and layers.can_pack(self.backbone)

    @torch.inference_mode()
    def encode_batches(
        self,
        token_ids: TokenIds,
        batch_size: int = 64,
        slots: torch.Tensor | None = None,
        *,
        only: Set[int] | None = None,
        progress: str | None = None,
        head: bool = True,
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Embed tokenised texts; yield for each batch the indices (B,) of its texts and their embeddings (B, D).

        The embeddings are float32 on the CPU and not normalised.

        Args:
            token_ids: N texts; the batches, and so the last bits of each embedding, depend on all of them.
            batch_size: largest number of texts in a batch.
            slots: the adapter slot of each text, (N,) int64; None where there is one slot, or no adapter.
            only: indices of texts; batches without any of these are skipped.
            progress: name of a progress bar, which counts texts; None for no bar.
            head: False for the input (B, d) of the head in place of embeddings.
        """
        encode = self if head else self.pooled
        # large batches, if their padding costs nothing
        max_padding = 1.0 if self.may_pack else MAX_PADDING

        with self._evaluating(), _progress(progress, len(token_ids)) as count:
            for batch in batches.batches(token_ids, batch_size, self.tokenizer.pad_token_id, max_padding):
                places = batch.indices.tolist()
                if only is None or not only.isdisjoint(places):
                    rows = None if slots is None else slots[batch.indices]
                    with self.lock, threads_beside(self.active_runtime):
                        embeddings = encode(batch.input_ids, batch.attention_mask, rows)
                    yield places, embeddings.float().cpu()
                count(len(places))

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Set evaluation mode within the body. A tower that has it stays as it is: to set it visits every module."""
        if not self.training:
            yield
            return

        self.eval()
        try:
            yield
        finally:
            self.train()

    def _apply(self, *args: Any, **options: Any) -> Any:
        """Move or convert the weights; a runtime has those of before."""
        self.runtime = None
        return super()._apply(*args, **options)

    def encode_token_ids(
        self,
        token_ids: TokenIds,
        batch_size: int = 64,
        slots: torch.Tensor | None = None,
        progress: str | None = None,
    ) -> torch.Tensor:
        """Return the embeddings (N, D), float32 on the CPU, not normalised, of token ids; `slots` is (N,) or None."""
        embeddings = torch.empty(len(token_ids), self.embedding_dim)  # (N, D)
        for places, batch in self.encode_batches(token_ids, batch_size, slots, progress=progress):
            embeddings[places] = batch
        return embeddings

    def encode_text(
        self,
        texts: str | Iterable[str],
        batch_size: int = 64,
        slots: torch.Tensor | None = None,
        progress: str | None = None,
        *,
        language: str | Sequence[str] | None = None,
        normalize: bool = True,
    ) -> torch.Tensor:
        """Return the embeddings of `texts`: (N, D), float32 on the CPU, without gradients.

        Args:
            texts: one text (N = 1) or N texts.
            batch_size: texts in one pass.
            slots: (N,) int64, the adapter slot of each text; None where there is one slot, or no adapter.
            progress: name of a progress bar, or None for no bar.
            language: the language of all texts, or of each, see `tokenize`.
            normalize: whether each embedding is scaled to length 1, so that a dot product is the
                cosine similarity. Without it, lengths are the tower's own, about 4 with the mini pair.

        Raises:
            DataError: `texts` is neither a text nor several.
            ConfigError: the tower has no token for a language.

        Example:
            >>> text = pecl.load_text_encoder("mini")
            >>> text.encode_text("ein Hund").shape
            torch.Size([1, 256])
            >>> text.encode_text(["ein Hund", "a dog"]).shape
            torch.Size([2, 256])
        """
        embeddings = self.encode_token_ids(self.tokenize(texts, language), batch_size, slots, progress)
        return F.normalize(embeddings, dim=1) if normalize else embeddings


@contextmanager
def _progress(name: str | None, texts: int) -> Iterator[Callable[[int], object]]:
    """Yield a function that counts finished texts in a progress bar called `name`; without a name, there is no bar."""
    if name is None:
        yield lambda _: None
        return

    with Bar(total=texts, desc=name, unit="text", leave=False) as bar:
        yield bar.update
