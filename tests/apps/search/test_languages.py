"""The languages of a person: named, of the system, or of a browser."""

import pytest

from pecl.apps.search.languages import accepted_languages, named_languages, system_languages
from pecl.errors import ConfigError
from pecl.language.languages import LANGUAGES

pytest.importorskip("lingua")


@pytest.mark.parametrize(
    ("environment", "codes"),
    [
        ({}, ["en"]),
        *(({"LANG": text}, ["en"]) for text in ("C.UTF-8", "xx_XX", "en_GB.UTF-8")),
        ({"LANG": "de_AT.UTF-8", "LC_ALL": "cs_CZ.UTF-8"}, ["cs", "en"]),
        ({"LANG": "de_DE", "LANGUAGE": "ja_JP:sr@latin"}, ["jp", "sr_latn", "en"]),
        ({"LANG": "zh_TW.Big5"}, ["zh_hant", "en"]),
    ],
)
def test_the_languages_of_a_system_are_its_own_and_english(environment, codes):
    assert list(system_languages(environment)) == codes


@pytest.mark.parametrize(
    ("header", "codes"),
    [
        ("de-AT,de;q=0.9,en;q=0.8,cs;q=0.95,zh-HK;q=.1,zh-HK;q=0.1", ["de", "cs", "en", "zh_hant"]),
        ("*, zz;q=x, sw;q=0.1, fr;q=0", ["sw"]),
        *((text, []) for text in (None, ",;,q=", "q" * 5000)),
        ("de," * 400 + "fr", ["de"]),  # more than a kilobyte
    ],
)
def test_the_languages_of_a_browser_are_those_of_its_header(header, codes):
    assert list(accepted_languages(header)) == codes


def test_a_person_names_at_most_16_languages():
    assert len(named_languages(list(LANGUAGES)[:16])) == 16
    with pytest.raises(ConfigError, match="languages: expected at most 16 that one person speaks, got 17"):
        named_languages(list(LANGUAGES)[:17])
