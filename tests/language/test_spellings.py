"""What people type: by hand, for each language; and properties of typing errors."""

import random
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typed_texts import with_one_error

from pecl.language.languages import LANGUAGES
from pecl.language.spellings import TONAL, TYPED, lower, upper, without_marks

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


def test_cases():
    assert lower("IŞIK İYİ", "tr") == "ışık iyi"
    assert upper("ışık iyi", "tr") == "IŞIK İYİ"


def test_tables_have_languages_that_exist():
    assert {*TYPED, *TONAL} <= LANGUAGES.keys()


@given(st.text(alphabet="abcdefgäöüß ABC,.", max_size=60), st.integers())
def test_one_error_changes_one_word_and_keeps_its_first_letter(text, seed):
    typed = with_one_error(text, "de", random.Random(seed))
    assert typed == with_one_error(text, "de", random.Random(seed))
    before, after = text.split(" "), typed.split(" ")
    assert len(before) == len(after)
    changed = [(one, other) for one, other in zip(before, after, strict=True) if one != other]
    assert len(changed) <= 1
    assert all(abs(len(one) - len(other)) <= 1 for one, other in changed)
