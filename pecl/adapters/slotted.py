"""`SlottedTower`: languages whose adapters have one spec, in the slots of one adapter on a view of the tower."""

from collections.abc import Iterator, Mapping, Sequence

import torch

from pecl.adapters.adapter import Held, attach
from pecl.adapters.kind import AdapterConfig
from pecl.adapters.merge import second_tower
from pecl.encoders.batches import TokenIds
from pecl.encoders.text import MultilingualTextEncoder


class SlottedTower:
    """A view of a tower, whose weights it shares, with one adapter that has a slot per language.

    Attributes:
        tower: the view.
        adapter: the adapter.
        languages: language of each slot.

    Raises:
        ConfigError: the configs exclude each other or do not fit the tower, or the tower has an adapter already.
    """

    def __init__(self, tower: MultilingualTextEncoder, configs: Sequence[AdapterConfig]) -> None:
        self.tower = second_tower(tower)
        self.adapter = attach(self.tower, configs, seeds=())
        self.languages: list[str] = []

    @property
    def configs(self) -> tuple[AdapterConfig, ...]:
        """The configuration that all languages share."""
        return self.adapter.configs

    def held(self) -> dict[str, Held]:
        """Return the parameters of a slot, by name."""
        return self.adapter.held()

    def add(self, states: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
        """Add languages with checked parameters; memory grows once."""
        first = len(self.languages)
        self.adapter.rearrange(range(first), new=len(states))
        self.adapter.put_slot_states(dict(enumerate(states.values(), first)))
        self.languages += states

    def remove(self, language: str) -> None:
        """Remove a language, which frees its memory."""
        slot = self.languages.index(language)
        self.adapter.rearrange([other for other in range(len(self.languages)) if other != slot])
        del self.languages[slot]

    def encode_token_ids(
        self, token_ids: TokenIds, languages: Sequence[str], batch_size: int, progress: str | None = None
    ) -> torch.Tensor:
        """Return the embeddings (N, D), float32 on the CPU, not normalised, of the token ids of N texts."""
        slot_of = {language: slot for slot, language in enumerate(self.languages)}
        slots = torch.tensor([slot_of[one] for one in languages], dtype=torch.long)  # (N,)
        embeddings = torch.empty(len(token_ids), self.tower.embedding_dim)  # (N, D)
        for places in _together(slots, batch_size):
            own = [token_ids[i] for i in places.tolist()]
            embeddings[places] = self.tower.encode_token_ids(own, batch_size, slots[places], progress)
        return embeddings


def _together(slots: torch.Tensor, batch_size: int) -> Iterator[torch.Tensor]:
    """Yield the places of texts that share passes: those of each slot that fills one, and all others.

    Rows of several slots cost more than rows of one; that pays only if it saves passes.
    """
    fills = slots.bincount() >= batch_size  # (S,)
    for slot in fills.nonzero().flatten():
        yield (slots == slot).nonzero().flatten()
    others = (~fills[slots]).nonzero().flatten()
    if len(others):
        yield others
