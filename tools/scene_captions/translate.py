"""Simulated machine translation in both directions, with plausible mistakes.

It translates the content of a caption in the order of its source. Three of ten sentences
(`MISTAKE_RATE`) get one mistake, an edit of the message before it is rendered. The weights of
`FROM_ENGLISH` and `TO_ENGLISH` select among the mistakes that fit a sentence:

- from English: the wrong sense of an ambiguous noun (a kite becomes a bird of prey), a dropped adjective, a wrong
  preposition, a wrong agreement, counter or case, a word left in English, a wrong word order;
- into English: a dropped article, a wrong synonym, a wrong number, a false friend (German `Drachen` becomes a dragon),
  a dropped adjective, a wrong preposition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from scene_captions.describe import describe_all, describe_anew
from scene_captions.grammar import Lexicon, Mention, Message, render
from scene_captions.lexicon import LEXICONS
from scene_captions.sample import weighted

from pecl.data.scenes.scene import Dice, Scene

Mistake = Callable[[Message, Lexicon, Lexicon, Dice], Iterator[Message]]
"""Yields edits of a message that is translated into the first lexicon's language, from the second's."""

MISTAKE_RATE = 0.3  # share of sentences with a mistake, in either direction

FROM_ENGLISH = {"sense": 3.0, "drop": 1.0, "preposition": 1.2, "agreement": 1.6, "untranslated": 0.8, "order": 0.8}
TO_ENGLISH = {"article": 1.2, "synonym": 1.2, "number": 1.0, "false_friend": 3.0, "drop": 0.8, "preposition": 1.0}

_CONFUSED = {
    "next_to": "in_front_of",
    "left_of": "right_of",
    "right_of": "next_to",
    "in_front_of": "next_to",
    "behind": "below",
    "above": "next_to",
    "below": "behind",
}
_WRONG_SYNONYMS = {
    "dog": "hound | hounds",
    "cat": "feline | felines",
    "horse": "steed | steeds",
    "sheep": "ram | rams",
    "duck": "drake | drakes",
    "bird": "fowl | fowls",
    "butterfly": "moth | moths",
    "car": "carriage | carriages",
    "bus": "coach | coaches",
    "bicycle": "cycle | cycles",
    "boat": "ship | ships",
    "plane": "aircraft | aircrafts",
    "house": "home | homes",
    "tent": "shelter | shelters",
    "tree": "wood | woods",
    "flower": "bloom | blooms",
    "mushroom": "fungus | fungi",
    "chair": "seat | seats",
    "umbrella": "parasol | parasols",
    "ball": "sphere | spheres",
    "balloon": "airship | airships",
    "kite": "glider | gliders",
}


def english_to_target(scene: Scene, language: str) -> str:
    """Return the machine translation of English phrasing A into `language` (into English: the caption as it is)."""
    return _translate(scene, describe_all(scene), LEXICONS[language], LEXICONS["en"], FROM_ENGLISH)


def target_to_english(scene: Scene, language: str) -> str:
    """Return the machine translation of the target's phrasing B into English (from English: the caption as it is)."""
    source = LEXICONS[language]
    english = LEXICONS["en"]
    message = describe_anew(scene, source)
    if language != "en":
        message = _without_synonyms(message)
    return _translate(scene, message, english, source, TO_ENGLISH)


def _translate(
    scene: Scene,
    message: Message,
    into: Lexicon,
    source: Lexicon,
    weights: dict[str, float],
) -> str:
    faultless = render(into, message)
    dice = Dice(scene.key, "translation", source.code, into.code)
    if into is source or not dice.chance(MISTAKE_RATE):
        return faultless

    weights = dict(weights)
    while weights:  # the first mistake that fits the sentence and changes it
        mistake = weighted(dice, weights)
        del weights[mistake]
        for edited in _MISTAKES[mistake](message, into, source, dice):
            text = render(into, edited)
            if text != faultless:
                return text

    return faultless


def _without_synonyms(message: Message) -> Message:
    """Replace synonyms by each noun's first name, because English may lack the synonym."""
    other = message.other and replace(message.other, noun=message.other.noun.rstrip("+"))
    return replace(message, subject=replace(message.subject, noun=message.subject.noun.rstrip("+")), other=other)


def _on_mentions(change: Callable[[Mention, Lexicon, Lexicon], Mention | None]) -> Mistake:
    """Turn a change of a mention into edits of a message: both groups in random order; None means no change."""

    def edits(message: Message, into: Lexicon, source: Lexicon, dice: Dice) -> Iterator[Message]:
        for part in ("subject", "other") if dice.chance(0.6) else ("other", "subject"):
            mention = getattr(message, part)
            changed = change(mention, into, source) if mention else None
            if changed is not None:
                yield replace(message, **{part: changed})

    return edits


def _wrong_noun_sense(mention: Mention, into: Lexicon, source: Lexicon) -> Mention | None:
    noun = f"{mention.noun}!"
    return replace(mention, noun=noun) if noun in into.nouns else None


def _wrong_sense(message: Message, into: Lexicon, source: Lexicon, dice: Dice) -> Iterator[Message]:
    yield from _on_mentions(_wrong_noun_sense)(message, into, source, dice)
    if message.place is not None and (place := f"{message.place[0]}!") in into.places:
        yield replace(message, place=(place, message.place[1]))


def _foreign(words: str) -> tuple[str, str]:
    singular, plural = words.split(" | ")
    return singular, plural


def _false_friend(mention: Mention, into: Lexicon, source: Lexicon) -> Mention | None:
    words = source.false_friends.get(mention.noun)
    return replace(mention, foreign=_foreign(words)) if words else None


def _untranslated(mention: Mention, into: Lexicon, source: Lexicon) -> Mention:
    english = source.nouns[mention.noun]
    return replace(mention, foreign=(english["sg"], english["pl"]))


def _wrong_number(mention: Mention, into: Lexicon, source: Lexicon) -> Mention:
    noun = into.nouns[mention.noun]
    return replace(mention, foreign=(noun["pl"], noun["sg"]))


def _wrong_preposition(
    message: Message,
    into: Lexicon,
    source: Lexicon,
    dice: Dice,
) -> Iterator[Message]:
    if message.relation:
        yield replace(message, relation=_CONFUSED[message.relation])


def _source_order(
    message: Message,
    into: Lexicon,
    source: Lexicon,
    dice: Dice,
) -> Iterator[Message]:
    yield replace(message, structure="literal")


_MISTAKES: dict[str, Mistake] = {
    "sense": _wrong_sense,
    "drop": _on_mentions(lambda mention, into, source: replace(mention, colour=None)),
    "preposition": _wrong_preposition,
    "agreement": _on_mentions(lambda mention, into, source: replace(mention, disagrees=True)),
    "untranslated": _on_mentions(_untranslated),
    "order": _source_order,
    "article": _on_mentions(lambda mention, into, source: replace(mention, bare=mention.count == 1)),
    "synonym": _on_mentions(
        lambda mention, into, source: replace(mention, foreign=_foreign(_WRONG_SYNONYMS[mention.noun]))
    ),
    "number": _on_mentions(_wrong_number),
    "false_friend": _on_mentions(_false_friend),
}
