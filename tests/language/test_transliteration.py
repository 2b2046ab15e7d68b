"""Maps of letters, learned from an invented script whose rule is known, and used by a tower."""

import random

from helpers.tiny import tiny_tower
from make_transliterations import learn_transliteration

from pecl.adapters.merge import second_tower
from pecl.language.transliteration import FOLDER, Transliteration, shipped_transliteration

LETTERS = {"A": "m", "B": "t", "C": "ng", "D": "s", "E": ""}


def spelled(word):
    """Each letter is one or two others; a vowel that is not written stands before s, and F is u, or o at the end."""
    parts = [LETTERS.get(letter, "o" if i == len(word) - 1 else "u") for i, letter in enumerate(word)]
    return "".join("a" * (letter == "D") + part for letter, part in zip(word, parts, strict=True))


def sentences(count, seed):
    draw = random.Random(seed)
    words = [["".join(draw.choices("ABCDEF", k=draw.randint(2, 6))) for _ in range(4)] for _ in range(count)]
    kept = [[word for word in own if spelled(word)] for own in words]
    return [" ".join(own) for own in kept], [" ".join(map(spelled, own)) for own in kept]


def test_a_rule_is_learned_and_holds_for_new_words():
    transliteration = learn_transliteration("xx", *sentences(800, seed=1))
    texts, others = sentences(200, seed=2)
    pairs = [
        pair
        for text, other in zip(texts, others, strict=True)
        for pair in zip(text.split(), other.split(), strict=True)
    ]
    right = sum(transliteration(word) == other for word, other in pairs) / len(pairs)
    assert right > 0.95
    assert transliteration("ABA, BAD؟") == "mtm, tmas?"  # marks stay, or become those of the other script
    assert transliteration("1 Z") == "1 Z"  # what was never seen stays


def test_sentences_with_another_number_of_words_teach_nothing():
    assert learn_transliteration("xx", ["AB CD", "A"], ["one", "two words"]) == Transliteration("xx", {})


def test_shipped_maps_are_of_scripts_and_a_tower_reads_through_them(monkeypatch):
    assert {path.stem for path in FOLDER.glob("*.json")} == {"ace_arab", "bjn_arab"}
    assert shipped_transliteration("de") is None
    banjar = shipped_transliteration("bjn_arab")
    assert banjar.language == "bjn"
    assert banjar("بنجر").isascii()
    tower, text = tiny_tower(), "بنجر"
    plain = tower.tokenize([text], ["bjn_arab"])
    monkeypatch.setattr(tower, "transliterates", True)
    assert tower.tokenize([text, text], ["bjn_arab", "de"]) == [*tower.tokenize([banjar(text)]), *plain]
    assert tower.tokenize(text, "bjn_arab") == tower.tokenize([banjar(text)])
    assert second_tower(tower).tokenize([text], ["bjn_arab"]) == tower.tokenize([banjar(text)])
