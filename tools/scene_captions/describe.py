"""Two descriptions of a scene: phrasing A is complete, phrasing B has another order and may omit a detail.

B imitates an independent description by another person. It may reverse the relation (`a tree behind
two cars` for `two cars in front of a tree`), name the place or the weather first, use a synonym,
and omit one detail. Each language draws its own choices.
"""

from __future__ import annotations

from scene_captions.grammar import Lexicon, Mention, Message
from scene_captions.sample import CONVERSE, KINDS, weighted

from pecl.data.scenes.scene import FLYING, AnimalGroup, Dice, Scene

CONVERSE_RATE = 0.5  # share of B that names the second group first
SYNONYM_RATE = 0.4  # share of B that uses a synonym, if the lexicon has one
OMISSIONS = {"nothing": 0.5, "weather": 0.2, "place": 0.1, "colour": 0.12, "size": 0.08}


def describe_all(scene: Scene) -> Message:
    """Return phrasing A: both groups with every attribute, the place and the weather, in the scene's own order."""
    other = _mention(scene.second) if scene.second else None
    return Message(
        structure="A",
        subject=_mention(scene.first),
        verb=KINDS[scene.first.kind].verb,
        relation=scene.relation,
        other=other,
        place=(scene.place, "over" if _in_the_air(scene) else "a"),
        weather=(scene.weather, "a"),
    )


def describe_anew(scene: Scene, lexicon: Lexicon) -> Message:
    """Return phrasing B in the lexicon's language; its choices depend on the scene's key and the language."""
    dice = Dice(scene.key, "phrasing B", lexicon.code)
    first = scene.first
    second = scene.second
    relation = scene.relation
    if second is not None and relation is not None and dice.chance(CONVERSE_RATE):
        first, second, relation = second, first, CONVERSE[relation]

    omitted = weighted(dice, OMISSIONS)
    subject = _mention(first, _noun(first, lexicon, dice), omit=omitted if omitted == "size" else "")
    other = _mention(second, _noun(second, lexicon, dice), omit=omitted) if second else None
    # a single group has no other frame than the place
    says_place = omitted != "place" or other is None
    return Message(
        structure="place_first" if omitted == "weather" or (says_place and dice.chance(0.5)) else "weather_first",
        subject=subject,
        verb=KINDS[first.kind].verb,
        relation=relation,
        other=other,
        place=(scene.place, "over" if _in_the_air(scene) else "b") if says_place else None,
        weather=(scene.weather, "b") if omitted != "weather" else None,
    )


def _mention(group: AnimalGroup, noun: str | None = None, omit: str = "") -> Mention:
    return Mention(
        noun=noun or group.kind,
        count=group.count,
        colour=None if omit == "colour" else group.colour,
        size=None if omit == "size" else group.size,
    )


def _noun(group: AnimalGroup, lexicon: Lexicon, dice: Dice) -> str:
    synonym = f"{group.kind}+"
    return synonym if dice.chance(SYNONYM_RATE) and synonym in lexicon.nouns else group.kind


def _in_the_air(scene: Scene) -> bool:
    return all(group.kind in FLYING for group in (scene.first, scene.second) if group)
