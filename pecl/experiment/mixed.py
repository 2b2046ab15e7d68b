"""`--mixed`: train on English captions, too, in which words of the language replace those that they translate."""

import logging
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from pecl.config import ExperimentConfig
from pecl.data.captions import ParallelCaptions, resolve_captions_file, stripped_lines
from pecl.data.custom.sources import normal_form, parse_sources, weighted
from pecl.data.languages import LANGUAGES
from pecl.data.mixing import UNSPACED, Mixer
from pecl.data.published.multi30k import TASK_FOLDER, outside_pool
from pecl.data.registry import find_data_dir
from pecl.errors import DataError, not_none, suggest
from pecl.experiment.text import TrainingText, lexicon_pairs, normal_forms
from pecl.files import sha256_file
from pecl.files.columns import column_of

logger = logging.getLogger(__name__)

MULTI30K = "multi30k"  # the name of its English training captions
_LEAST_SHARE = 0.1  # of words that are replaced, without a warning


def with_mixed(text: TrainingText, config: ExperimentConfig, test: ParallelCaptions) -> TrainingText:
    """Return a training text with mixed captions behind its pairs, made with a lexicon of the pairs.

    Captions of the test part, held-out ones, and those of the photographs of `multi30k-1k` are left out.

    Raises:
        DataError: a source is missing or wrong, or nothing is left of it.
    """
    captions, sources = _read(config)
    left_out = normal_forms(test)
    if text.held_out is not None:
        left_out |= normal_forms(text.held_out)
    kept = [caption for caption in captions if normal_form(caption) not in left_out]
    if len(kept) < len(captions):
        logger.info(
            "mixed: %d of %d captions are tested or held out: dropped", len(captions) - len(kept), len(captions)
        )
    if not kept:
        raise DataError(f"mixed: expected captions that are neither tested nor held out, got none from {config.mixed}")
    mixer = Mixer(*lexicon_pairs(text.train), spaces=LANGUAGES[config.language].script not in UNSPACED)
    mixed, counts = zip(*mixer(kept), strict=True)
    share = sum(counts) / sum(len(caption.split()) for caption in kept)
    logger.info("mixed: %.0f %% of the words of %d captions are replaced", 100 * share, len(kept))
    if share < _LEAST_SHARE:
        logger.warning("mixed: few words are replaced: too few pairs, or words that spaces do not separate")
    english, target = (not_none(text.train.english, "english"), kept), (text.train.target, mixed)
    columns = column_of(chain(*english)), column_of(chain(*target))
    record = {"mixed": {"sources": sources, "captions": len(kept), "share_of_words": round(share, 4)}}
    provenance = text.train.provenance | record
    train = ParallelCaptions(text.train.dataset, config.language, *columns, provenance=provenance)
    return replace(text, train=train, mixed=len(kept), shared=(*text.shared, kept))


def _read(config: ExperimentConfig) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the English captions of all sources by their weights, and a record of each source."""
    captions, records = list[str](), []
    for source in parse_sources(config.mixed or "", "mixed"):
        path, root = Path(source.name), None
        if source.name == MULTI30K:
            root = find_data_dir(MULTI30K, config.data_dir)
            path = root / TASK_FOLDER / "raw" / "train.en"
        path = resolve_captions_file(path)
        if not path.exists():
            hint = suggest(source.name, (MULTI30K,))
            raise DataError(f'mixed: expected {MULTI30K} or a file with a caption per line, got "{source.name}"{hint}')
        lines = list(stripped_lines(path))
        if root is not None:
            lines = outside_pool(lines, root)
        lines = [line for line in lines if line]
        captions += [lines[index] for index in weighted(np.arange(len(lines)), source)]
        records.append({"source": source.name, "weight": source.weight, "file": path.name, "sha256": sha256_file(path)})
    return captions, records
