"""Mixed captions: which words are replaced, by which, and how often."""

from collections import Counter

import numpy as np

from pecl.language.mixing import Mixer

WORDS = {
    "dog": "कुत्ता",
    "cat": "Katze",
    "bird": "l'oiseau",
    "sleeps": "schläft",
    "runs": "दौड़ता",
    "her": "i",
    "old": "vanha",
}


def pairs():
    """Texts of the words above with marks around them, and their English in another order."""
    draws = np.random.default_rng(1)
    english = [[list(WORDS)[i] for i in draws.permutation(len(WORDS))[:4]] for _ in range(60)]
    own = [f'-- ("{WORDS[a]}" {WORDS[b]}): {WORDS[c]}, {WORDS[d]}!' for a, b, c, d in english]
    return own, [f"{d.capitalize()} {c}, '{b}' {a}." for a, b, c, d in english]


def test_words_are_replaced_and_marks_stay():
    found = list(Mixer(*pairs())(['Old "dog" sleeps (outside).', "Two horses", "CAT!  -  bird", "..."]))
    expected = [('Vanha "कुत्ता" schläft (outside).', 3), ("Two horses", 0), ("Katze! - l'oiseau", 2), ("...", 0)]
    assert found == expected


def test_articles_are_left_out():
    found = list(Mixer(*pairs())(["A cat runs.", 'The bird and an owl see "her" dog of Room A.', "The"]))
    assert found == [("Katze दौड़ता.", 2), ('L\'oiseau and owl see "i" कुत्ता of Room A.', 3), ("The", 0)]


def test_a_caption_begins_as_its_language_writes_it():
    turkish = Mixer(["İki", "kedi"], ["Two", "cat"])  # Python's lower case of İ has a dot of its own
    assert [text for text, _ in turkish(["Two cat", "cat two"])] == ["İki kedi", "kedi iki"]
    georgian = Mixer(["ძაღლი"], ["dog"])  # Unicode has capitals that no sentence begins with
    assert list(georgian(["A dog"])) == [("ძაღლი", 1)]


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


CHINESE = {"dog": "小狗", "cat": "猫", "bird": "鸟儿", "sleeps": "睡觉", "runs": "奔跑", "this": "这只", "old": "老"}


def test_words_that_no_space_separates_are_found_and_joined():
    draws = np.random.default_rng(1)
    english = [[list(CHINESE)[i] for i in draws.permutation(len(CHINESE))[:4]] for _ in range(60)]
    own = ["{}{},{}{}。".format(*(CHINESE[word] for word in words)) for words in english]
    mixer = Mixer(own, [" ".join(words) for words in english], spaces=False)
    found = list(mixer(["This old cat runs, two dogs and (a bird) sleeps.", "Two horses"]))
    assert found == [("这只老猫奔跑, two dogs and (a 鸟儿)睡觉.", 6), ("Two horses", 0)]
