"""Other spellings: by hand, as people of each language type; and properties of errors."""

import random
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pecl.language.languages import LANGUAGES
from pecl.language.spellings import (
    IN_CYRILLIC,
    IN_LATIN,
    TONAL,
    TYPED,
    in_other_script,
    lower,
    respell,
    upper,
    with_errors,
    with_one_error,
    without_marks,
    without_punctuation,
)

UNMARKED = [
    ("de", "Große Füße, schöne Bäume", "Grosse Fuesse, schoene Baeume"),
    ("vi", "Một con chó đang chạy", "Mot con cho dang chay"),
    ("cs", "Žluťoučký kůň", "Zlutoucky kun"),
    ("pl", "Łódź płynie", "Lodz plynie"),
    ("tr", "İki kız ışıklı köpeğe", "Iki kiz isikli kopege"),
    ("az", "Gözəl qız", "Gozel qiz"),
    ("el", "Ένας σκύλος στην παραλία", "Ενας σκυλος στην παραλια"),
    ("da", "Blå æbler på øen", "Blaa aebler paa oeen"),
    ("yo", "Ajá ń sáré ọ̀gbẹ́", "Aja n sare ogbe"),
    ("ar", "كَلْبٌ أسود إلى الشاطئ", "كلب اسود الي الشاطي"),
    ("fa", "كتاب می‌خوانم", "کتاب می خوانم"),
    ("apd", "كلب إلى", "كلب الي"),
    ("sd", "آهي", "اهي"),  # with ي, as all its text
    ("ug", "كۆكتىكى يۇلتۇز", "كۆكتىكى يۇلتۇز"),
    ("ms_arab", "أنق سكوله دي كديري", "انق سكوله دي كديري"),
    ("he", "כֶּלֶב רָץ", "כלב רץ"),
    ("ru", "Ещё йод", "Еще йод"),  # й is a letter of its own
    ("hi", "काँच का क़िला", "कांच का किला"),
    ("jp", "がぎぐ", "がぎぐ"),
    ("ko", "강아지", "강아지"),
    ("th", "น้ำ", "น้ำ"),
]


@pytest.mark.parametrize(("language", "text", "expected"), UNMARKED)
def test_marks_are_left_out_as_people_of_the_language_leave_them_out(language, text, expected):
    text, expected = (unicodedata.normalize("NFC", one) for one in (text, expected))
    assert without_marks(text, language) == expected
    assert without_marks(expected, language) == expected


def test_tones_alone_can_be_left_out():
    text = unicodedata.normalize("NFC", "Ọ̀gbẹ́ kan")
    assert without_marks(text, "yo", tones_only=True) == unicodedata.normalize("NFC", "Ọgbẹ kan")


def test_other_scripts():
    assert in_other_script("Љубичаста њива, џем и ћуран", "sr") == "Ljubičasta njiva, džem i ćuran"
    assert in_other_script("Ljubičasta njiva, džem i ćuran", "sr_latn") == "Љубичаста њива, џем и ћуран"
    assert in_other_script("Щенок на пляже", "ru") == "Schenok na plyazhe"
    assert in_other_script("Ένας σκύλος", "el") == "Enas skylos"
    assert in_other_script("ein Hund", "de") is None


def test_cases_and_punctuation():
    assert lower("IŞIK İYİ", "tr") == "ışık iyi"
    assert upper("ışık iyi", "tr") == "IŞIK İYİ"
    assert without_punctuation("A dog's toy – (old), on a well-known beach!") == "A dog's toy old on a well-known beach"


def test_tables_have_languages_that_exist():
    assert {*TYPED, *TONAL, *IN_LATIN, *IN_CYRILLIC} <= LANGUAGES.keys()


@given(st.text(alphabet="abcdefgäöüß ABC,.", max_size=60), st.integers())
def test_one_error_changes_one_word_and_keeps_its_first_letter(text, seed):
    typed = with_one_error(text, "de", random.Random(seed))
    assert typed == with_one_error(text, "de", random.Random(seed))
    before, after = text.split(" "), typed.split(" ")
    assert len(before) == len(after)
    changed = [(one, other) for one, other in zip(before, after, strict=True) if one != other]
    assert len(changed) <= 1
    assert all(abs(len(one) - len(other)) <= 1 for one, other in changed)


def test_one_word_in_ten_has_an_error():
    text = " ".join(["morning"] * 5_000)
    words = with_errors(text, "en", random.Random(0)).split()
    assert len(words) == 5_000
    assert 0.08 < sum(word != "morning" for word in words) / 5_000 < 0.12


def test_spellings_are_the_same_in_each_call_and_differ_from_each_other():
    texts = ["Žluťoučký kůň běží po pláži, a pes také."] * 50
    spelled = list(respell(texts, "cs"))
    assert spelled == list(respell(texts, "cs"))
    assert len(set(spelled)) > 10
    assert "zlutoucky kun bezi po plazi, a pes take." in spelled
