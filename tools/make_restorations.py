"""Count the words of each language's training text, into `pecl/language/restorations`: what restores texts.

    python tools/make_restorations.py                     # every language
    python tools/make_restorations.py --language cs,vi

The text is that of the shipped adapters, each pair once: captions, sentences and words that no test
reads. Where few words have marks, these are mostly foreign names, so only capitals are restored. A
language without capitals, too, gets no file.
"""

from __future__ import annotations

import argparse
import json
import lzma
from dataclasses import asdict, replace
from itertools import chain

from marked import ROOT

from pecl.config import read_yaml
from pecl.data.registry import DATASETS
from pecl.experiment.distil import distil_config
from pecl.experiment.loading import TrainingDataCache
from pecl.files import write_bytes
from pecl.language.languages import ENGLISH, language_code
from pecl.language.restoring import Restoration, count_words, restoration_file
from pecl.language.spellings import without_marks

RECIPE = ROOT / "configs" / "distil_mini_ready.yaml"
TEXT = "flickr30k200?,emoji?,sib200?,gatitos?"
LEAST_MARKED = 0.005  # share of the words with marks
LEAST_CAPITALS = 100  # words; a script without capitals has fewer, which are abbreviations in Latin letters


def main() -> None:
    """Count the words of one language after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--language", default="all", help="codes joined by commas, or all")
    parsed = parser.parse_args()
    with_text = sorted({*chain(*(DATASETS[name].languages for name in ("flickr30k200", "gatitos")))} - {ENGLISH})
    chosen = with_text if parsed.language == "all" else map(language_code, parsed.language.split(","))

    for language in chosen:
        restoration = count_words(training_text(language), language)
        if share_with_marks(restoration) < LEAST_MARKED:
            restoration = replace(restoration, words={}, pairs={})

        path = restoration_file(language)
        if not restoration.words and len(restoration.capitals) < LEAST_CAPITALS:
            path.unlink(missing_ok=True)
            print(f"{language}: no file", flush=True)
            continue

        write_bytes(path, packed(restoration))
        print(
            f"{language}: {len(restoration.words):,} words, {len(restoration.capitals):,} capitals, "
            f"{path.stat().st_size:,} bytes",
            flush=True,
        )


def training_text(language: str) -> list[str]:
    """Return the texts of a language that its shipped adapter was trained on, each once, in order."""
    dataset = "xtd200" if language in DATASETS["flickr30k200"].languages else "gatitos"
    changes = {"dataset": dataset, "text": TEXT, "mixed": None, "language": language}
    _, text = TrainingDataCache()(distil_config({**read_yaml(RECIPE), **changes}, TrainingDataCache()))
    return list(dict.fromkeys(text.train.target))


def share_with_marks(restoration: Restoration) -> float:
    """Return the share of the counted words that have marks."""
    counts = restoration.words.items()
    marked = sum(count for word, count in counts if without_marks(word, restoration.language) != word)
    return marked / restoration.total


def packed(restoration: Restoration) -> bytes:
    """Return the file of a restoration."""
    fields = asdict(restoration)
    del fields["language"]
    return lzma.compress(json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode(), preset=9)


if __name__ == "__main__":
    main()
