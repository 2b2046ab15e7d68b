"""Language detection by lingua, word frequencies or the script of a text; and the check of parallel text.

Detection prefers the languages that a person speaks, if these are given.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from functools import cache, lru_cache
from importlib.util import find_spec
from statistics import geometric_mean
from typing import Any, NamedTuple

from pecl.errors import ConfigError, install
from pecl.language.languages import ENGLISH, LANGUAGES, WIDESPREAD
from pecl.language.normalization import normalize_text
from pecl.language.reading import read_texts

SURE = 0.3  # least confidence for using the adapter of a detected language
# least confidence for a language that the person does not speak: of a sentence, and of fewer words
CERTAIN = 0.95
CERTAIN_OF_WORDS = 0.999
_MOST_CHARACTERS = 1000  # of a text, which suffice: lingua's time grows with the square of a word's length
LOOKED_AT = 30  # pairs of a source, evenly spread, whose language is detected
# prior odds, against 1 for any other language
_ENGLISH = 5
_PREFERRED = 3
_WIDESPREAD = 2
_FIRST = 3  # the first of a person's languages, for a text of one or two words
_STOP_WORD = 0.01  # what the frequency of a stop word counts: people seldom search for one
_LEAST = 0.1  # least share of a language in a mixture
_UNKNOWN = 1e-6  # frequency of a word that is not in a language's list
_OTHERS = 5  # other languages that are compared with lingua's large models
_FEWEST = 10  # with fewer pairs, nothing is reported
_CLEAR = 0.5  # confidence of a guess that counts: phrases of two words seldom reach it
_MOST_STRANGE = 0.5  # share of the pairs that may seem to be in another language
# least words of a sentence, which may be in English whatever a person's languages are
_SENTENCE = 3
# share of words in the lists of other languages, for a text in a language that lingua lacks
_MOST_KNOWN = 0.5
# For each script without a language in lingua, its language with the most speakers. The key is the
# first word of the letters' names in Unicode.
_OF_SCRIPT = {
    "ETHIOPIC": "am",
    "KANNADA": "kn",
    "KHMER": "km",
    "LAO": "lo",
    "MALAYALAM": "ml",
    "MYANMAR": "my",
    "ORIYA": "or",
    "SINHALA": "si",
    "TIBETAN": "bo",
    "TIFINAGH": "tzm",
}


class LanguageGuess(NamedTuple):
    """A guess of the language of a text.

    `shares` has the codes of the likeliest languages, each with its share of the text's embedding,
    largest first. Shares are proportional to squared confidences and sum to 1; one language has all
    if there is no doubt.
    """

    language: str | None  # code; None for a text without words, such as digits
    confidence: float  # 0 to 1, relative to the other languages that were considered
    name: str = ""  # in English
    shares: tuple[tuple[str, float], ...] = ()
    is_other: bool = False  # whether it is not a language that the person speaks

    @property
    def is_sure(self) -> bool:
        """Whether the guess is good enough to use the adapter of the language."""
        return self.language is not None and (self.confidence >= SURE or len(self.shares) == 1)

    @property
    def sentence(self) -> str:
        """The guess in words, such as `Dutch (nl), detected automatically (confidence 0.43)`."""
        if self.is_sure:
            remark = "none of yours, " if self.is_other else ""
            return f"{self.name} ({self.language}), {remark}detected automatically (confidence {self.confidence:.2f})"
        if self.language is None:
            return "not detected: no word of the text identifies a language"
        return f"not detected: the likeliest is {self.name} ({self.language}), confidence {self.confidence:.2f}"


def can_guess() -> bool:
    """Return whether lingua and wordfreq are installed."""
    return find_spec("lingua") is not None and find_spec("wordfreq") is not None


def guess_languages(
    texts: Sequence[str], preferred: Sequence[str], among: Sequence[str] | None = None
) -> list[LanguageGuess]:
    """Return the most likely language of each text, after `normalize_text`.

    lingua's small models propose other languages, and its large models compare these with the
    preferred languages. A preferred language (see `AdapterBank.preferred`) counts more than
    another, since Czech and Slovak, say, share many phrases. English counts still more, and a
    language of `WIDESPREAD`, such as Portuguese, less. A script without a language in lingua
    determines the language. A text without marks is compared as each language would write it.

    `among` has the codes of the languages that a person speaks. They count equally, times the
    frequency of the words in each, and so does English in a text of three words or more. In a text
    of one or two words, which many languages could have, the first language counts more. Another
    language is returned only if it is nearly certain that the text is in none of them (`CERTAIN`).
    lingua lacks some languages, such as Lingala. A text is in such a language of `among` if
    at most half of its words are in the word lists of the others.

    Raises:
        ConfigError: lingua or wordfreq is not installed.
    """
    if not can_guess():
        raise ConfigError(
            f"expected one, since detecting it needs lingua and wordfreq: {install('search')}", field="language"
        )
    return [_guess_language(normalize_text(text[:_MOST_CHARACTERS]), preferred, among) for text in texts]


def _guess_language(text: str, preferred: Sequence[str], among: Sequence[str] | None) -> LanguageGuess:
    """Return the most likely language of a text in normal form, see `guess_languages`."""
    guess = _from_script(text, among)
    if guess is None and among is None:
        return _from_all_languages(text, preferred)

    spoken = _with_english(text, among or ())
    if guess is None:
        guess = _from_missing_words(text, spoken)
    if guess is None and _is_in_none_of(text, spoken):
        guess = _from_all_languages(text, preferred)
        if guess.language == "zh" and "jp" in spoken and _is_kanji(text):  # Japanese without kana
            guess = _certain("jp")
    if guess is None:
        guess = _from_spoken_languages(text, spoken)

    return guess._replace(is_other=guess.language is not None and among is not None and guess.language not in among)


def _from_script(text: str, among: Sequence[str] | None) -> LanguageGuess | None:
    """Return the language of a script in `_OF_SCRIPT` that the text has letters of, even among others, or None.

    A language of `among` that is written in this script is preferred.
    """
    scripts = (unicodedata.name(letter, "").partition(" ")[0] for letter in text)
    codes = Counter(_OF_SCRIPT[script] for script in scripts if script in _OF_SCRIPT)
    if not codes:
        return None

    code = codes.most_common(1)[0][0]
    script = LANGUAGES[code].script
    return _certain(next((candidate for candidate in among or () if LANGUAGES[candidate].script == script), code))


def _with_english(text: str, among: Sequence[str]) -> Sequence[str]:
    """Return the languages of a person, and English for a sentence: many people also write it."""
    return among if ENGLISH in among or _is_short(text) else (*among, ENGLISH)


def _from_missing_words(text: str, spoken: Sequence[str]) -> LanguageGuess | None:
    """Return a language of `spoken` that lingua lacks; None if most words are of the others.

    Languages with a script of their own do not count: `_from_script` has found these.
    """
    scripts = {LANGUAGES[code].script for code in _OF_SCRIPT.values()}
    unknown = [code for code in spoken if not _codes([code]) and LANGUAGES[code].script not in scripts]
    if not unknown:
        return None

    known_share = _known_words(_codes(spoken).keys(), text, _confidences(None, text))
    if known_share is None or known_share > _MOST_KNOWN:
        return None

    shares = tuple((code, 1 / len(unknown)) for code in unknown)
    return LanguageGuess(unknown[0], 1 - known_share, LANGUAGES[unknown[0]].name, shares)


def _is_in_none_of(text: str, spoken: Sequence[str]) -> bool:
    """Return whether a text is almost certainly in none of the languages `spoken`."""
    likelier = frozenset(_codes(spoken))
    prior = {**dict.fromkeys(_codes(WIDESPREAD), _WIDESPREAD), **dict.fromkeys(likelier, _PREFERRED)}
    weighted, other_isos = _compared(text, likelier, prior)
    total = sum(weighted.values())
    least = CERTAIN_OF_WORDS if _is_short(text) else CERTAIN
    return total > 0 and sum(weighted[iso] for iso in other_isos) >= least * total


def _from_all_languages(text: str, preferred: Sequence[str]) -> LanguageGuess:
    """Return the likeliest of all languages of lingua."""
    likelier = _codes(preferred)
    prior = {**dict.fromkeys(_codes(WIDESPREAD), _WIDESPREAD), **dict.fromkeys(likelier, _PREFERRED), ENGLISH: _ENGLISH}
    weighted, _ = _compared(text, frozenset(likelier), prior)
    code_of = {**_codes(LANGUAGES), **likelier}
    best = sorted(weighted, key=lambda iso: -weighted[iso])[:_OTHERS]
    readings = _readings(text, {iso: code_of.get(iso, iso) for iso in best})
    if list(readings) in ([], [text]):
        return _likeliest(weighted, code_of)

    def weigh(reading: str) -> dict[str, float]:
        confidences = _confidences(frozenset(best), reading)
        return {iso: value * prior.get(iso, 1) for iso, value in confidences.items()}

    return _likeliest(_weighted(readings, weigh), code_of)


def _from_spoken_languages(text: str, spoken: Sequence[str]) -> LanguageGuess:
    """Return the likeliest of the languages `spoken`, by lingua's large models and the frequency of the words."""
    codes = _codes(spoken)
    isos = frozenset(codes)
    first = next((iso for iso, code in codes.items() if code == spoken[0]), None) if _is_short(text) else None

    def weigh(reading: str) -> dict[str, float]:
        often = _frequencies(isos, reading)
        return {
            iso: value * often[iso] * (_FIRST if iso == first else 1)
            for iso, value in _confidences(isos, reading).items()
        }

    return _likeliest(_weighted(_readings(text, codes), weigh), {**_codes(LANGUAGES), **codes})


def _is_short(text: str) -> bool:
    """Return whether a text has too few words for a sentence."""
    return len(_words(text)) < _SENTENCE


def _is_kanji(text: str) -> bool:
    """Return whether all characters of a text are in Japan's character set."""
    return text == text.encode("cp932", "ignore").decode("cp932")


def _certain(code: str) -> LanguageGuess:
    return LanguageGuess(code, 1.0, LANGUAGES[code].name, ((code, 1.0),))


def _readings(text: str, code_of: Mapping[str, str]) -> dict[str, list[str]]:
    """Return a text with the marks that it lacks in each language, and the ISO 639-1 codes of these languages."""
    readings = defaultdict[str, list[str]](list)
    for iso, code in code_of.items():
        readings[read_texts([text], [code])[0].restored].append(iso)
    return readings


def _weighted(readings: Mapping[str, Sequence[str]], weigh: Callable[[str], Mapping[str, float]]) -> dict[str, float]:
    """Return the weight of each language, by its ISO 639-1 code, for its own reading of a text."""
    weighted = dict[str, float]()
    for reading, isos in readings.items():
        weights = weigh(reading)
        weighted |= {iso: weights[iso] for iso in isos if iso in weights}
    return weighted


def _compared(
    text: str,
    likelier: frozenset[str],
    prior: Mapping[str, float],
) -> tuple[dict[str, float], list[str]]:
    """Compare `likelier` and the likeliest other languages by lingua's large models.

    Return the weight of each of these, its confidence times its prior odds, and the codes of the others.
    """
    small = {iso: value * prior.get(iso, 1) for iso, value in _confidences(None, text).items()}
    other_isos = sorted((iso for iso in small if iso not in likelier), key=lambda iso: -small[iso])[:_OTHERS]
    large = _confidences(likelier.union(other_isos), text)
    return {iso: value * prior.get(iso, 1) for iso, value in large.items()}, other_isos


def _likeliest(weighted: Mapping[str, float], code_of: Mapping[str, str]) -> LanguageGuess:
    """Return the guess of weights by ISO 639-1 code."""
    total = sum(weighted.values())
    if total == 0:  # no word of any language
        return LanguageGuess(None, 0.0)
    best = max(weighted, key=lambda iso: weighted[iso])
    shares = _shares({code_of.get(iso, iso): value / total for iso, value in weighted.items()})
    return LanguageGuess(code_of.get(best, best), weighted[best] / total, _names()[best], shares)


def _shares(confidences: dict[str, float]) -> tuple[tuple[str, float], ...]:
    """Return the most likely languages with their shares, see `LanguageGuess`, given the confidence of each code."""
    squares = {code: value**2 for code, value in confidences.items()}
    total = sum(squares.values())
    frequent = {code: square for code, square in squares.items() if square >= _LEAST * total}
    return tuple(
        (code, frequent[code] / sum(frequent.values())) for code in sorted(frequent, key=lambda code: -frequent[code])
    )


def is_detected(code: str) -> bool:
    """Return whether `guess_languages` can detect a language that is not in `among`; needs lingua."""
    return bool(_codes([code])) or code in _OF_SCRIPT.values()


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """Return the English name of each language of lingua, by its ISO 639-1 code."""
    import lingua

    return {language.iso_code_639_1.name.lower(): language.name.title() for language in lingua.Language.all()}


def _codes(among: Iterable[str]) -> Mapping[str, str]:
    """Map ISO 639-1 codes to pecl's codes for the languages `among` that lingua has."""
    return _codes_of(tuple(among))


@lru_cache(maxsize=256)
def _codes_of(among: tuple[str, ...]) -> Mapping[str, str]:
    isos = {code: LANGUAGES[code].iso if code in LANGUAGES else code for code in among}
    return {iso: code for code, iso in isos.items() if iso is not None and iso in _names()}


@lru_cache(maxsize=4096)  # the training text of the runs of a grid is looked at again
def _confidences(isos: frozenset[str] | None, text: str) -> Mapping[str, float]:
    """Return the confidence of each of `isos` from lingua's large models; for None, of all from its small models."""
    if isos is not None and len(isos) < 2:  # lingua compares at least two
        return dict.fromkeys(isos, float(any(map(str.isalpha, text))))
    values = _detector(isos).compute_language_confidence_values(text)
    return {value.language.iso_code_639_1.name.lower(): float(value.value) for value in values}


@cache
def _listed_languages() -> Set[str]:
    """Return the languages that have a list of words; wordfreq reads a folder for them."""
    import wordfreq

    return wordfreq.available_languages("small").keys()


def _frequencies(isos: frozenset[str], text: str) -> dict[str, float]:
    """Return the geometric mean of the frequencies of a text's words in each language; 1 if one has no list.

    Stop words count less, such as the English `see`, which is a lake in German.
    """
    import wordfreq  # a tenth of a second

    words = _words(text)
    if not words or not isos <= _listed_languages():
        return dict.fromkeys(isos, 1.0)

    often = dict[str, float]()
    for iso in isos:
        frequencies, stops = wordfreq.get_frequency_dict(iso, "small"), _stop_words_of(iso)
        often[iso] = geometric_mean(
            frequencies.get(word, _UNKNOWN) * (_STOP_WORD if word in stops else 1) for word in words
        )
    return often


def _known_words(isos: Set[str], text: str, guessed: Mapping[str, float]) -> float | None:
    """Return the largest share of a text's words that are in a list of one of `isos`; None for a text without words.

    A language without a list counts as having all words if it is the most likely in lingua's confidences `guessed`.
    """
    import wordfreq

    words = _words(text)
    if not words:
        return None

    lists = isos & _listed_languages()
    if max(guessed, key=lambda iso: guessed[iso]) in isos - lists:
        return 1.0

    counts = [sum(word in wordfreq.get_frequency_dict(iso, "small") for word in words) for iso in lists]
    return max(counts, default=0) / len(words)


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", text.lower())


@lru_cache(maxsize=64)
def _detector(isos: frozenset[str] | None) -> Any:
    import lingua

    builder = lingua.LanguageDetectorBuilder
    if isos is None:
        return builder.from_all_languages().with_low_accuracy_mode().build()
    languages = [language for language in lingua.Language.all() if language.iso_code_639_1.name.lower() in isos]
    return builder.from_languages(*languages).build()


def strange_languages(targets: Sequence[str], english: Sequence[str], language: str) -> str | None:
    """Return a clause with counts if `targets` are not in `language`, or their translations not in English; else None.

    From `LOOKED_AT` pairs, it states that the columns are swapped, or that one is mostly in another
    language. It is None without lingua, for a language that lingua lacks, and for fewer
    than ten pairs.
    """
    if language == ENGLISH or len(targets) < _FEWEST or not can_guess() or not _codes([language]):
        return None

    count = min(len(targets), LOOKED_AT)
    sides = []
    places = [i * len(targets) // count for i in range(count)]

    for texts, expected in ((targets, language), (english, ENGLISH)):
        guesses = guess_languages([texts[i] for i in places], (language, ENGLISH))
        other_names = [
            guess.name for guess in guesses if guess.language not in (None, expected) and guess.confidence > _CLEAR
        ]
        likeliest = max(sorted(set(other_names)), key=other_names.count, default="")
        sides.append((len(other_names) > _MOST_STRANGE * count, likeliest, other_names.count(likeliest)))

    (is_other, target, of_target), (is_other_english, source, of_english) = sides
    name = _names()[next(iter(_codes([language])))]
    if is_other and is_other_english and (target, source) == ("English", name):
        return (
            f"of {count} pairs checked, {of_target} have English where {name} is expected and {of_english} have "
            f"{name} where English is: are the two swapped?"
        )
    if not (is_other or is_other_english):
        return None

    wrong = f"{of_english} have {source} where English"
    if is_other:
        wrong = f"{of_target} have {target} where {name}"
    return f"of {count} pairs checked, {wrong} is expected: is it the right file?"


def stop_words(codes: Iterable[str]) -> frozenset[str]:
    """Return the stop words of languages, such as "with"; none for a language without a list."""
    isos = {LANGUAGES[code].iso for code in codes if code in LANGUAGES}
    return frozenset().union(*(_stop_words_of(iso) for iso in isos if iso))


@cache
def _stop_words_of(iso: str) -> frozenset[str]:
    import stopwordsiso  # takes a tenth of a second

    return frozenset(stopwordsiso.stopwords(iso)) if stopwordsiso.has_lang(iso) else frozenset()
