"""Translated text that replaces the training pairs, with a held-out part.

Sources are read pair by pair into columns, which lie on disk if they are long (`ArrowColumn`). A
pair takes at most 50 bytes of memory while it is read, and 12 bytes afterwards.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from pecl.config import ExperimentConfig
from pecl.data.captions import COLUMNS, ParallelCaptions, has_words, hashes_of
from pecl.data.custom.sources import (
    TextPair,
    TextSource,
    normal_form,
    parse_sources,
    read_source,
    shuffled,
    text_key,
    text_keys,
    weighted,
)
from pecl.errors import DataError, not_none, setting
from pecl.files import HALF_CHARACTER
from pecl.files.columns import TextWriter
from pecl.files.progress import Bar
from pecl.language.language_guess import strange_languages
from pecl.language.languages import COLUMN_WORDS, language_name
from pecl.language.lexicon import MOST_PAIRS

logger = logging.getLogger(__name__)

MOST_HELD_OUT = 1000
_MOST_EQUAL = 0.1  # share of pairs with equal sides, such as names and numbers


@dataclass(frozen=True)
class TrainingText:
    """Translated text to train on."""

    train: ParallelCaptions
    # pairs that choose weights; their English captions are not in `train`
    held_out: ParallelCaptions | None = None
    # how many of the last texts of `train` are English captions with words of the language in them
    mixed: int = 0
    # English lists that `train` is made of. Languages share most of them, so their embeddings are
    # computed once for all
    shared: tuple[Sequence[str], ...] = ()

    @property
    def pairs(self) -> ParallelCaptions:
        """The training part without mixed captions."""
        if self.mixed:
            return self.train.select(range(len(self.train) - self.mixed))
        return self.train

    @property
    def parts(self) -> list[ParallelCaptions]:
        """Held-out part, if any, and training part."""
        return [self.train] if self.held_out is None else [self.held_out, self.train]

    @cached_property
    def hashes(self) -> dict[str, str | None]:
        """SHA-256 of each column over all parts, as `ParallelCaptions.hashes` gives it."""
        return hashes_of(self.parts)


def load_text(
    config: ExperimentConfig,
    named: Mapping[str, Callable[[], ParallelCaptions]],
    keep: Callable[[TextSource], bool] = lambda source: True,
) -> tuple[ParallelCaptions, tuple[Sequence[str], ...]]:
    """Return the pairs of those sources of `config.text` that `keep` accepts, and the English side of each named set.

    The pairs have the columns `english` and `target`. Empty pairs raise DataError and repeated
    pairs are logged; `config.clean` drops both.

    Raises:
        DataError: a source is missing or wrong, or has empty pairs.
        OutputError: the text is long, and the cache cannot be written.
    """
    target = TextWriter()
    english = TextWriter()
    records = []
    parts = []
    sources = list(filter(keep, parse_sources(config.text or "")))
    if not sources:
        raise DataError(
            f"no set of {config.text} has text in {language_name(config.language)}: expected a table", field="text"
        )

    for source in sources:
        pairs, record = read_source(source, config.language, named)
        with Bar(pairs, desc="reading", unit="pair", leave=False) as progress:
            indices, counts = _write_pairs(progress, source.name, config.clean, target, english)

        if config.clean:
            dropped = _dropped([counts])
            if dropped:
                logger.info("%s: pairs are dropped%s", source.name, dropped)

        if config.language != "en" and counts.get("equal", 0) > _MOST_EQUAL * counts["pairs"]:
            equal = f"{counts['equal']:,} of {counts['pairs']:,} pairs"
            logger.warning("%s: %s have the same text on both sides: are they translated?", source.name, equal)

        parts.append((source, indices))
        records.append({"source": source.name, "weight": source.weight, **counts, **record})

    columns = english.column(), target.column()
    text = ParallelCaptions("text", config.language, *columns, provenance={"sources": records})
    for source, indices in parts:
        if source.name not in named and len(indices):
            source_text = text.select(indices)
            if config.language in COLUMN_WORDS and not has_words(source_text.target):
                name = language_name(config.language)
                raise DataError(
                    f"{source.name} has no letters in the column of {name}: expected captions", field="text"
                )

            captions = not_none(source_text.english, "english")
            remark = strange_languages(source_text.target, captions, config.language)
            if remark:
                logger.warning("%s: %s", source.name, remark)

    selections = [weighted(indices, source) for source, indices in parts]
    if not sum(map(len, selections)):
        raise DataError(f"expected at least one pair, got none from {config.text}{_dropped(records)}", field="text")

    captions = not_none(text.english, "english")
    shared = [
        [captions[i] for i in used_indices]
        for (source, _), used_indices in zip(parts, selections, strict=True)
        if source.name in named
    ]
    return text.select(np.concatenate(selections)), tuple(shared)


def _dropped(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the counts of dropped pairs in brackets; empty if none was dropped."""
    pairs, empty, repeated = (sum(record[name] for record in records) for name in ("pairs", "empty", "repeated"))
    reasons = []
    if empty > 0:
        reasons.append(f"{empty:,} with an empty side")
    if repeated > 0:
        reasons.append(f"{repeated:,} that repeat another")

    if not reasons:
        return ""
    return f" ({pairs:,} were read, {' and '.join(reasons)})"


def _write_pairs(
    pairs: Iterable[TextPair], name: str, clean: bool, targets: TextWriter, english: TextWriter
) -> tuple[np.ndarray, dict[str, int]]:
    """Write the pairs of a source without an empty side; return the indices of usable pairs, and counts."""
    first = targets.count
    empty = list[int]()

    keys = bytearray()
    number = 0
    equal = 0
    for number, pair in enumerate(pairs, 1):
        if not all(text.strip() for text in pair):
            empty.append(number)
            continue

        try:
            # a byte that no UTF-8 has
            keys += text_key(pair[0].encode("utf-8") + b"\xff" + pair[1].encode("utf-8"))
        except UnicodeEncodeError as error:
            raise DataError(f"{name}, pair {number}: {HALF_CHARACTER}", field="text") from error

        targets.append(pair[0])
        english.append(pair[1])
        equal += pair[0] == pair[1]

    if empty and not clean:
        raise DataError(
            f"{name}: {len(empty)} of {number} pairs have an empty side, first pair {empty[0]}: drop them with "
            f"{setting(clean=True)}",
            field="text",
        )

    _, distinct = np.unique(np.frombuffer(keys, np.uint64), return_index=True)
    repeated = targets.count - first - len(distinct)
    if repeated and not clean:
        way = setting(clean=True)
        logger.warning("%s: %d of %d pairs are duplicates: %s drops them", name, repeated, number, way)

    rows = first + np.sort(distinct) if clean else np.arange(first, targets.count)
    counts = {"pairs": number, "empty": len(empty), "repeated": repeated}
    return rows, counts | ({"equal": equal} if equal else {})


def without_overlap(
    text: ParallelCaptions,
    test: ParallelCaptions,
    overlap: str,
) -> ParallelCaptions:
    """Return the text; pairs that are in the test part are refused, dropped or allowed, as `overlap` states.

    A pair overlaps if one of its sides is a caption of the test part in any column, ignoring case,
    spaces and punctuation.

    Raises:
        DataError: pairs overlap and `overlap` is refuse, or no pair is left.
    """
    test_forms = normal_forms(test)
    english = not_none(text.english, "english")
    pairs = zip(text.target, english, strict=True)
    with Bar(pairs, total=len(text), desc="overlap", unit="pair", leave=False) as sides:
        overlapping = [i for i, pair in enumerate(sides) if any(normal_form(side) in test_forms for side in pair)]

    if overlapping and overlap == "refuse":
        raise DataError(
            f"{len(overlapping)} of {len(text)} pairs are in the test part, first pair {overlapping[0] + 1} "
            f"({english[overlapping[0]]!r}): drop them with {setting(overlap='drop')}, or allow them with "
            f"{setting(overlap='allow')}",
            field="text",
        )

    if overlapping:
        action = "dropped" if overlap == "drop" else "trained on all the same"
        logger.info("%d of %d pairs are in the test part: %s", len(overlapping), len(text), action)

    if not overlapping or overlap == "allow":
        return _recorded(text, overlap={"pairs": len(overlapping), "dropped": 0})

    remaining = np.delete(np.arange(len(text)), overlapping)
    if not len(remaining):
        raise DataError(f"all {len(text)} pairs are in the test part: nothing is left to train on", field="text")
    return _recorded(text.select(remaining), overlap={"pairs": len(overlapping), "dropped": len(overlapping)})


def lexicon_pairs(captions: ParallelCaptions) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return targets and English of the first `MOST_PAIRS` distinct pairs."""
    pairs = zip(captions.target, not_none(captions.english, "english"), strict=True)
    targets, english = zip(*islice(dict.fromkeys(pairs), MOST_PAIRS), strict=True)
    return targets, english


def normal_forms(captions: ParallelCaptions) -> set[str]:
    """Return the normal forms of the captions of all columns."""
    columns = (getattr(captions, name) for name in COLUMNS)
    return {normal_form(caption) for column in columns if column is not None for caption in column} - {""}


def hold_out(text: ParallelCaptions, held_out: int | None, train_size: int | None) -> TrainingText:
    """Split the text into a held-out part and a training part.

    Held-out captions are the first distinct English captions in a fixed random order, equal for all
    runs; weights of sources and numbers of translations do not matter. Each is held out with one of
    its translations; none of its pairs is trained on. The training part is the first `train_size`
    other pairs in that order.

    Raises:
        DataError: too few pairs are left to train on.
    """
    keys = text_keys(not_none(text.english, "english"))
    order = shuffled(len(text))
    is_first = np.zeros(len(text), bool)  # the first pair of its English caption
    is_first[np.unique(keys, return_index=True)[1]] = True
    captions = int(is_first.sum())
    count = held_out if held_out is not None else min(MOST_HELD_OUT, captions // 10)
    held_out_keys = keys[order[is_first[order]][:count]]  # keys of the held-out captions
    is_held_out = np.isin(keys[order], held_out_keys)
    training = order[~is_held_out][:train_size]
    if count < 1 or not len(training):
        raise DataError(
            f"too few pairs to hold out {max(count, 1)}: {len(text)} of {captions} English captions"
            f"{_dropped(text.provenance.get('sources', ()))}; add pairs or "
            f"{'lower' if count > 1 else 'set'} {setting('held_out')}",
            field="text",
        )

    pairs_of = dict[int, list[int]]()  # key of a held-out caption -> its pairs
    for index in np.sort(order[is_held_out]).tolist():
        pairs_of.setdefault(int(keys[index]), []).append(index)

    pairs = [pairs_of[key][key % len(pairs_of[key])] for key in held_out_keys.tolist()]
    text = _recorded(text, held_out=len(held_out_keys))
    return TrainingText(text.select(training), text.select(pairs))


def _recorded(text: ParallelCaptions, **record: Any) -> ParallelCaptions:
    return replace(text, provenance=text.provenance | record)
