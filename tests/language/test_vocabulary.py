"""Words of languages are told from names."""

import pytest

from pecl.language.vocabulary import is_word

# Words as captions and folders have them, with rare forms, compounds and words of many languages; and names
WORDS = {
    "de": "Hund Hotel Park Zoo Auto Taxi Strand Straße Straßenecke Fußballspieler Schutzhelm Spaß orangefarbenen",
    "cs": "pes hotel park zoo auto taxi pláž kočičku travnatém",
    "fr": "chien hotel park zoo auto taxi plage snowboardeur promenant",
    "en": "dog hotel park zoo taxi beach grandma kneels",
    "vi": "chó cười cưới",
}
NAMES = {
    "de": "Rex Bodrum Kevin Max Luna Stefan Schmidt",
    "cs": "Rex Bodrum Helga Kevin Max Luna",
    "fr": "Rex Bodrum Helga Kevin Max Luna",
    "en": "Rex Bodrum Helga Kevin Max Luna Oliver",
    "vi": "Rex Bodrum Helga Kevin",
}


@pytest.mark.parametrize("code", WORDS)
def test_words_of_a_language_are_known_in_their_forms_and_names_are_not(code):
    assert [word for word in WORDS[code].split() if not is_word(word, [code])] == []
    assert [name for name in NAMES[code].split() if is_word(name, [code])] == []


def test_a_word_of_one_of_the_languages_is_a_word_and_so_is_a_number():
    assert is_word("Hund", ["cs", "de"])
    assert not is_word("kočičku", ["de"])
    assert is_word("2019", [])
    assert not is_word("Hund", [])
