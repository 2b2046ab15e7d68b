"""The normal form of a text: by hand, by properties over any Unicode text, and before a tokenizer or detection."""

import unicodedata

import pytest
from helpers.tiny import tiny_tower
from hypothesis import given
from hypothesis import strategies as st

from pecl.language.language_guess import can_guess, guess_languages
from pecl.language.normalization import normalize_text

FORMS = [
    ("pe\u0301s na pla\u0301z\u030ci", "cs", "pés na pláži"),  # NFD
    (" a\tdog\r\n on\u00a0the\u3000beach ", "en", "a dog on the beach"),
    ("Do\u00adnau\u200bdampf\u200dschiff\ufeff", "de", "Donaudampfschiff"),
    ("a\x00dog\x97here", "en", "a dog here"),
    ("\u200fכלב\u200e", "he", "כלב"),
    ("ＤＶＤ ２枚、ｶﾞ", "jp", "DVD ２枚、ガ"),
    ("می\u200cخواهم", "fa", "می\u200cخواهم"),  # the non-joiner is part of the spelling
    ("क्\u200dष", "hi", "क्\u200dष"),
    ("👨\u200d👩\u200d👧", "en", "👨\u200d👩\u200d👧"),
    ("ZWEI HUNDE", "de", "zwei hunde"),
    ("GROßE STRAẞE", "de", "große straße"),
    ("ISPARTA'DA İKİ KÖPEK", "tr", "ısparta'da iki köpek"),
    ("ISPARTA'DA İKİ KÖPEK", None, "ısparta'da iki köpek"),  # no other language has İ
    ("KIRMIZI", None, "kirmizi"),
    ("QIZIL ALMA", "az", "qızıl alma"),
    ("İSTANBUL PHOTO", "en", "istanbul photo"),
    ("Ο ΣΚΥΛΟΣ ΣΑΣ", "el", "ο σκυλος σας"),
    ("СОБАКА НА ПЛЯЖЕ", "ru", "собака на пляже"),
    ("ᲫᲐᲦᲚᲘ", "ka", "ძაღლი"),
]
UNCHANGED = [
    ("NASA", "en"),
    ("USA 2024", "en"),
    ("Hund am Strand", "de"),
    ("iPHONE AM STRAND", "de"),
    ("比起够买带 GPS 的地图 DVD", "zh"),  # abbreviations in a script without capitals
    ("ᎠᏂᏣᎳᎩ ᎠᏰᎵ", "chr"),  # Cherokee is written in what Unicode calls capitals
    ("สุนัขบนชายหาด", "th"),
    ("ទារក\u200bម្នាក់", "km"),  # a space of width 0 between words
    ("Ⅳ ℃ ½ ﬁn “x”", "en"),
    ("", "en"),
]


@pytest.mark.parametrize(("text", "language", "expected"), FORMS)
def test_texts_get_the_form_worked_out_by_hand(text, language, expected):
    assert normalize_text(text, language) == expected


@pytest.mark.parametrize(("text", "language"), UNCHANGED)
def test_well_formed_texts_do_not_change(text, language):
    assert normalize_text(text, language) == text


@given(st.text(), st.sampled_from([None, "de", "tr", "el", "en"]))
def test_a_normal_form_is_its_own_normal_form(text, language):
    form = normalize_text(text, language)
    assert normalize_text(form, language) == form
    assert unicodedata.is_normalized("NFC", form)
    assert form.split() == form.split(" ") or not form
    assert not any(unicodedata.category(character) == "Cc" for character in form)


@given(st.text(alphabet="aáčßžıиםا中ก .,!?'-0123456789"))
def test_lower_case_in_single_spaces_does_not_change(text):
    text = unicodedata.normalize("NFC", " ".join(text.split()))
    assert normalize_text(text, "cs") == text


def test_a_tower_reads_the_normal_form():
    tower = tiny_tower()
    for text, language, expected in FORMS:
        if language is not None:
            (ids,) = tower.tokenize([text], [language])
            assert ids == tower.tokenizer(expected)["input_ids"], text
    assert tower.tokenize(["EIN HUND"]) == [tower.tokenizer("ein hund")["input_ids"]]


@pytest.mark.skipif(not can_guess(), reason="needs lingua and wordfreq")
def test_detection_reads_the_normal_form():
    texts = ["dva psi běží po pláži", "ein Hund am Strand", "bir köpek sahilde"]
    spoken = ["cs", "de", "tr", "en"]
    guesses = guess_languages(texts, spoken, spoken)
    assert guess_languages([unicodedata.normalize("NFD", text) for text in texts], spoken, spoken) == guesses
    shouted = [texts[0].upper(), texts[1].upper(), "BİR KÖPEK SAHİLDE"]
    assert [guess.language for guess in guess_languages(shouted, spoken, spoken)] == ["cs", "de", "tr"]
