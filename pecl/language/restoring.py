"""Restoring: a text that was typed without marks or capitals, as people of the language write it.

People type `con cho` for the Vietnamese *con chó*, `ein hund` for the German *ein Hund*, and
`paris` for *Paris*. To a tokenizer these are other words. A `Restoration` replaces them by what
people most likely meant. It counts words, pairs of words and capitals in text of the language. A
text that has marks and capitals does not change. A text whose words are words as they were typed, too,
such as the Czech `byt` (a flat; `být` is to be), is mostly read as it was typed.

`tools/make_restorations.py` counts them in the training text of the shipped adapters.
"""

from __future__ import annotations

import json
import lzma
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.util import find_spec
from itertools import count, pairwise
from pathlib import Path

from pecl.language.normalization import normalize_text
from pecl.language.spellings import APOSTROPHES, lower, typed_forms, upper, without_marks

_FOLDER = Path(__file__).with_name("restorations")
_LEAST_PAIRS = 2  # occurrences of a pair of words that is kept
_PRIOR = 5.0  # weight of a word's own frequency, in occurrences of the word before it
_UNSEEN = 0.05  # occurrences of a word that was not counted
# A text stays as it was typed unless another reading is so many times likelier
_LEAST_ODDS = 10.0
# Share of what was typed, if all of it are words. The embedding of a well-written text keeps a cosine of .97 or more
# even where the other reading is as far away as .5
_AS_TYPED = 0.75
# A word counts as one if it is at least so frequent, relative to the word with marks, in wordfreq's lists of languages
# in which few publish text without marks
_LEAST_RATIO = 0.03
_LEAST_FREQUENCY = 1e-6  # of wordfreq's small lists
_WRITTEN_WITH_MARKS = frozenset({"cs", "de", "sk", "tr", "vi"})
# Marks that Unicode does not compose with their letters
_MARKS = (
    "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0903\u093a-\u094f\u0951-\u0957"
)
WORD = re.compile(rf"[^\W\d_](?:[^\W\d_]|[{_MARKS}\u200c\u200d]|['’ʼʻ](?=[^\W\d_]))*")
# A word that does not begin a sentence, so that its capital, if it has one, is its own
_INSIDE = re.compile(rf"(?<=[\w,;] ){WORD.pattern}")
_START = ""  # in the place of the word before the first one


@dataclass(frozen=True)
class Restoration:
    """What a text of a language most likely means. All words are in lower case.

    Only words that some text without marks can stand for are listed, and words of pairs with them.
    """

    language: str
    total: int  # occurrences of all words that were counted
    words: Mapping[str, int]  # word -> occurrences
    pairs: Mapping[str, int]  # "word next_word" -> occurrences
    capitals: Mapping[str, str]  # word -> how people write it inside a sentence: names, and German nouns

    def read(self, text: str) -> tuple[tuple[str, float], ...]:
        """Return the texts that a text in normal form is read as, each with its share, the likeliest first.

        1. Marks are restored in a text that has none.
        2. If that changes words, and what was typed is likely as well, the text counts as it was typed,
           and a little with its marks.
        3. Capitals are restored in a text that has none.
        """
        written = self._with_marks(text) if has_no_marks(text, self.language) else text
        shares = ((written, 1.0),)
        if self._is_likely(text, written):
            shares = ((text, _AS_TYPED), (written, 1 - _AS_TYPED))

        if lower(text, self.language) == text:
            shares = tuple((self._with_capitals(reading), share) for reading, share in shares)
        return shares

    def __call__(self, text: str) -> str:
        """Return a text in normal form with the marks and capitals that it lacks."""
        return self.read(text)[-1][0]

    def _is_likely(self, text: str, written: str) -> bool:
        """Return whether a text is likely as it was typed, although it can be written with marks.

        All words that differ are words as they were typed. No two neighbours with marks, such as *con chó*, were
        counted more often than as they were typed.
        """
        words, marked = ([lower(word, self.language) for word in WORD.findall(reading)] for reading in (text, written))
        changed = [pair for pair in zip(words, marked, strict=True) if pair[0] != pair[1]]
        if not changed or not all(self._is_word(*pair) for pair in changed):
            return False

        return all(
            self.pairs.get(" ".join(with_marks), 0) <= self.pairs.get(" ".join(as_typed), 0)
            for as_typed, with_marks in zip(pairwise(words), pairwise(marked), strict=True)
        )

    def _is_word(self, typed: str, marked: str) -> bool:
        """Return whether what was typed is a word: it was counted, or it is not rare beside the word with marks."""
        if typed in self.words:
            return True
        frequencies = _frequencies(self.language) if self.language in _WRITTEN_WITH_MARKS else {}
        usual = max(frequencies.get(marked, 0.0), _LEAST_FREQUENCY)
        return frequencies.get(typed, 0.0) >= _LEAST_RATIO * usual

    def _with_capitals(self, text: str) -> str:
        return WORD.sub(lambda match: self.capitals.get(match.group(), match.group()), text)

    def _with_marks(self, text: str) -> str:
        small = [lower(word, self.language) for word in WORD.findall(text)]
        typed = [without_marks(word, self.language) for word in small]  # the dotless ı of a Turkish Istanbul is an i
        choices = [self._meanings.get(word, [word]) for word in typed]
        if choices == [[word] for word in small]:
            return text

        written = self._likeliest(choices)
        if self._score(written) - self._score(typed) < math.log(_LEAST_ODDS):
            return text

        replaced = {
            i: word
            for i, word in enumerate(written)
            if word != small[i] and (word in self.words or word in self.capitals)
        }
        numbers = count()
        return WORD.sub(lambda match: self._in_case_of(match.group(), replaced.get(next(numbers))), text)

    def _likeliest(self, choices: Sequence[Sequence[str]]) -> list[str]:
        """Return the likeliest words, one of each list, by Viterbi's algorithm."""
        scores = {_START: 0.0}  # of the likeliest words that end with each word
        before: list[dict[str, str]] = []  # the word before each word, on its likeliest path
        for words in choices:
            extended = {}
            origins = {}
            for word in words:
                candidates = {last: score + self._log_probability(last, word) for last, score in scores.items()}
                origins[word] = max(candidates, key=lambda last: candidates[last])
                extended[word] = candidates[origins[word]]

            scores = extended
            before.append(origins)

        path = [max(scores, key=lambda last: scores[last])]
        for origins in reversed(before[1:]):
            path.append(origins[path[-1]])
        return path[::-1]

    def _score(self, words: Sequence[str]) -> float:
        return sum(self._log_probability(*pair) for pair in zip([_START, *words], words, strict=False))

    def _log_probability(self, before: str, word: str) -> float:
        """Return the logarithm of p(word | before), smoothed by the word's own frequency."""
        frequency = self.words.get(word, _UNSEEN) / self.total
        occurrences = self.pairs.get(f"{before} {word}", 0) + _PRIOR * frequency
        return math.log(occurrences / (self.words.get(before, 0) + _PRIOR))

    def _in_case_of(self, typed: str, word: str | None) -> str:
        """Return a word, which is in lower case, with the capitals of the typed one; None stands for that one."""
        if word is None:
            return typed
        if len(typed) > 1 and typed.isupper():
            return upper(word, self.language)
        if len(typed) != len(word):  # such as Schoen for schön
            return upper(word[0], self.language) + word[1:] if typed[0].isupper() else word

        letters = zip(word, typed, strict=True)
        return "".join(upper(letter, self.language) if case.isupper() else letter for letter, case in letters)

    @cached_property
    def _meanings(self) -> dict[str, list[str]]:
        """Words by what people type for them without marks."""
        return by_typed_form(self.words, self.language)


def _frequencies(language: str) -> Mapping[str, float]:
    """Return wordfreq's small list of a language; an empty one if wordfreq is not installed."""
    if find_spec("wordfreq") is None:
        return {}

    import wordfreq  # a tenth of a second

    return wordfreq.get_frequency_dict(language, "small")


def has_no_marks(text: str, language: str) -> bool:
    """Return whether a text has none of the marks that people of the language leave out.

    An apostrophe of any form is no mark: telephones write the curly one.
    """
    return without_marks(text, language) == text.translate(APOSTROPHES)


def by_typed_form(words: Iterable[str], language: str) -> dict[str, list[str]]:
    """Return the words that each text without marks can stand for."""
    meanings = defaultdict[str, list[str]](list)
    for word in words:
        for typed in typed_forms(word, language):
            meanings[typed].append(word)
    return dict(meanings)


def count_words(texts: Iterable[str], language: str) -> Restoration:
    """Return the restoration of a language from texts that are written in it.

    Args:
        texts: well-written texts.
        language: its code.
    """
    words = Counter[str]()
    pairs = Counter[tuple[str, str]]()
    spelled = defaultdict[str, Counter[str]](Counter)  # how each word is written inside a sentence
    for text in texts:
        text = normalize_text(text, language)
        small = [lower(word, language) for word in WORD.findall(text)]
        words.update(small)
        pairs.update(zip([_START, *small], small, strict=False))
        for spelling in _INSIDE.findall(text):
            spelled[lower(spelling, language)][spelling] += 1

    marked = set[str]()  # words that have marks, or that others without their marks look like
    ambiguous = set[str]()
    for typed, meanings in by_typed_form(words, language).items():
        if meanings != [typed]:
            marked.update(meanings)
        if len(meanings) > 1:
            ambiguous.update(meanings)

    frequent = {pair: n for pair, n in pairs.items() if n >= _LEAST_PAIRS and not ambiguous.isdisjoint(pair)}
    kept_words = marked.union(*frequent) - {_START}
    usual = {word: spellings.most_common(1)[0][0] for word, spellings in spelled.items()}
    return Restoration(
        language,
        words.total(),
        {word: words[word] for word in sorted(kept_words)},
        {" ".join(pair): frequent[pair] for pair in sorted(frequent)},
        {word: usual[word] for word in sorted(usual) if usual[word] != word},
    )


def restoration_file(language: str) -> Path:
    """Return the path of a language's shipped restoration, which need not exist."""
    return _FOLDER / f"{language}.json.xz"


@lru_cache(maxsize=64)  # some 2 MB each
def shipped_restoration(language: str) -> Restoration | None:
    """Return the shipped restoration of a language, by its code; None if there is none."""
    path = restoration_file(language)
    return Restoration(language, **json.loads(lzma.decompress(path.read_bytes()))) if path.exists() else None
