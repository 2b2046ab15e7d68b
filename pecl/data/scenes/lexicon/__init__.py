"""One table of words and patterns a language, under the codes of `pecl.languages`."""

from pecl.data.scenes.grammar import Lexicon
from pecl.data.scenes.lexicon.cs import CZECH
from pecl.data.scenes.lexicon.de import GERMAN
from pecl.data.scenes.lexicon.en import ENGLISH
from pecl.data.scenes.lexicon.es import SPANISH
from pecl.data.scenes.lexicon.fr import FRENCH
from pecl.data.scenes.lexicon.it import ITALIAN
from pecl.data.scenes.lexicon.jp import JAPANESE
from pecl.data.scenes.lexicon.ko import KOREAN
from pecl.data.scenes.lexicon.pl import POLISH
from pecl.data.scenes.lexicon.ru import RUSSIAN
from pecl.data.scenes.lexicon.tr import TURKISH
from pecl.data.scenes.lexicon.zh import CHINESE

_ALL = (ENGLISH, GERMAN, SPANISH, FRENCH, ITALIAN, JAPANESE, KOREAN, POLISH, RUSSIAN, TURKISH, CHINESE, CZECH)

LEXICONS: dict[str, Lexicon] = {lexicon.code: lexicon for lexicon in _ALL}
"""The lexicon of each language, by code."""
