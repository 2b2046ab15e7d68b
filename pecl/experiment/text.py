"""The translated text that a training learns from in place of its pairs, and the part of it that is held out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pecl.config import ExperimentConfig
from pecl.data.captions import ParallelCaptions
from pecl.data.own.sources import Pair, normal_form, parse_sources, read_source, shuffled, weighted
from pecl.data.told import strange_languages
from pecl.errors import DataError, require

logger = logging.getLogger(__name__)

MOST_HELD_OUT = 1000


def load_text(config: ExperimentConfig, named: Mapping[str, Callable[[], ParallelCaptions]]) -> ParallelCaptions:
    """Return the pairs of `config.text`: `english` and `target`.

    Pairs that are empty, or that repeat another, are refused or named; with `config.clean` they are dropped.

    Raises:
        DataError: a source is missing or wrong, or has empty pairs.
    """
    pairs: list[Pair] = []
    records = []
    for source in parse_sources(config.text or ""):
        found, record = read_source(source, config.language, named)
        kept, counts = _cleaned(found, source.name, config.clean)
        if source.name not in named and kept:
            targets, english = zip(*kept, strict=True)
            if strange := strange_languages(targets, english, config.language):
                logger.warning("%s: %s", source.name, strange)
        used = weighted(kept, source)
        pairs += used
        records.append({"source": source.name, "weight": source.weight, "pairs": len(found), **counts, **record})
    if not pairs:
        raise DataError(f"text: expected at least one pair, got none from {config.text}")
    targets, english = zip(*pairs, strict=True)
    return ParallelCaptions("text", config.language, english, targets, provenance={"sources": records})


def _cleaned(pairs: list[Pair], name: str, clean: bool) -> tuple[list[Pair], dict[str, int]]:
    """Return the pairs to be used, and how many are empty and how many repeat another."""
    empty = [i for i, pair in enumerate(pairs) if not all(text.strip() for text in pair)]
    without = set(empty)
    full = [pair for i, pair in enumerate(pairs) if i not in without]
    distinct = list(dict.fromkeys(full))
    counts = {"empty": len(empty), "repeated": len(full) - len(distinct)}
    if empty and not clean:
        raise DataError(
            f"text: {name}: {len(empty)} of {len(pairs)} pairs have an empty side, first pair {empty[0] + 1}: "
            "drop them with --clean"
        )
    if counts["repeated"] and not clean:
        logger.warning("%s: %d of %d pairs repeat another: --clean drops them", name, counts["repeated"], len(pairs))
    return (distinct if clean else full), counts


def without_overlap(text: ParallelCaptions, test: ParallelCaptions, overlap: str) -> ParallelCaptions:
    """Return the text without what the test part holds, as `overlap` says: refuse, drop or allow.

    A pair overlaps if one of its sides is a caption of the test part, in any column; case, spaces and punctuation do
    not count.

    Raises:
        DataError: there is overlap, and it is to be refused; or nothing is left.
    """
    columns = (test.english, test.target, test.english_to_target, test.target_to_english)
    tested = {normal_form(caption) for column in columns if column is not None for caption in column} - {""}
    english = require(text.english, "english")
    sides = zip(text.target, english, strict=True)
    found = [i for i, pair in enumerate(sides) if any(normal_form(side) in tested for side in pair)]
    if found and overlap == "refuse":
        raise DataError(
            f"text: {len(found)} of {len(text)} pairs are in the test part, first pair {found[0] + 1} "
            f"({english[found[0]]!r}): drop them with --overlap drop, or allow them with --overlap allow"
        )
    if not found or overlap == "allow":
        return _recorded(text, overlap={"pairs": len(found), "dropped": 0})
    dropped = set(found)
    kept = [i for i in range(len(text)) if i not in dropped]
    if not kept:
        raise DataError(f"text: all {len(text)} pairs are in the test part: nothing is left to train on")
    return _recorded(text.select(kept), overlap={"pairs": len(found), "dropped": len(found)})


def hold_out(text: ParallelCaptions, held_out: int | None, train_size: int | None) -> ParallelCaptions:
    """Return the text with parts: `val` for what is held out, `train` for what is trained on.

    What is held out is drawn by a fixed order, the same for all runs: one pair an English caption, of which no other
    translation is trained on. Of what remains, the first `train_size` pairs of that order are trained on.

    Raises:
        DataError: too few pairs are left to train on.
    """
    order = shuffled(len(text))
    count = held_out if held_out is not None else min(MOST_HELD_OUT, len(text) // 10)
    english = require(text.english, "english")
    first: dict[str, int] = {}  # English caption -> the first pair of that order that has it
    for i in order:
        first.setdefault(english[i], i)
    captions = list(first)[:count]
    kept = [first[caption] for caption in captions]
    held = set(captions)
    training = [i for i in order if english[i] not in held]
    if train_size is not None:
        training = training[:train_size]
    if count < 1 or not training:
        raise DataError(
            f"text: {len(text)} pairs are too few to hold out {count}, which the choice needs, and train on the rest: "
            "expected at least 10 pairs, or a smaller --held-out"
        )
    chosen = text.select(kept + training)
    parts = ("val",) * len(kept) + ("train",) * len(training)
    return _recorded(replace(chosen, part=parts), held_out=len(kept))


def _recorded(text: ParallelCaptions, **record: Any) -> ParallelCaptions:
    return replace(text, provenance=text.provenance | record)


def part_of(text: ParallelCaptions, part: str) -> ParallelCaptions:
    """Return the pairs of one part."""
    parts: Sequence[str] = text.part or ()
    return text.select([i for i, name in enumerate(parts) if name == part])
