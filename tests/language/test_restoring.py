"""Restoring marks and capitals: against hand-worked readings, all possible readings, and well-written text."""

import itertools
import math
import random
from collections import Counter
from pathlib import Path

import pytest
from helpers.reading import restored

import pecl.language.restoring
from pecl.language.languages import LANGUAGES
from pecl.language.normalization import normalize_text
from pecl.language.reading import read_texts
from pecl.language.restoring import Restoration, count_words, has_no_marks, restoration_file, shipped_restoration
from pecl.language.spellings import lower, without_marks

VIETNAMESE = 2 * ["Con chó chạy trên bãi biển.", "Một con chó chạy.", "Cho con ăn cháo.", "Một con chó và bạn cho ăn."]
GERMAN = ["Ein Hund läuft schon schnell.", "Der Hund ist schön.", "Das schöne Haus mit Hund.", "Er hat schon ein Haus."]


def test_pairs_decide_what_frequency_alone_would_not():
    """`cho` is chó after con, as often as cho elsewhere; a word that was never seen stays."""
    restore = count_words(VIETNAMESE, "vi")
    assert restore("con cho chay") == "con chó chạy"
    assert restore("ban cho an") == "bạn cho ăn"
    assert restore("con cho xyz tren bai bien") == "con chó xyz trên bãi biển"


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("Con Cho", "Con Chó"),
        ("CON cho", "CON chó"),
        ("con cho, 2 con cho!", "con chó, 2 con chó!"),
        ("", ""),
        ("123 ...", "123 ..."),
    ],
)
def test_case_digits_and_punctuation_stay(typed, written):
    assert count_words(VIETNAMESE, "vi")(typed) == written


def test_a_text_with_marks_keeps_its_words():
    """One mark shows that the person types them."""
    assert count_words(VIETNAMESE, "vi")("con cho chạy") == "con cho chạy"


def test_german_in_both_ways_of_typing_it_and_with_its_capitals():
    restore = count_words(GERMAN * 3, "de")
    assert restore("das schoene haus") == "das schöne Haus"
    assert restore("das schone haus") == "das schöne Haus"
    assert restore("der Hund hat schon") == "der Hund hat schon"
    assert restore("läuft ein hund") == "läuft ein Hund"


@pytest.mark.parametrize(
    ("language", "typed", "written"),
    [
        ("tr", "Istanbul guzel bir sehir", "İstanbul güzel bir şehir"),  # I is the capital of i to who leaves dots out
        ("tr", "BIR KOPEK SAHILDE KOSUYOR", "bir köpek sahilde koşuyor"),
        ("tr", "KIZ SAHİLDE", "kız sahilde"),  # one letter shows that the person types dots
        ("tr", "IBM ve NASA guzel", "IBM ve NASA güzel"),
        ("vi", "iPhone tren ban", "iPhone trên bàn"),
        ("fr", "un garcon de l'Italie", "un garçon de l’Italie"),
        ("fr", "l’ete a paris", "l'été à Paris"),  # an apostrophe is no mark, of whatever form
        ("fr", "l'ete a paris", "l'été à Paris"),
        ("fr", "l’été a paris", "l’été a Paris"),
        ("fr", "l'ete a paris \u2764\ufe0f", "l'été à Paris \u2764\ufe0f"),  # the heart as an emoji
        ("de", "Ein Maedchen und ein MAEDCHEN", "Ein Mädchen und ein MÄDCHEN"),
        ("sw", "watu wa afrika na amerika", "watu wa Afrika na Amerika"),  # names, in a language without marks
        ("ee", "le norway kple china", "le Norway kple China"),
        ("cs", "vlak do texasu", "vlak do Texasu"),
        ("cs", "Vlak do texasu", "Vlak do texasu"),  # one capital shows that the person types them
    ],
)
def test_marks_capitals_and_apostrophes_by_the_shipped_tables(language, typed, written):
    assert restored([typed], [language]) == [written]


def test_names_get_their_capitals_and_first_words_of_sentences_do_not():
    """`May` is a month once and a verb twice. Dogs and He have capitals only at the start of a sentence."""
    english = [
        "Anna may see Paris, London and the USA. Dogs may not.",
        'A man says: "He sees May." Dogs run! He runs.',
    ]
    restore = count_words(english, "sw")
    assert restore.capitals == {"paris": "Paris", "london": "London", "usa": "USA"}
    assert restore("in paris dogs may see anna") == "in Paris dogs may see anna"
    assert restore("In paris") == "In paris"


def test_letters_with_marks_that_unicode_does_not_compose_are_one_word():
    yoruba = normalize_text("ọmọkùnrin ń gbá bọ́ọ̀lù lórí pápá")
    restore = count_words([yoruba] * 3, "yo")
    assert restore(without_marks(yoruba, "yo")) == yoruba


def test_the_likeliest_reading_is_that_of_all_possible_readings():
    """Viterbi's algorithm against every sequence, with random counts."""
    draws = random.Random(0)
    letters = ["a", "á", "à", "b", "é", "e"]
    for _ in range(30):
        words = {letter: draws.randint(1, 9) for letter in letters}
        pairs = {
            f"{x} {y}": draws.randint(2, 9) for x, y in itertools.product(letters, letters) if draws.random() < 0.4
        }
        restore = Restoration("vi", sum(words.values()), words, pairs, {})

        def score(reading, words=words, pairs=pairs):
            total = 0.0
            for before, word in itertools.pairwise(["", *reading]):
                seen = pairs.get(f"{before} {word}", 0) + 5 * words[word] / sum(words.values())
                total += math.log(seen / (words.get(before, 0) + 5))
            return total

        typed = draws.choices("abe", k=5)
        meanings = {"a": "aáà", "b": "b", "e": "eé"}
        best = max(itertools.product(*(meanings[letter] for letter in typed)), key=score)
        expected = best if score(best) - score(typed) >= math.log(10) else typed
        assert restore(" ".join(typed)) == " ".join(expected)


SHIPPED = sorted(code for code in LANGUAGES if restoration_file(code).exists())
WITH_MARKS = ("ar", "cs", "de", "el", "fo", "fr", "hi", "is", "tr", "vi", "yo")


def test_every_shipped_file_opens():
    shipped = {language: shipped_restoration(language) for language in SHIPPED}
    assert len(shipped) == 224
    assert sum(bool(restore.words) for restore in shipped.values()) == 179
    for language, restore in shipped.items():
        assert restore.language == language
        assert restore.total > max(restore.words.values(), default=0)
        assert all(lower(spelling, language) == word for word, spelling in restore.capitals.items())


@pytest.mark.parametrize("language", WITH_MARKS)
def test_the_commonest_word_with_one_meaning_is_restored(language):
    restore = shipped_restoration(language)
    typed = {word: without_marks(word, language) for word in restore.words}
    counts = Counter(typed.values())
    alone = [word for word in restore.words if typed[word] != word and counts[typed[word]] == 1]
    word = max(alone, key=lambda word: restore.words[word])
    assert lower(restored([typed[word]], [language])[0], language) == word


def test_no_restoration_for_english_or_an_unknown_language():
    assert restored(["naive cafe", "naive cafe"], ["en", "xx"]) == ["naive cafe", "naive cafe"]


def test_any_name_of_a_language():
    assert restored(["con cho chay tren bai bien"] * 2, ["Vietnamese", "vi"]) == ["con chó chạy trên bãi biển"] * 2


def test_a_long_text_takes_linear_time():
    text = "con cho " * 5_000
    assert restored([text], ["vi"])[0].startswith("con chó con chó")


WELL_WRITTEN = [line.split("\t") for line in Path(__file__).with_name("without_marks.tsv").read_text().splitlines()]


@pytest.mark.parametrize("language", ["vi", "de", "cs", "sk", "tr"])
def test_of_well_written_texts_without_marks_few_are_read_otherwise(language):
    """Forty texts that need no marks, many with words that have others beside them: elephants, not with."""
    pytest.importorskip("wordfreq")
    texts = [text for code, text, _ in WELL_WRITTEN if code == language]
    assert len(texts) == 40
    readings = read_texts(texts, [language] * 40)
    marked = [reading for reading in readings if not has_no_marks(reading.shares[0][0], language)]
    assert len(marked) <= 1, [reading.read_as for reading in marked]


@pytest.mark.parametrize(
    ("language", "typed", "with_marks"),
    [
        ("vi", "hai con voi", "hai con với"),
        ("vi", "Nha Trang", "Nhà Trắng"),
        ("de", "Massen", "Maßen"),
        ("de", "mochte", "möchte"),
        ("cs", "byt", "být"),
        ("sk", "Vila", "Víla"),
    ],
)
def test_a_text_that_is_likely_as_it_was_typed_counts_most_as_it_was_typed(language, typed, with_marks):
    pytest.importorskip("wordfreq")
    (reading,) = read_texts([typed], [language])
    assert reading.shares == ((typed, 0.75), (with_marks, 0.25))
    assert reading.read_as == (typed, with_marks)


def test_words_and_pairs_decide_whether_what_was_typed_is_likely(monkeypatch):
    """`voi` was counted. `con voi` was counted twice, and `con với` never; `ban` was not, so `bạn` is certain."""
    monkeypatch.setattr(pecl.language.restoring, "find_spec", lambda name: None)
    restore = count_words(
        ["Hai con voi đi với con voi.", *["Bạn đi với anh."] * 40, *["Con chó."] * 3, "Cho đi."], "vi"
    )
    assert restore.read("anh voi") == (("anh voi", 0.75), ("anh với", 0.25))
    assert restore.read("con voi") == (("con voi", 1.0),)
    assert restore.read("ban voi") == (("bạn với", 1.0),)
    assert restore.read("con cho") == (("con chó", 1.0),)  # a pair, three times


def test_without_wordfreq_the_counted_words_decide(monkeypatch):
    monkeypatch.setattr(pecl.language.restoring, "find_spec", lambda name: None)
    assert [reading.shares[0][0] for reading in read_texts(["hai con voi", "byt"], ["vi", "cs"])] == [
        "hai con voi",
        "být",
    ]
