"""Sampling of scenes: kinds of things, colours, counts, places, weather, relations.

Many scenes change one detail of an earlier scene, so a gallery is full of near-duplicates: the same
two red cars by day and by night, left of a tree and behind it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from pecl.data.scenes.scene import FLYING, AnimalGroup, Dice, Scene

T = TypeVar("T")

EDIT_RATE = 0.7  # share of scenes that change one detail of an earlier scene
SECOND_GROUP_RATE = 0.75  # share of fresh scenes that show two groups of things

PLACES = ("beach", "forest", "snow", "street", "meadow", "desert", "river", "mountains", "room")
WEATHERS = {"sunny": 0.34, "night": 0.24, "rain": 0.2, "sunset": 0.22}
SIZES = ("small", "big")
FIRST_COUNTS = {1: 0.3, 2: 0.24, 3: 0.2, 4: 0.14, 5: 0.12}
SECOND_COUNTS = {1: 0.5, 2: 0.25, 3: 0.15, 4: 0.1}
GROUND_RELATIONS = {"next_to": 0.3, "left_of": 0.15, "right_of": 0.15, "in_front_of": 0.2, "behind": 0.2}
SKY_RELATIONS = {"next_to": 0.6, "left_of": 0.2, "right_of": 0.2}
CONVERSE = {
    "next_to": "next_to",
    "left_of": "right_of",
    "right_of": "left_of",
    "in_front_of": "behind",
    "behind": "in_front_of",
    "above": "below",
    "below": "above",
}


@dataclass(frozen=True)
class Kind:
    """A kind of thing, independent of language: its verb, colours and places."""

    verb: str
    colours: tuple[str, ...]
    places: tuple[str, ...]


def _kind(verb: str, colours: str, places: str) -> Kind:
    return Kind(verb, tuple(colours.split()), tuple(places.split()))


_OUTDOORS = " ".join(place for place in PLACES if place != "room")
_WILD = "forest meadow river mountains"
_PAINT = "red blue green yellow white black orange"
_BRIGHT = "red blue green yellow white orange purple pink"

KINDS: dict[str, Kind] = {
    "dog": _kind("sit", "black white brown", " ".join(PLACES)),
    "cat": _kind("sit", "black white brown", " ".join(PLACES)),
    "horse": _kind("stand", "black white brown", _OUTDOORS),
    "sheep": _kind("stand", "black white brown", "snow meadow desert river mountains"),
    "duck": _kind("sit", "yellow white brown", "beach snow street meadow river"),
    "bird": _kind("fly", "red blue green yellow white black", _OUTDOORS),
    "butterfly": _kind("fly", "blue yellow white orange purple pink", _WILD + " desert room"),
    "car": _kind("park", _PAINT, "beach snow street meadow desert river mountains"),
    "bus": _kind("park", _PAINT, "snow street meadow desert mountains"),
    "bicycle": _kind("stand", _PAINT, _OUTDOORS),
    "boat": _kind("lie", "red blue green yellow white brown", "beach river"),
    "plane": _kind("fly", "red blue yellow white orange", _OUTDOORS),
    "house": _kind("stand", "red blue yellow white brown pink", _OUTDOORS),
    "tent": _kind("stand", "red blue green yellow orange purple", "beach snow desert " + _WILD),
    "tree": _kind("stand", "green red yellow pink", _OUTDOORS),
    "flower": _kind("grow", "red blue yellow white orange purple pink", _WILD),
    "mushroom": _kind("grow", "red brown white", _WILD),
    "chair": _kind("stand", "red blue green yellow white brown", "beach forest snow street meadow river room"),
    "umbrella": _kind("lie", _BRIGHT, "beach snow street meadow desert room"),
    "ball": _kind("lie", _BRIGHT, " ".join(PLACES)),
    "balloon": _kind("float", _BRIGHT, " ".join(PLACES)),
    "kite": _kind("fly", _BRIGHT, "beach snow street meadow desert river mountains"),
}


def sample_scenes(size: int, seed: int) -> tuple[Scene, ...]:
    """Return `size` scenes with different content; a smaller size gives the beginning of the same list."""
    scenes: list[Scene] = []
    seen: set[Scene] = set()
    for index in range(size):
        attempt = 0
        while (scene := _sample(Dice(seed, index, "scene", attempt), scenes)) in seen:
            attempt += 1
        scenes.append(replace(scene, key=f"{seed}/{index}"))
        seen.add(scene)

    return tuple(scenes)


def _sample(dice: Dice, earlier: Sequence[Scene]) -> Scene:
    if earlier and dice.chance(EDIT_RATE):
        return _edit(dice, dice.pick(earlier))

    place = dice.pick(PLACES)
    first = _group(dice, place, FIRST_COUNTS)
    second = None
    if dice.chance(SECOND_GROUP_RATE):
        second = _group(dice, place, SECOND_COUNTS, avoid=first.kind)

    if second is None and dice.chance(0.6):
        first = replace(first, size=dice.pick(SIZES))
    return Scene(place, _weather(dice, place), first, second, _relation(dice, first, second))


def weighted(dice: Dice, weights: Mapping[T, float]) -> T:
    """Return a key of `weights`, likely in proportion to its weight."""
    point = dice.between(0, sum(weights.values()))
    for choice, weight in weights.items():
        point -= weight
        if point < 0:
            return choice
    return list(weights)[-1]  # rounding may leave the last crumb of the sum


def _weather(dice: Dice, place: str) -> str:
    indoors = {name: WEATHERS[name] for name in ("sunny", "night")}
    return weighted(dice, indoors if place == "room" else WEATHERS)


def _group(dice: Dice, place: str, counts: Mapping[int, float], avoid: str = "") -> AnimalGroup:
    kind = dice.pick([name for name, kind in KINDS.items() if place in kind.places and name != avoid])
    return AnimalGroup(kind, weighted(dice, counts), dice.pick(KINDS[kind].colours))


def _relation(dice: Dice, first: AnimalGroup, second: AnimalGroup | None) -> str | None:
    if second is None:
        return None
    flying = (first.kind in FLYING, second.kind in FLYING)
    if flying[0] != flying[1]:
        return "above" if flying[0] else "below"
    return weighted(dice, SKY_RELATIONS if flying[0] else GROUND_RELATIONS)


def _edit(dice: Dice, scene: Scene) -> Scene:
    """Sample one detail of `scene` again, possibly with the same result."""
    kinds = [KINDS[group.kind] for group in (scene.first, scene.second) if group]
    details = ["place", "weather", "first"] + (["second", "relation"] if scene.second else [])
    detail = dice.pick(details)
    if detail == "weather":
        return replace(scene, weather=_weather(dice, scene.place))
    if detail == "relation":
        return replace(scene, relation=_relation(dice, scene.first, scene.second))

    if detail == "place":
        place = dice.pick([place for place in PLACES if all(place in kind.places for kind in kinds)])
        weather = _weather(dice, place) if place == "room" else scene.weather
        return replace(scene, place=place, weather=weather)

    group = scene.first
    counts = FIRST_COUNTS
    if detail == "second" and scene.second is not None:
        group = scene.second
        counts = SECOND_COUNTS

    if dice.chance(0.5):
        return replace(scene, **{detail: replace(group, count=weighted(dice, counts))})
    return replace(scene, **{detail: replace(group, colour=dice.pick(KINDS[group.kind].colours))})
