"""The content of a scene, and `Dice`, the source of its random choices, keyed by text."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")
Colour = tuple[int, int, int]  # red, green and blue, from 0 to 255

FLYING = frozenset({"bird", "butterfly", "plane", "balloon", "kite"})  # kinds of things that are drawn in the air


class Dice:
    """Random choices from a text key, the same on every platform and Python version.

    Only `random.Random.random()` is used: it is the one method whose sequence Python promises to keep.
    """

    def __init__(self, *key: object) -> None:
        digest = hashlib.sha256("/".join(map(str, key)).encode("utf-8")).digest()
        self._random = random.Random(int.from_bytes(digest[:8], "big"))

    def between(self, low: float, high: float) -> float:
        """Return a number in [low, high)."""
        return low + (high - low) * self._random.random()

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return self._random.random() < probability

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of `choices`, all equally likely."""
        return choices[int(self._random.random() * len(choices))]


@dataclass(frozen=True)
class AnimalGroup:
    """One to five equal things. `size` is `small`, `big` or None (ordinary, never spoken of)."""

    kind: str
    count: int
    colour: str
    size: str | None = None


@dataclass(frozen=True)
class Scene:
    """The content of one image: `first` is in `relation` to `second`, at a place, in some weather.

    `key` names the scene ("seed/index") and determines details that no caption tells: exact places, shades, textures.
    """

    place: str
    weather: str
    first: AnimalGroup
    second: AnimalGroup | None = None
    relation: str | None = None
    key: str = field(default="", compare=False)
