"""The lexicon of pairs, against IBM model 1 as its paper writes it, pair by pair."""

from collections import defaultdict

import numpy as np
import pytest

from pecl.language.lexicon import ROUNDS, make_lexicon

NOTHING = -1


def model_1(source, target):
    """p(target word | source word) by Brown et al., equations 15 to 18, with plain dictionaries."""
    found = defaultdict(lambda: 1.0)
    for _ in range(ROUNDS):
        counts, totals = defaultdict(float), defaultdict(float)
        for left, right in zip(source, target, strict=True):
            for word in right:
                total = sum(found[one, word] for one in [*left, NOTHING])
                for one in [*left, NOTHING]:
                    counts[one, word] += found[one, word] / total
                    totals[one] += found[one, word] / total
        found = defaultdict(float, {pair: count / totals[pair[0]] for pair, count in counts.items()})
    return found


def test_it_is_the_product_of_both_directions_of_ibm_model_1():
    draws = np.random.default_rng(3)
    own = [draws.integers(0, 9, draws.integers(0, 6)).tolist() for _ in range(30)]
    english = [draws.integers(4, 15, draws.integers(0, 6)).tolist() for _ in range(30)]
    lexicon = make_lexicon(own, english)
    there, back = model_1(own, english), model_1(english, own)
    expected = {
        (one, other): there[one, other] * back[other, one]
        for left, right in zip(own, english, strict=True)
        for one in left
        for other in right
    }
    found = zip(lexicon.target.tolist(), lexicon.english.tolist(), lexicon.weight.tolist(), strict=True)
    assert {(one, other): weight for one, other, weight in found} == pytest.approx(expected)
    assert (np.diff(lexicon.target) >= 0).all()


def test_no_pairs_make_no_lexicon():
    assert len(make_lexicon([], []).target) == len(make_lexicon([[]], [[1]]).target) == 0
