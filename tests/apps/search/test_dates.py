"""Dates in queries mean the days that Unicode's CLDR writes so, in each language of the page."""

import datetime
import json
from importlib.resources import files

import pytest
from babel.dates import format_date, format_skeleton

from pecl.apps.search.dates import find_days

CODES = (
    "en",
    "de",
    "fr",
    "cs",
    "sk",
    "es",
    "it",
    "pl",
    "tr",
    "ru",
    "zh",
    "ko",
    "sw",
    "vi",
    "he",
    "el",
    "hu",
    "pt",
    "nl",
)
LANGUAGES = {"jp": "ja"} | {code: code for code in CODES}  # by pecl's code
ALSO_WORDS = "ago ara giu kas lip lis mag mar oca out pro set sie".split()  # noqa: SIM905
DAYS = [datetime.date(2019, month, 13 + month) for month in range(1, 13)]


def read(text, *languages):
    """Return first day, last day and the rest of a query with dates."""
    days = find_days(text, languages)
    return str(days.after), str(days.before - datetime.timedelta(days=1)), days.text


@pytest.mark.parametrize("code", LANGUAGES)
def test_what_cldr_writes_is_read(code):
    for day in DAYS:
        last = day.replace(month=day.month % 12 + 1, day=1) - datetime.timedelta(days=1)
        month = (str(day.replace(day=1)), str(last.replace(year=2019)), "x")
        for form in ("medium", "long") if code != "he" else ("long",):  # which has its own sign for short forms
            written = format_date(day, form, LANGUAGES[code])
            assert read(f"x {written}", code) == (str(day), str(day), "x"), written
        for skeleton in ("yMMMM", "yMMM") if code != "he" else ("yMMMM",):
            written = format_skeleton(skeleton, day, locale=LANGUAGES[code])
            if "." in written or written.split()[0].lower() not in ALSO_WORDS:
                assert read(f"x {written}", code) == month, written


def test_months_are_read_in_the_languages_of_the_page():
    strings = json.loads((files("pecl.apps.serving") / "static" / "strings.json").read_text("utf-8"))
    assert strings.keys() <= {*LANGUAGES, "ar"}


YEAR, JULY = ("2019-01-01", "2019-12-31"), ("2019-07-01", "2019-07-31")
TWELFTH, DECEMBER_7 = ("2019-07-12", "2019-07-12"), ("2019-12-07", "2019-12-07")


@pytest.mark.parametrize(
    ("text", "languages", "days", "rest"),
    [
        ("Hund 2019", "de", YEAR, "Hund"),
        ("Hund Juli 2019", "de", JULY, "Hund"),
        ("HUND IM JULI 2019", "en", JULY, "HUND"),
        ("pes v červenci 2019 na pláži", "cs", JULY, "pes na pláži"),
        ("cervenec 2019", "cs", JULY, ""),
        ("pes pri mori v júli 2019", "sk", JULY, "pes pri mori"),
        ("pies w lipcu 2019", "pl", JULY, "pies"),
        ("собака в июле 2019 г.", "ru", JULY, "собака"),
        ("Temmuz 2019'da köpek", "tr", JULY, "köpek"),
        ("un perro en julio de 2019", "es", JULY, "un perro"),
        ("2019年七月", "zh", JULY, ""),
        ("2019-07 dog", "en", JULY, "dog"),
        ("07/2019", "en", JULY, ""),
        ("Jul. 2019", "en", JULY, ""),
        ("a dog, July 12, 2019", "en", TWELFTH, "a dog"),
        ("a dog on the 12th of July 2019", "en", TWELFTH, "a dog"),
        ("12 jul 2019", "en", TWELFTH, ""),
        ("12.7.2019", "en", TWELFTH, ""),
        ("pes 12. 7. 2019", "cs", TWELFTH, "pes"),
        ("2019-07-12", "en", TWELFTH, ""),
        ("바다 2019년 7월 12일", "ko", TWELFTH, "바다"),
        ("2019年7月12日の犬", "jp", TWELFTH, "の犬"),
        ("12/7/2019", "de", TWELFTH, ""),
        ("12/7/2019", "sk en", TWELFTH, ""),
        ("12/7/2019", "en de", YEAR, ""),  # July in Britain, December in the United States
        ("7/25/2019", "de", ("2019-07-25", "2019-07-25"), ""),
        ("25/7/2019", "en", ("2019-07-25", "2019-07-25"), ""),
        ("7/7/2019", "en", ("2019-07-07", "2019-07-07"), ""),
        ("von 2020 bis 2018", "de", ("2018-01-01", "2020-12-31"), ""),
        ("a dog 2018-2020", "en", ("2018-01-01", "2020-12-31"), "a dog"),
        ("12.7.2019 – 3.8.2019", "de", ("2019-07-12", "2019-08-03"), ""),
        ("from July 2018 to March 2019 a dog", "en", ("2018-07-01", "2019-03-31"), "a dog"),
        # the first part has no year of its own
        ("June to August 2019", "en", ("2019-06-01", "2019-08-31"), ""),
        ("Hund von Juni bis August 2019", "de", ("2019-06-01", "2019-08-31"), "Hund"),
        ("a dog 5-12 July 2019", "en", ("2019-07-05", "2019-07-12"), "a dog"),
        ("od 5. do 12. července 2019", "cs", ("2019-07-05", "2019-07-12"), ""),
        ("24.12. bis 26.12.2018", "de", ("2018-12-24", "2018-12-26"), ""),
        ("24. Dezember bis 3. Januar 2019", "de", ("2018-12-24", "2019-01-03"), ""),
        # an open side
        ("dogs since 2015", "en", ("2015-01-01", "2099-12-31"), "dogs"),
        ("Hunde seit Juli 2015", "de", ("2015-07-01", "2099-12-31"), "Hunde"),
        ("psi od roku 2015", "cs", ("2015-01-01", "2099-12-31"), "psi"),
        ("dogs after 2015", "en", ("2016-01-01", "2099-12-31"), "dogs"),
        ("dogs before 2019", "en", ("1800-01-01", "2018-12-31"), "dogs"),
        ("Hunde vor dem 12.7.2019", "de", ("1800-01-01", "2019-07-11"), "Hunde"),
        ("chiens jusqu'en 2019", "fr", ("1800-01-01", "2019-12-31"), "chiens"),
        ("od 2018 do 2020", "cs", ("2018-01-01", "2020-12-31"), ""),
        # signs between years
        ("2018/2019", "en", ("2018-01-01", "2019-12-31"), ""),
        ("2018 & 2019", "en", ("2018-01-01", "2019-12-31"), ""),
        ("skiing 2018/19", "en", ("2018-01-01", "2019-12-31"), "skiing"),
        # words that are months only with a year next to them, and short forms that are words
        ("the kids may run 2019", "en", YEAR, "the kids may run"),
        ("May 2019", "en", ("2019-05-01", "2019-05-31"), ""),
        ("un chien sur mars 2019", "fr", ("2019-03-01", "2019-03-31"), "un chien sur"),
        ("lis 2019", "pl", YEAR, "lis"),
        ("dárek pro 2019", "cs", YEAR, "dárek pro"),
        # numbers of months, endings, short forms, years of two digits
        ("con chó tháng 7 năm 2019", "vi", JULY, "con chó"),
        ("con cho thang 7 nam 2019", "vi", JULY, "con cho"),
        ("ngày 12 tháng 7 năm 2019", "vi", TWELFTH, ""),
        ("tháng 7/2019", "vi", JULY, ""),
        ("từ tháng 7 năm 2019", "vi", ("2019-07-01", "2099-12-31"), ""),
        ("temmuzda 2019 köpek", "tr", JULY, "köpek"),
        ("2019 temmuzda", "tr", JULY, ""),
        ("Hund Dez 2019", "de", ("2019-12-01", "2019-12-31"), "Hund"),
        ("dez 2019", "pt", ("2019-12-01", "2019-12-31"), ""),
        ("Hund 12.7.19", "de", TWELFTH, "Hund"),
        ("12.07.87", "de", ("1987-07-12", "1987-07-12"), ""),
        ("12/7/19", "fr", TWELFTH, ""),
        ("kutya 2019. július 12.", "hu", TWELFTH, "kutya"),
        ("σκύλος Ιουλίου 2019", "el", JULY, "σκύλος"),
        ("كلب في يوليو 2019", "ar", JULY, "كلب"),
        ("Hund im Jahr 2019", "de", YEAR, "Hund"),
        ("un chien en l'année 2019", "fr", YEAR, "un chien"),
        ("un chien d'avril 2019", "fr", ("2019-04-01", "2019-04-30"), "un chien"),
        ("mar 2019", "es", YEAR, "mar"),
        ("2019 " * 1000 + "Hund", "de", YEAR, ("2019 " * 996 + "Hund")),  # four dates
    ],
)
def test_dates_of_people(text, languages, days, rest):
    assert read(text, *languages.split()) == (*days, rest)


@pytest.mark.parametrize(
    "text",
    [
        *("", "a dog", "May", "mars", "IMG_2019", "X2019", "20190712", "1250", "3.5.2", "1.3.5.19"),
        # days that no calendar has
        *("2019-02-30", "30. 2. 2019", "31.4.19", "February 29, 2019", "2019年2月30日", "25/25/2019"),
    ],
)
def test_what_is_no_date(text):
    assert find_days(text, ["en"]) is None


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("2019", "in 2019"),
        ("2018 2020", "from 2018 to 2020"),
        ("Juli 2019", "in July 2019"),
        ("Juli 2019 bis März 2020", "from July 2019 to March 2020"),
        ("since 2015", "since 2015"),
        ("before 2019", "until 2018"),
        ("12.7.2019", "on July 12, 2019"),
        ("12.7.2019 bis 2020", "from July 12, 2019 to December 31, 2020"),
    ],
)
def test_days_have_a_phrase(text, phrase):
    assert find_days(text).phrase == phrase
