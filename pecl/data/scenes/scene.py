"""The content of a scene; `Dice`, the source of its random choices, keyed by text; and its background and weather.

A painter of a place draws the ground below the horizon and everything above it. It draws on `land`,
and sets `mask` to 255 where the land hides the sky; below the horizon the mask is set already.
`side` is the picture's width and height and `horizon` a row of it, in pixels.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import sin
from typing import TypeVar

from PIL import Image, ImageChops, ImageDraw

T = TypeVar("T")
Colour = tuple[int, int, int]  # red, green and blue, from 0 to 255
Draw = ImageDraw.ImageDraw

# kinds of things that are drawn in the air
FLYING = frozenset({"bird", "butterfly", "plane", "balloon", "kite"})
# Colours of the sky at the top and at the horizon, and the light by which the ground is multiplied
_WEATHERS: dict[str, tuple[Colour, Colour, Colour]] = {
    "sunny": ((72, 152, 236), (206, 232, 250), (255, 255, 255)),
    "night": ((8, 12, 40), (44, 52, 104), (92, 100, 150)),
    "rain": ((96, 106, 122), (164, 172, 180), (184, 192, 202)),
    "sunset": ((92, 64, 140), (255, 158, 84), (255, 204, 168)),
}


class Dice:
    """Random choices from a text key, the same on every platform and Python version.

    Only `random.Random.random()` is used: it is the only method whose sequence Python promises to keep.
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
    """One to five equal things. `size` is `small`, `big` or None (ordinary, not mentioned in captions)."""

    kind: str
    count: int
    colour: str
    size: str | None = None


@dataclass(frozen=True)
class Scene:
    """The content of one image: `first` is in `relation` to `second`, at a place, in some weather.

    `key` names the scene ("seed/index") and determines details that no caption mentions: places, shades, textures.
    """

    place: str
    weather: str
    first: AnimalGroup
    second: AnimalGroup | None = None
    relation: str | None = None
    key: str = field(default="", compare=False)


def paint_backdrop(setting: str, weather: str, side: int, dice: Dice) -> Image.Image:
    """Return the empty place in its weather: an RGB image of side x side pixels."""
    horizon = round(side * (0.46 + dice.between(-0.02, 0.03)))
    top, bottom, light = _WEATHERS[weather]
    far, near, paint = _PLACES[setting]
    canvas = _gradient((side, side), top, bottom)
    _paint_sky(canvas, weather, dice)
    land = Image.new("RGB", (side, side), 0)
    land.paste(_gradient((side, side - horizon), far, near), (0, horizon))
    mask = Image.new("L", (side, side), 0)
    ImageDraw.Draw(mask).rectangle((0, horizon, side, side), fill=255)
    paint(ImageDraw.Draw(land), ImageDraw.Draw(mask), side, horizon, dice)
    land = ImageChops.multiply(land, _grain(side, dice))
    land = ImageChops.multiply(land, Image.new("RGB", (side, side), light))
    canvas.paste(land, (0, 0), mask)

    return canvas


def paint_weather(canvas: Image.Image, weather: str, dice: Dice) -> None:
    """Draw rain in front of everything."""
    if weather != "rain":
        return

    side = canvas.width
    draw = ImageDraw.Draw(canvas, "RGBA")
    for _ in range(110):
        x = dice.between(0, side)
        y = dice.between(-20, side)
        length = dice.between(14, 34)
        draw.line((x, y, x - length * 0.3, y + length), fill=(214, 228, 246, 150), width=2)


def _gradient(size: tuple[int, int], top: Colour, bottom: Colour) -> Image.Image:
    ramp = Image.linear_gradient("L").resize(size)
    return Image.composite(Image.new("RGB", size, bottom), Image.new("RGB", size, top), ramp)


def _grain(side: int, dice: Dice) -> Image.Image:
    """Return a cloudy, faint texture around white to multiply with."""
    small = side // 8
    noise = hashlib.shake_256(repr(dice.between(0, 1)).encode()).digest(small * small)
    grey = Image.frombytes("L", (small, small), noise).point([222 + level // 8 for level in range(256)])
    return grey.resize((side, side), Image.Resampling.BILINEAR).convert("RGB")


def _paint_sky(canvas: Image.Image, weather: str, dice: Dice) -> None:
    side = canvas.width
    draw = ImageDraw.Draw(canvas, "RGBA")
    x = dice.between(0.12, 0.88) * side
    y = dice.between(0.1, 0.2) * side

    if weather == "night":
        for _ in range(70):
            u = dice.between(0, side)
            v = dice.between(0, side * 0.5)
            r = dice.between(0.6, 2.4)
            draw.ellipse((u - r, v - r, u + r, v + r), fill=(255, 255, 240, 220))
        _disc(draw, x, y, side * 0.075, (250, 246, 214), 3)
        draw.ellipse((x - 14, y - 10, x - 2, y + 2), fill=(226, 220, 190, 255))
        draw.ellipse((x + 4, y + 6, x + 14, y + 15), fill=(226, 220, 190, 255))
    elif weather == "sunset":
        _disc(draw, x, side * 0.4, side * 0.11, (255, 216, 120), 5)
    elif weather == "sunny":
        _disc(draw, x, y, side * 0.07, (255, 236, 130), 5)

    for _ in range({"sunny": 3, "rain": 9, "sunset": 3, "night": 1}[weather]):
        _cloud(draw, side, weather, dice)


def _disc(draw: Draw, x: float, y: float, r: float, colour: Colour, halos: int) -> None:
    for i in range(halos, 0, -1):
        halo = r * (1 + 0.35 * i)
        draw.ellipse((x - halo, y - halo, x + halo, y + halo), fill=(*colour, 26))
    draw.ellipse((x - r, y - r, x + r, y + r), fill=(*colour, 255))


def _cloud(draw: Draw, side: int, weather: str, dice: Dice) -> None:
    grey = {"sunny": (255, 255, 255, 150), "rain": (78, 86, 100, 120), "sunset": (255, 190, 160, 110)}
    fill = grey.get(weather, (90, 98, 140, 70))
    x = dice.between(0, side)
    y = dice.between(0.02, 0.3) * side
    w = dice.between(0.1, 0.2) * side
    for dx, dy, r in ((-0.5, 0.06, 0.3), (0, 0, 0.42), (0.5, 0.08, 0.28)):
        draw.ellipse((x + (dx - r) * w, y + (dy - r * 0.6) * w, x + (dx + r) * w, y + (dy + r * 0.6) * w), fill=fill)


def _beach(land: Draw, mask: Draw, side: int, horizon: int, dice: Dice) -> None:
    shore = horizon + round(side * 0.12)
    land.rectangle((0, horizon, side, shore), fill=(38, 138, 190))
    for i in range(5):
        y = horizon + (shore - horizon) * (i + 0.6) / 5
        _wave(land, side, y, 3, dice.between(0, 6), (150, 210, 232) if i < 4 else (255, 255, 255), 3)

    for _ in range(60):
        x = dice.between(0, side)
        y = dice.between(shore + 10, side)
        land.ellipse((x, y, x + 3, y + 2), fill=(200, 168, 112))


def _wave(
    land: Draw,
    side: int,
    y: float,
    height: float,
    phase: float,
    colour: Colour,
    width: int,
) -> None:
    land.line([(x, y + height * sin(x / 14 + phase)) for x in range(0, side + 8, 8)], fill=colour, width=width)


def _forest(land: Draw, mask: Draw, side: int, horizon: int, dice: Dice) -> None:
    for depth, colour in ((0.3, (44, 84, 58)), (0.24, (32, 70, 44)), (0.16, (24, 56, 34))):
        for i in range(11):
            x = side * (i + dice.between(0, 1)) / 11
            top = horizon - side * (depth + dice.between(0, 0.1))
            half = side * 0.06
            points = [(x, top), (x + half, horizon + 8), (x - half, horizon + 8)]
            land.polygon(points, fill=colour)
            mask.polygon(points, fill=255)

    for _ in range(90):
        x = dice.between(0, side)
        y = dice.between(horizon, side)
        land.line((x, y, x + dice.between(-4, 4), y - 9), fill=(60, 104, 44), width=2)


def _hills(
    land: Draw,
    mask: Draw,
    side: int,
    horizon: int,
    dice: Dice,
    colours: list[Colour],
    height: float,
) -> None:
    for i, colour in enumerate(colours):
        phase = dice.between(0, 6)
        lift = side * height * (1 - i / len(colours))
        ridge = [(x, horizon - lift * (0.6 + 0.4 * sin(x / side * 5 + phase))) for x in range(0, side + 16, 16)]
        for brush, fill in ((land, colour), (mask, 255)):
            brush.polygon([(0, horizon + 2), *ridge, (side, horizon + 2)], fill=fill)


def _snow(land: Draw, mask: Draw, side: int, horizon: int, dice: Dice) -> None:
    _hills(land, mask, side, horizon, dice, [(206, 220, 238), (224, 234, 246)], 0.1)
    for _ in range(14):
        x = dice.between(0, side)
        y = dice.between(horizon + 20, side)
        w = dice.between(30, 90)
        land.arc((x, y, x + w, y + 16), 200, 340, fill=(206, 218, 236), width=3)


def _street(land: Draw, mask: Draw, side: int, horizon: int, dice: Dice) -> None:
    x = -10.0
    while x < side:
        w = dice.between(0.1, 0.17) * side
        top = horizon - dice.between(0.14, 0.36) * side
        wall = dice.pick(((168, 150, 140), (146, 152, 164), (184, 168, 150), (132, 124, 132)))
        land.rectangle((x, top, x + w, horizon), fill=wall)
        mask.rectangle((x, top, x + w, horizon), fill=255)
        for wx in range(round(x + 9), round(x + w - 12), 16):
            for wy in range(round(top + 9), horizon - 12, 20):
                land.rectangle((wx, wy, wx + 8, wy + 11), fill=dice.pick(((250, 226, 140), (96, 112, 134))))
        x += w + 4

    land.rectangle((0, horizon, side, horizon + 12), fill=(176, 172, 166))
    for i in range(5):
        u = side * (i + 0.2) / 5
        far = side * 0.74
        near = side * 0.76
        land.polygon([(u, far), (u + 48, far), (u + 44, near), (u - 6, near)], fill="white")


def _meadow(land: Draw, mask: Draw, side: int, horizon: int, dice: Dice) -> None:
    _hills(land, mask, side, horizon, dice, [(126, 178, 96), (138, 192, 90)], 0.09)
    for _ in range(220):
        x = dice.between(0, side)
        y = dice.between(horizon + 6, side)
        land.line((x, y, x + dice.between(-5, 5), y - 12), fill=dice.pick(((74, 148, 48), (124, 188, 72))), width=2)


def _desert(land: Draw, mask: Draw, side: int, horizon: int, dice: Dice) -> None:
    _hills(land, mask, side, horizon, dice, [(226, 168, 96), (240, 190, 118)], 0.16)
    for i in range(7):
        y = horizon + (side - horizon) * (i + dice.between(0.2, 0.8)) / 7
        _wave(land, side, y, 4, dice.between(0, 6), (202, 140, 72), 2)


def _river(land: Draw, mask: Draw, side: int, horizon: int, dice: Dice) -> None:
    _hills(land, mask, side, horizon, dice, [(86, 138, 84)], 0.08)
    far = horizon + side * 0.03
    near = horizon + side * 0.24
    bank = [(x, near + 8 * sin(x / 50 + 1)) for x in range(0, side + 16, 16)]
    land.polygon([(0, far), *bank, (side, far)], fill=(48, 128, 196))
    for i in range(6):
        _wave(land, side, far + (near - far) * (i + 0.4) / 6, 3, dice.between(0, 6), (124, 186, 230), 2)

    for _ in range(40):
        x = dice.between(0, side)
        land.line((x, near + 14, x + dice.between(-4, 4), near - 12), fill=(62, 120, 50), width=3)


def _mountains(land: Draw, mask: Draw, side: int, horizon: int, dice: Dice) -> None:
    for i in range(4):
        x = side * (i + dice.between(-0.1, 0.3)) / 3.4
        w = side * dice.between(0.22, 0.3)
        peak = horizon - side * dice.between(0.26, 0.4)
        slope = [(x - w, horizon + 4), (x, peak), (x + w, horizon + 4)]
        land.polygon(slope, fill=dice.pick(((112, 118, 138), (98, 104, 124), (126, 128, 144))))
        mask.polygon(slope, fill=255)
        drop = (horizon - peak) * 0.34
        half = w * 0.34
        cap = [(x, peak), (x + half, peak + drop), (x + half * 0.3, peak + drop * 0.7), (x, peak + drop * 1.1)]
        land.polygon([*cap, (x - half * 0.4, peak + drop * 0.7), (x - half, peak + drop)], fill=(246, 248, 252))

    for _ in range(30):
        x = dice.between(0, side)
        y = dice.between(horizon, side)
        r = dice.between(3, 9)
        land.ellipse((x - r, y - r * 0.6, x + r, y + r * 0.6), fill=(128, 126, 118))


def _room(land: Draw, mask: Draw, side: int, horizon: int, dice: Dice) -> None:
    floor = horizon + round(side * 0.08)
    wall = dice.pick(((222, 206, 182), (196, 212, 206), (214, 200, 214)))
    land.rectangle((0, 0, side, floor), fill=wall)
    for x in range(0, side, 28):
        land.line((x, 0, x, floor), fill=tuple(c - 10 for c in wall), width=4)

    land.rectangle((0, floor - 10, side, floor), fill=(240, 236, 228))
    for i in range(6):
        y = floor + (side - floor) * i / 6
        land.line((0, y, side, y), fill=(122, 82, 48), width=2)

    mask.rectangle((0, 0, side, side), fill=255)
    left = dice.between(0.1, 0.58) * side
    frame = (left, side * 0.06, left + side * 0.34, side * 0.34)
    pane = side * 0.02
    land.rectangle(frame, fill=(250, 248, 240))
    mask.rectangle((frame[0] + pane, frame[1] + pane, frame[2] - pane, frame[3] - pane), fill=0)
    middle = (frame[0] + frame[2]) / 2
    mask.rectangle((middle - 3, frame[1], middle + 3, frame[3]), fill=255)


_PLACES = {  # colours of the ground far away and near, and the painter
    "beach": ((242, 222, 172), (226, 196, 136), _beach),
    "forest": ((66, 96, 50), (92, 118, 58), _forest),
    "snow": ((236, 242, 250), (250, 252, 255), _snow),
    "street": ((112, 112, 118), (84, 84, 92), _street),
    "meadow": ((142, 198, 88), (92, 166, 60), _meadow),
    "desert": ((236, 186, 112), (214, 150, 74), _desert),
    "river": ((120, 170, 84), (98, 146, 62), _river),
    "mountains": ((138, 150, 112), (112, 128, 88), _mountains),
    "room": ((176, 128, 84), (150, 102, 62), _room),
}
