"""Packed passes next to padded ones: CPU seconds of the mini text tower, on one thread, by turns.

    python benchmarks/packing.py --texts 128 --rounds 3

Ways: `packed` leaves out all padding; `sorted` pads batches of 64 texts in the order of their
length; `cut` also ends a batch before a tenth of it is padding. Values are CPU seconds, and their
ratio to `packed`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import torch
from figures import fastest

from pecl.adapters.bank import AdapterBank
from pecl.adapters.ready import ready_adapters
from pecl.data.registry import load_dataset
from pecl.encoders.batches import MAX_PADDING, TokenIds, batches
from pecl.encoders.passes.inputs import PassInputs
from pecl.encoders.passes.packed import packed
from pecl.encoders.passes.padded import padded
from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.towers import load_text_encoder
from pecl.errors import not_none

LANGUAGES = ("cs", "de", "fr", "pl", "ru", "tr", "vi", "hu")
PASSES = {"packed": (packed, 1.0), "sorted": (padded, 1.0), "cut": (padded, MAX_PADDING)}


@dataclass(frozen=True)
class Work:
    """Texts that are embedded together."""

    tower: MultilingualTextEncoder
    token_ids: TokenIds
    slots: torch.Tensor | None  # (N,), or None for the base encoder

    @torch.inference_mode()
    def run(self, way: str) -> None:
        """Embed the texts."""
        chosen, max_padding = PASSES[way]
        padding = not_none(self.tower.tokenizer.pad_token_id, "pad token")
        for batch in batches(self.token_ids, 64, padding, max_padding):
            if self.slots is not None:
                not_none(self.tower.adapter, "adapter").select(self.slots[batch.indices], len(batch.indices))
            self.tower.head(chosen(self.tower, PassInputs(batch.input_ids, batch.attention_mask)))


def make_works(count: int) -> dict[str, Work]:
    """Return the works by name, each with `count` texts."""
    tower = load_text_encoder("mini")
    bank = AdapterBank(tower, plain=None)
    files = ready_adapters("mini")
    bank.add_files((code, files[code]) for code in LANGUAGES)
    slotted = bank.single()

    captions = {code: load_dataset("xtd200", code, text_only=True).target for code in LANGUAGES}
    mixed = [(code, captions[code][i]) for i, code in enumerate(islice(cycle(LANGUAGES), count))]
    texts = [text for _, text in mixed]
    words = " ".join(texts).split()
    long = [" ".join(words[i : i + 3 + 7 * i % 80]) for i in range(count)]  # 3 to 82 words

    def work(texts: Sequence[str], codes: Sequence[str]) -> Work:
        slots = torch.tensor([slotted.languages.index(code) for code in codes])
        return Work(slotted.tower, slotted.tower.tokenize(texts, list(codes)), slots)

    codes = [code for code, _ in mixed]

    return {
        "captions, base encoder": Work(tower, tower.tokenize(texts), None),
        "captions, one adapter": work(texts, ["cs"] * count),
        "captions, eight adapters in turn": work(texts, codes),
        "texts of 3 to 82 words, base encoder": Work(tower, tower.tokenize(long), None),
        "texts of 3 to 82 words, eight adapters in turn": work(long, codes),
        "one batch of captions in random order, base encoder": Work(tower, tower.tokenize(texts[:24]), None),
    }


def main() -> None:
    """Measure all works and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=128, help="texts of each work (default: 128)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each way (default: 3)")
    parsed = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'':52}", *(f"{way:>16}" for way in PASSES))

    for name, work in make_works(parsed.texts).items():
        lengths = [len(ids) for ids in work.token_ids]
        ways: dict[str, Callable[[], None]] = {way: lambda work=work, way=way: work.run(way) for way in PASSES}
        took = fastest(ways, parsed.rounds)
        cells = [f"{took[way]:9.3f} ({took[way] / took['packed']:.2f})" for way in PASSES]
        print(f"{name:52}", *cells, f"  {min(lengths)} to {max(lengths)} tokens", flush=True)


if __name__ == "__main__":
    main()
