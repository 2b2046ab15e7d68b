"""Mixed captions: which words are replaced, by which, and how often."""

from collections import Counter

import numpy as np

from pecl.data.mixing import Mixer

WORDS = {
    "dog": "कुत्ता",
    "cat": "Katze",
    "bird": "l'oiseau",
    "sleeps": "schläft",
    "runs": "दौड़ता",
    "the": "i",
    "old": "vanha",
}


def pairs():
    """Texts of the words above with marks around them, and their English in another order."""
    draws = np.random.default_rng(1)
    english = [[list(WORDS)[i] for i in draws.permutation(len(WORDS))[:4]] for _ in range(60)]
    own = [f'-- ("{WORDS[a]}" {WORDS[b]}): {WORDS[c]}, {WORDS[d]}!' for a, b, c, d in english]
    return own, [f"{d.capitalize()} {c}, '{b}' {a}." for a, b, c, d in english]


def test_words_are_replaced_and_marks_stay():
    found = list(Mixer(*pairs())(['The "dog" sleeps (outside).', "Two horses", "CAT!  -  bird", "..."]))
    expected = [('i "कुत्ता" schläft (outside).', 3), ("Two horses", 0), ("katze! - l'oiseau", 2), ("...", 0)]
    assert [(text.replace("Katze", "katze"), count) for text, count in found] == expected


def test_the_first_word_of_a_turkish_text_is_the_same_word_elsewhere():
    mixer = Mixer(["İki"], ["Two"])
    assert [word for _, word in mixer.translations["two"]] == ["iki"]  # Python's lower case of İ has a dot of its own


def test_translations_are_drawn_by_their_weight_and_equally_by_equal_calls():
    own = [f"x{i} {word}" for i, word in enumerate(["Hund"] * 5 + ["Köter"] * 4 + ["Tier"] * 3 + ["Biest"] * 2)]
    mixer = Mixer(own, [f"y{i} dog" for i in range(len(own))])
    weights = {word: weight for weight, word in mixer.translations["dog"]}
    assert list(weights) == ["Hund", "Köter", "Tier"]
    drawn = list(mixer(["dog"] * 2000))
    assert drawn == list(mixer(["dog"] * 2000))
    counts = Counter(caption for caption, _ in drawn)
    for word, weight in weights.items():
        assert abs(counts[word] / 2000 - weight / sum(weights.values())) < 0.04


CHINESE = {"dog": "小狗", "cat": "猫", "bird": "鸟儿", "sleeps": "睡觉", "runs": "奔跑", "the": "这只", "old": "老"}


def test_words_that_no_space_separates_are_found_and_joined():
    draws = np.random.default_rng(1)
    english = [[list(CHINESE)[i] for i in draws.permutation(len(CHINESE))[:4]] for _ in range(60)]
    own = ["{}{},{}{}。".format(*(CHINESE[word] for word in words)) for words in english]
    mixer = Mixer(own, [" ".join(words) for words in english], spaces=False)
    found = list(mixer(["The old cat runs, two dogs and (a bird) sleeps.", "Two horses"]))
    assert found == [("这只老猫奔跑, two dogs and (a 鸟儿)睡觉.", 6), ("Two horses", 0)]
