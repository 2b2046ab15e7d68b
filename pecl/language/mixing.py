"""Mixed captions: English captions with some words replaced by their translations into another language.

A few hundred pairs hold few words, and most of them once. English captions without a translation
put these words into many more sentences, whose meaning is known: it is that of the English caption.
Mixing languages to align their embeddings is Qin et al., CoSDA-ML (IJCAI 2020); here the dictionary
comes from the pairs themselves.
"""

import random
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from pecl.language.lexicon import make_lexicon

# scripts without spaces between words
UNSPACED = ("Hans", "Hant", "Jpan", "Khmr", "Laoo", "Mymr", "Thai", "Tibt")
_OFTEN = 5  # times that two pieces must occur together to be joined
_ARTICLES = ("a", "an", "the")
_LEAST = 0.05  # least weight of a translation
_MOST = 3  # most translations of a word


class Mixer:
    """Mixes captions with the words of pairs of texts.

    Articles of the captions are left out: most languages have none, and a model of words mistakes
    prepositions for their translations. A mixed caption begins with a capital if the caption does.

    Args:
        texts: n texts of the language.
        english: their English translations.
        spaces: whether spaces separate the words of the language. If not, characters that often
            occur together in the texts are taken as words, and no space is put between them.

    Attributes:
        translations: for each English word in lower case its likely translations, each with its weight.
    """

    def __init__(
        self,
        texts: Sequence[str],
        english: Iterable[str],
        *,
        spaces: bool = True,
    ) -> None:
        # index of each word
        target_words = dict[str, int]()
        english_words = dict[str, int]()

        words = _words if spaces else _pieces_of(texts)
        split = [words(text) for text in texts]
        target_indices = [
            [target_words.setdefault(word, len(target_words)) for word in [*map(_lower, text[:1]), *text[1:]]]
            for text in split
        ]
        english_indices = [
            [english_words.setdefault(word.lower(), len(english_words)) for word in _words(text)] for text in english
        ]
        lexicon = make_lexicon(target_indices, english_indices)
        english_list = list(english_words)
        target_list = list(target_words)
        weighted = dict[str, list[tuple[float, str]]]()
        likely = lexicon.weight > _LEAST
        columns = (column[likely].tolist() for column in (lexicon.target, lexicon.english, lexicon.weight))
        for target_index, english_index, weight in zip(*columns, strict=True):
            weighted.setdefault(english_list[english_index], []).append((weight, target_list[target_index]))

        self._between = " " if spaces else ""
        self._capitalised = {_lower(text[0]): text[0] for text in split if text and text[0][0].isupper()}
        self.translations = {word: sorted(ways, reverse=True)[:_MOST] for word, ways in weighted.items()}

    def __call__(self, captions: Sequence[str]) -> Iterator[tuple[str, int]]:
        """Yield each caption with its words translated, and the number of translated words.

        A translation is drawn in proportion to its weight; equal calls draw the same translations.
        """
        draws = random.Random(0)
        for caption in captions:
            mixed = ""
            count = 0

            after_own = False
            capital = caption[:1].isupper()
            for before, word, after in map(_parts, caption.split()):
                if word.lower() in _ARTICLES and not before + after:
                    continue
                ways = self.translations.get(word.lower())
                if ways:
                    weights, words = zip(*ways, strict=True)
                    word = draws.choices(words, weights)[0]
                    count += 1
                if mixed:
                    mixed += self._between if ways and after_own else " "
                mixed += before + (self._capital(word) if capital and not mixed else word) + after
                after_own = bool(ways)

            yield mixed or caption, count

    def _capital(self, word: str) -> str:
        """Capitalise the first word of a caption: as in the texts, such as Turkish İki, or else by Unicode."""
        return self._capitalised.get(word, word[:1].title() + word[1:])  # Georgian has upper case, but no title case


def _words(text: str) -> list[str]:
    return [word for _, word, _ in map(_parts, text.split()) if word]


def _lower(word: str) -> str:
    return word.lower().replace("i\u0307", "i")  # Python's lower case of Turkish İ has the dot


def _pieces_of(texts: Iterable[str]) -> Callable[[str], list[str]]:
    """Return a function that splits a text between pieces that seldom occur together in `texts`.

    It is byte-pair encoding (Sennrich et al., ACL 2016), which joins only neighbours that occur `_OFTEN` times.
    """
    coder = Tokenizer(models.BPE())
    marks = pre_tokenizers.Punctuation("removed")
    coder.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), marks])
    coder.train_from_iterator(texts, trainers.BpeTrainer(min_frequency=_OFTEN, show_progress=False))
    return lambda text: coder.encode(text).tokens


def _parts(token: str) -> tuple[str, str, str]:
    """Split a token into the marks before its word, the word, and the marks after it."""
    inside = [i for i, character in enumerate(token) if unicodedata.category(character)[0] not in "PS"]
    if not inside:
        return token, "", ""
    begin = inside[0]
    end = inside[-1] + 1
    return token[:begin], token[begin:end], token[end:]
