"""A lexicon from translated texts: the likely translations of each word, by IBM model 1.

Brown et al., The Mathematics of Statistical Machine Translation (Computational Linguistics 19,
1993), section 4. The model is fitted to the words that occur in the same pairs, in both directions.
The product of the two keeps translations that both directions support.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

ROUNDS = 6  # of expectation maximisation
MOST_PAIRS = 10_000  # memory grows with the pairs and with the product of their lengths


@dataclass(frozen=True)
class Lexicon:
    """Translations: entry i gives `target[i]` the translation `english[i]` with the weight `weight[i]`."""

    target: np.ndarray  # (E,) indices of words of the language, in rising order
    english: np.ndarray  # (E,) indices of English words
    weight: np.ndarray  # (E,) p(english | target) p(target | english), in (0, 1]


def make_lexicon(target: Sequence[Sequence[int]], english: Sequence[Sequence[int]]) -> Lexicon:
    """Return the lexicon of n pairs of texts, each a sequence of non-negative indices of words."""
    target_side = _Side.of(target)
    english_side = _Side.of(english)

    # M combinations of a place on one side and a place on the other side of the same pair: (M,) and (M,)
    sizes = target_side.lengths * english_side.lengths
    left = np.repeat(np.arange(len(target_side.words)), np.repeat(english_side.lengths, target_side.lengths))
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    starts = np.cumsum(english_side.lengths) - english_side.lengths
    right = np.repeat(starts, sizes) + within % np.repeat(english_side.lengths, sizes)

    # the K distinct pairs of words, and the pair of each combination
    keys = target_side.words[left] << 32 | english_side.words[right]  # (M,)
    names, pair_of = np.unique(keys, return_inverse=True)  # (K,), (M,)
    first = names >> 32
    second = names & (2**32 - 1)
    if not len(names):
        return Lexicon(first, second, np.empty(0))

    weight = _probabilities(first, pair_of, right, english_side.words)
    weight = weight * _probabilities(second, pair_of, left, target_side.words)
    is_likely = weight > 0
    return Lexicon(first[is_likely], second[is_likely], weight[is_likely])


@dataclass(frozen=True)
class _Side:
    words: np.ndarray  # (P,) the word at each place of all texts
    lengths: np.ndarray  # (n,)

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]]) -> "_Side":
        lengths = np.array([len(text) for text in texts], np.int64)
        return cls(np.fromiter(chain.from_iterable(texts), np.int64, lengths.sum()), lengths)


def _probabilities(
    source: np.ndarray,
    pair_of: np.ndarray,
    target: np.ndarray,
    words: np.ndarray,
) -> np.ndarray:
    """Return p(target | source) (K,) of K distinct pairs of words, whose source words are `source` (K,).

    Each of M occurring pairs is the distinct pair `pair_of` (M,), and has its target word at the `target`
    (M,) in `words` (P,). A target word may also have no source at all.
    """
    probabilities = np.ones(len(source))
    nothing = np.ones(words.max(initial=0) + 1)
    for _ in range(ROUNDS):
        total = np.bincount(target, probabilities[pair_of], len(words)) + nothing[words]  # (P,)
        counts = np.bincount(pair_of, probabilities[pair_of] / total[target], len(source))
        probabilities = counts / np.bincount(source, counts)[source]
        nothing = np.bincount(words, nothing[words] / total, len(nothing))
        nothing /= nothing.sum()

    return probabilities
