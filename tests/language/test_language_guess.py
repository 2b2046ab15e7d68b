"""The language of a text, guessed among all that lingua knows; and the check of parallel text, with counts."""

import pytest
from helpers.tiny import sentences

import pecl.language.language_guess
from pecl.config import ExperimentConfig
from pecl.errors import ConfigError
from pecl.experiment.training_text import load_text
from pecl.language.language_guess import (
    LanguageGuess,
    guess_languages,
    strange_languages,
)

pytest.importorskip("lingua")

ENGLISH = [
    "Two young men are standing in front of the house.",
    "A woman in a red coat walks over the bridge.",
    "The children are playing with a ball in the park.",
    "An old man reads the newspaper on a bench.",
]
GERMAN = [
    "Zwei junge Männer stehen vor dem Haus.",
    "Eine Frau in einem roten Mantel geht über die Brücke.",
    "Die Kinder spielen im Park mit einem Ball.",
    "Ein alter Mann liest auf einer Bank die Zeitung.",
]
FRENCH = [
    "Deux jeunes hommes se tiennent devant la maison.",
    "Une femme en manteau rouge traverse le pont.",
    "Les enfants jouent avec un ballon dans le parc.",
    "Un vieil homme lit le journal sur un banc.",
]


SHIPPED = ["en", "cs", "de", "es", "fr", "it", "jp", "ko", "pl", "ru", "tr", "zh"]


@pytest.mark.parametrize(
    ("text", "loaded", "language"),
    [
        ("pes na pláži", SHIPPED, "cs"),  # Slovak too; Czech has an adapter
        ("犬が海岸を走っている", SHIPPED, "jp"),
        ("een hond rent over het strand", ["en", "nl"], "nl"),
        ("koira juoksee rannalla", SHIPPED, "fi"),
    ],
)
def test_a_language_is_guessed_among_all_whether_it_has_an_adapter_or_not(text, loaded, language):
    (guess,) = guess_languages([text], loaded)
    assert guess.language == language
    assert guess.is_sure or language not in loaded
    assert 0 < guess.confidence <= 1


def test_a_script_names_one_of_the_languages_that_a_person_speaks():
    amharic, german = "ውሻ በባህር ዳርቻ", "der Hund läuft am Strand"
    for among, codes in {("ti", "de"): ["ti", "de", None], ("de",): ["am", "de", None]}.items():
        guesses = guess_languages([amharic, german, "12:30"], [], among)
        assert [guess.language for guess in guesses] == codes


@pytest.mark.parametrize(
    ("text", "among", "language", "is_other"),
    [
        ("Hund am Strand", ["de", "en"], "de", False),  # among all languages it is not detected
        ("pes", ["de", "cs"], "cs", False),  # by its frequency: its letters say German
        ("犬が海岸を走っている", ["de", "en"], "jp", True),
        ("富士山", ["jp", "en"], "jp", False),  # its characters are Chinese, too
        ("富士山", ["de", "en"], "zh", True),
        ("一只狗在沙滩上", ["jp", "en"], "zh", True),  # simplified characters
        ("perro", ["de", "en"], "de", False),  # one word of another language is not certain
        ("mbwa na mokili", ["ln", "en"], "ln", False),  # lingua does not know Lingala: these are no English words
        ("dog on the beach", ["ln", "en"], "en", False),
        ("A man is riding a horse on the beach.", ["de", "sk", "cs"], "en", True),
        ("two dogs running through snow", ["ln"], "en", True),
        ("ein Mann mit Hut", ["de", "sk", "cs"], "de", False),
        ("dog", ["de", "cs"], "de", False),  # a word is no sentence
        ("mbwa anakimbia kwenye ufuo", ["ln", "sw"], "sw", False),  # Swahili has no list of words, but lingua knows it
    ],
)
def test_a_language_is_one_that_the_person_speaks_unless_another_is_all_but_certain(text, among, language, is_other):
    (guess,) = guess_languages([text], SHIPPED, among)
    assert (guess.language, guess.is_other) == (language, is_other)
    assert is_other == ("none of yours" in guess.sentence)
    if not is_other:
        assert {code for code, _ in guess.shares} <= set(among)


@pytest.mark.parametrize(
    ("text", "among", "language"),
    [
        ("babka", ["cs", "en"], "cs"),  # among all languages Malay, Somali or Indonesian
        ("babka", ["sk"], "sk"),
        ("anneanne", ["tr", "en"], "tr"),  # Irish
        ("See", ["de"], "de"),  # Finnish
        ("See", ["de", "en"], "de"),  # the English word is a stop word
        ("Hut", ["de", "en"], "de"),
        ("more", ["sk", "en"], "sk"),
        ("plaz a more", ["cs", "en"], "cs"),
        ("plaz a more", ["sk", "en"], "sk"),
        ("chat", ["fr", "en"], "fr"),  # the first language of the person
        ("chat", ["en", "fr"], "en"),
        ("biển", ["vi", "en", "fr"], "vi"),
        ("jabłko", ["de", "en"], "pl"),  # a letter that no language of the person has
        ("a dog", ["de", "en"], "en"),
        ("hat", ["en", "de"], "en"),
    ],
)
def test_one_or_two_words_are_in_a_language_of_the_person(text, among, language):
    (guess,) = guess_languages([text], SHIPPED, among)
    assert guess.language == language


@pytest.mark.parametrize("text", ["12:30 - 17", ""])
def test_digits_and_symbols_are_of_no_language(text):
    (guess,) = guess_languages([text], SHIPPED)
    assert (guess.language, guess.confidence, guess.is_sure) == (None, 0.0, False)
    assert guess.sentence == "not detected: no word of the text identifies a language"
    unsure = LanguageGuess("it", 0.22, "Italian").sentence
    assert unsure == "not detected: the likeliest is Italian (it), confidence 0.22"


def test_shares_are_of_squared_confidences_and_only_of_the_likeliest():
    sure, unsure = guess_languages(["ein Hund läuft über die Wiese", "strom"], ["cs", "de"], ["cs", "de"])
    assert sure.shares == (("de", 1.0),)
    other = 1 - unsure.confidence
    share = unsure.confidence**2 / (unsure.confidence**2 + other**2)
    assert dict(unsure.shares)[unsure.language] == pytest.approx(share)
    assert sum(share for _, share in unsure.shares) == pytest.approx(1)
    assert [share for _, share in unsure.shares] == sorted((share for _, share in unsure.shares), reverse=True)


def test_without_lingua_the_language_is_asked_for_and_nothing_is_said(monkeypatch):
    monkeypatch.setattr(pecl.language.language_guess, "can_guess", lambda: False)
    with pytest.raises(ConfigError, match=r"language: expected one, since detecting it needs lingua and wordfreq: pip"):
        guess_languages(["ein Hund"], ["en"])
    assert strange_languages(ENGLISH * 5, GERMAN * 5, "de") is None  # which are swapped


@pytest.mark.parametrize(
    ("target", "english", "said"),
    [
        (GERMAN, ENGLISH, None),
        (
            ENGLISH,
            GERMAN,
            "of 20 pairs checked, 20 have English where German is expected and 20 have German where English is: are "
            "the two swapped?",
        ),
        (FRENCH, ENGLISH, "of 20 pairs checked, 20 have French where German is expected: is it the right file?"),
        (GERMAN[:2] + FRENCH[:2], ENGLISH, None),  # half is not most
    ],
)
def test_swapped_columns_and_other_languages_are_said(target, english, said):
    found = strange_languages(target * 5, english * 5, "de")
    assert found == said or (said is not None and found is not None and found.startswith(said))


def test_of_a_handful_of_pairs_and_of_words_of_no_language_nothing_is_said(monkeypatch):
    assert strange_languages(ENGLISH, GERMAN, "de") is None
    monkeypatch.setattr(pecl.language.language_guess, "LOOKED_AT", 10)  # evenly spread: half of them are French
    assert strange_languages((FRENCH * 3)[:9] + (GERMAN * 3)[:10], (ENGLISH * 5)[:19], "de") is None
    assert strange_languages(sentences(40), sentences(40, seed=1), "de") is None


def test_a_source_with_swapped_columns_is_warned_of_once(tmp_path, caplog):
    rows = [f"{german}\t{english}\n" for german, english in zip(GERMAN * 5, ENGLISH * 5, strict=True)]
    (tmp_path / "swapped.tsv").write_text("en\tde\n" + "".join(rows), "utf-8")
    (tmp_path / "c.en").write_text("".join(f"{line}\n" for line in ENGLISH * 5), "utf-8")
    (tmp_path / "c.de").write_text("".join(f"{line}\n" for line in GERMAN * 5), "utf-8")
    sources = f"{tmp_path}/swapped.tsv,{tmp_path}/c.en={tmp_path}/c.de"
    assert len(load_text(ExperimentConfig(text=sources, language="de"), {})[0]) == 40  # said, and used all the same
    (message,) = [one for one in caplog.messages if "pairs checked" in one]
    assert message.startswith(f"{tmp_path}/swapped.tsv: of 20 pairs checked, 20 have English where German is expected")


@pytest.mark.parametrize(
    ("text", "language"),
    [("con cho chay tren bai bien", "vi"), ("pes bezi po plazi s mickem", "cs"), ("ein Mann mit Hund am Strand", "de")],
)
@pytest.mark.parametrize("among", [None, ("vi", "cs", "de", "sk", "en")])
def test_a_text_without_marks_is_compared_as_each_language_writes_it(text, language, among):
    (guess,) = guess_languages([text], ("vi", "cs", "de"), among)
    assert guess.language == language
