"""One table of words and patterns per language, under the codes of `pecl.language.languages`."""

from scene_captions.grammar import Lexicon
from scene_captions.lexicon.cs import CZECH
from scene_captions.lexicon.de import GERMAN
from scene_captions.lexicon.en import ENGLISH
from scene_captions.lexicon.es import SPANISH
from scene_captions.lexicon.fr import FRENCH
from scene_captions.lexicon.it import ITALIAN
from scene_captions.lexicon.jp import JAPANESE
from scene_captions.lexicon.ko import KOREAN
from scene_captions.lexicon.pl import POLISH
from scene_captions.lexicon.ru import RUSSIAN
from scene_captions.lexicon.tr import TURKISH
from scene_captions.lexicon.zh import CHINESE

_ALL = (ENGLISH, GERMAN, SPANISH, FRENCH, ITALIAN, JAPANESE, KOREAN, POLISH, RUSSIAN, TURKISH, CHINESE, CZECH)

LEXICONS: dict[str, Lexicon] = {lexicon.code: lexicon for lexicon in _ALL}
"""The lexicon of each language, by code."""
