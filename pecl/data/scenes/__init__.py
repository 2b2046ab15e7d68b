"""`scenes`, the data set that needs no download: 1,000 drawn pictures with captions in twelve languages.

Each picture shows one or two groups of things, with their numbers and colours, a place and its
weather, and the relation of the groups. It has two independent phrasings in every language and a
machine translation both ways with plausible mistakes, so every route of the library can be trained
and tested on it. `scenes.json.bz2` holds scenes and captions, which a
sampler and a grammar wrote with seed 0; pictures are drawn on demand.

Pillow draws a scene: a background for the place, the groups upon it, the weather over all.
Everything is drawn at twice the size and reduced, so edges are smooth. Details that no caption
mentions (places, shades, textures, mirror images) come from the scene's key, so that scenes of
equal content differ as photographs would.
"""

import bz2
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops, ImageDraw

from pecl.data.captions import ParallelCaptions
from pecl.data.scenes.scene import FLYING, AnimalGroup, Colour, Dice, Scene, paint_backdrop, paint_weather
from pecl.errors import DataError
from pecl.files import parse_json, read_regular, sha256_json
from pecl.files.images import some_of
from pecl.language.languages import language_code, language_name

# increased with every change of pictures or captions: cached embeddings depend on it
GENERATOR_VERSION = "1"
TABLE = Path(__file__).with_name("scenes.json.bz2")
IMAGE_SIZE = 224  # pixels, width and height
_CANVAS = 2 * IMAGE_SIZE  # drawn at twice the size
_TINTS = {"sunny": (255, 255, 255), "night": (208, 212, 240), "rain": (232, 236, 240), "sunset": (255, 238, 222)}

# Fixed colours of parts: tyres, windows, stems.
PALETTE: dict[str, Colour] = {
    "ink": (38, 34, 44),
    "paper": (250, 248, 242),
    "glass": (188, 222, 240),
    "wood": (122, 84, 52),
    "leaf": (66, 140, 62),
    "steel": (150, 156, 166),
    "rose": (236, 140, 150),
    "beak": (244, 150, 40),
    "amber": (240, 200, 70),
    "roof": (120, 62, 54),
    "cream": (244, 232, 208),
}

# The colours that captions mention.
COLOURS: dict[str, Colour] = {
    "red": (222, 38, 44),
    "blue": (36, 92, 222),
    "green": (40, 158, 66),
    "yellow": (250, 214, 40),
    "white": (248, 248, 250),
    "black": (44, 42, 48),
    "orange": (250, 136, 24),
    "purple": (136, 58, 190),
    "brown": (134, 82, 44),
    "pink": (250, 130, 184),
}

# Regions (left, top, right, bottom) in shares of the image.
_ALONE = (0.06, 0.36, 0.94, 0.96)
_ALONE_IN_AIR = (0.06, 0.04, 0.94, 0.66)
_SIDES = ((0.02, 0.42, 0.49, 0.95), (0.51, 0.42, 0.98, 0.95))
_SIDES_IN_AIR = ((0.02, 0.05, 0.49, 0.6), (0.51, 0.05, 0.98, 0.6))
_FRONT, _BACK = (0.08, 0.6, 0.92, 0.99), (0.08, 0.26, 0.92, 0.62)
_ABOVE, _BELOW = (0.06, 0.02, 0.94, 0.44), (0.06, 0.5, 0.94, 0.97)
_FILL = {"small": 0.5, None: 0.92, "big": 1.2}  # share of its cell that a thing fills
_LARGEST = 0.56  # share of the image
# The size of a thing relative to its cell: iconic, not to scale.
_SCALES: dict[str, float] = {"house": 1.15, "tree": 1.2, "bus": 1.15, "ball": 0.75, "flower": 0.9, "mushroom": 0.85}

Shape = tuple[str, str, list[float]]  # shape, colour, numbers


@dataclass(frozen=True)
class SceneImages:
    """Pictures drawn on demand, 224 x 224 pixels, RGB; `ids` are like `scene-0-12` (seed 0, index 12)."""

    scenes: tuple[Scene, ...]

    def __repr__(self) -> str:
        return f"SceneImages({some_of(self.ids, len(self))})"

    @property
    def ids(self) -> tuple[str, ...]:
        """Names of the scenes."""
        return tuple("scene-" + scene.key.replace("/", "-") for scene in self.scenes)

    def __len__(self) -> int:
        return len(self.scenes)

    def load(self, index: int, expected: str | None = None) -> Image.Image:
        """Return picture `index`: the same pixels each time, so `expected` is not compared."""
        return draw_scene(self.scenes[index])

    def fingerprint(self, index: int) -> str:
        """Return a hash of the scene's description and the generator's version, without drawing it."""
        return sha256_json([GENERATOR_VERSION, asdict(self.scenes[index])])

    def subset(self, indices: Sequence[int]) -> "SceneImages":
        """Return the pictures at `indices`, in that order."""
        return SceneImages(tuple(self.scenes[i] for i in indices))


def scene_languages() -> tuple[str, ...]:
    """Return the codes of the languages that the scenes have captions in."""
    return tuple(_table()["captions"])


def load_scenes(language: str, size: int | None = None) -> ParallelCaptions:
    """Load the first `size` scenes, or all, with English captions (phrasing A) and the language's own (phrasing B).

    Every language describes the same pictures. For `en` the target is English phrasing B, and the
    translations are the captions themselves.
    """
    language = language_code(language)
    table = _table()
    if language not in table["captions"]:
        languages = ", ".join(table["captions"])
        raise DataError(f"scenes has no captions in {language_name(language)}: expected one of {languages}")

    columns = {"english": table["english"], **table["captions"][language]}
    return ParallelCaptions(
        "scenes",
        language,
        **{name: tuple(column[:size]) for name, column in columns.items()},
        images=SceneImages(table["scenes"][:size]),
        provenance={
            "source": "drawn by pecl",
            "generator_version": GENERATOR_VERSION,
            "seed": table["seed"],
            "size": len(table["scenes"][:size]),
            "translation": "simulated",
            "translation_mistake_rate": table["mistake_rate"],
        },
    )


@cache
def _table() -> dict[str, Any]:
    """Read the table; its scenes become `Scene`s."""
    table = parse_json(bz2.decompress(read_regular(TABLE)))
    scenes = []
    for index, (setting, weather, first, second, relation) in enumerate(table["scenes"]):
        groups = AnimalGroup(*first), None if second is None else AnimalGroup(*second)
        scenes.append(Scene(setting, weather, *groups, relation, f"{table['seed']}/{index}"))
    return {**table, "scenes": tuple(scenes)}


def draw_scene(scene: Scene) -> Image.Image:
    """Return the scene as an RGB image of 224 x 224 pixels; the same scene and key give the same pixels."""
    dice = Dice(scene.key, "drawing")
    canvas = paint_backdrop(scene.place, scene.weather, _CANVAS, dice)
    for spot in arrange(scene, _CANVAS, dice):
        sprite = _sprite(spot, _TINTS[scene.weather], dice)
        if spot.group.kind not in FLYING:  # its shadow
            half = spot.size * 0.46
            flat = spot.size * 0.07
            box = (spot.x - half, spot.y - flat, spot.x + half, spot.y + flat)
            ImageDraw.Draw(canvas, "RGBA").ellipse(box, fill=(20, 20, 40, 70))
        canvas.paste(sprite, (round(spot.x - spot.size / 2), round(spot.y - spot.size)), sprite)

    paint_weather(canvas, scene.weather, dice)
    return canvas.reduce(2)


@dataclass(frozen=True)
class Spot:
    """One thing of a group: (x, y) is the middle of its lower edge, `size` its width and height, in pixels."""

    group: AnimalGroup
    x: float
    y: float
    size: float


def arrange(scene: Scene, canvas: int, dice: Dice) -> list[Spot]:
    """Return every thing of the scene on a canvas of `canvas` x `canvas` pixels, from the back to the front."""
    regions = _regions(scene, dice)
    groups = [group for group in (scene.first, scene.second) if group]
    spots = [spot for group, region in zip(groups, regions, strict=True) for spot in _grid(group, region, canvas, dice)]
    return sorted(spots, key=lambda spot: spot.y)


def _regions(scene: Scene, dice: Dice) -> list[tuple[float, float, float, float]]:
    in_air = scene.first.kind in FLYING
    if scene.second is None:
        return [_ALONE_IN_AIR if in_air else _ALONE]

    if scene.relation in ("above", "in_front_of", "below", "behind"):
        upper = scene.relation in ("above", "behind")
        pair = (_ABOVE, _BELOW) if scene.relation in ("above", "below") else (_BACK, _FRONT)
        return list(pair if upper else reversed(pair))

    sides = _SIDES_IN_AIR if in_air else _SIDES
    first_left = dice.chance(0.5) if scene.relation == "next_to" else scene.relation == "left_of"
    return list(sides if first_left else reversed(sides))


def _grid(
    group: AnimalGroup,
    region: tuple[float, float, float, float],
    canvas: int,
    dice: Dice,
) -> list[Spot]:
    left, top, right, bottom = (share * canvas for share in region)
    width = right - left
    height = bottom - top
    columns = max(range(1, group.count + 1), key=lambda n: min(width / n, height / ceil(group.count / n)))
    rows = ceil(group.count / columns)
    cell = min(width / columns, height / rows)
    size = min(cell, _LARGEST * canvas) * _FILL[group.size] * _SCALES.get(group.kind, 1.0)

    spots = []
    for i in range(group.count):
        row, column = divmod(i, columns)
        in_row = min(columns, group.count - row * columns)
        x = left + width * (column + 0.5) / in_row + dice.between(-0.06, 0.06) * cell
        slack = max(0.0, height / rows - size)
        y = top + height * (row + 1) / rows - dice.between(0, 0.5) * min(slack, cell)
        spots.append(Spot(group, x, y, size * dice.between(0.92, 1.06)))

    return spots


def _sprite(spot: Spot, tint: Colour, dice: Dice) -> Image.Image:
    """Return one thing as an RGBA image (spot.size squared), lit from above and tinted by the weather."""
    side = max(8, round(spot.size))
    tile = Image.new("RGBA", (side, side), (*PALETTE["ink"], 0))
    draw = ImageDraw.Draw(tile)
    grey = dice.pick((0, 255))
    main = mix(COLOURS[spot.group.colour], (grey, grey, grey), dice.between(0, 0.08))
    colours = PALETTE | {"main": main, "light": mix(main, (255, 255, 255), 0.38), "dark": mix(main, (0, 0, 0), 0.28)}
    for shape, colour, numbers in _SPRITES[spot.group.kind]:
        _draw_shape(draw, shape, colours[colour], numbers, side)

    light = Image.linear_gradient("L").point([255 - level // 4 for level in range(256)]).resize((side, side))
    lit = ImageChops.multiply(tile.convert("RGB"), Image.merge("RGB", (light, light, light)))
    lit = ImageChops.multiply(lit, Image.new("RGB", (side, side), tint))
    lit.putalpha(tile.getchannel("A"))
    return lit.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if dice.chance(0.5) else lit


def mix(colour: Colour, other: Colour, share: float) -> Colour:
    """Return `colour` with the given share of `other`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(colour, other, strict=True))
    return red, green, blue


def _read_sprites() -> dict[str, list[Shape]]:
    """Return the shapes of each thing on a unit square (x to the right, y down, standing on y = 1).

    In `sprites.txt`, a line has the name of a thing; each line below it is `shape colour numbers`:
    `oval` and `box` x0 y0 x1 y1; `pie` x0 y0 x1 y1 from to (degrees, clockwise from three o'clock);
    `ring` width x0 y0 x1 y1; `line` width x y x y ...; `poly` x y x y ... Colours are `main`,
    `light` and `dark` (shades of the thing's own colour) or a name of `PALETTE`.
    """
    sprites: dict[str, list[Shape]] = {}
    for line in read_regular(Path(__file__).with_name("sprites.txt")).decode("utf-8").splitlines():
        if not line.startswith(" "):
            shapes = sprites[line] = []
            continue
        shape, colour, *numbers = line.split()
        shapes.append((shape, colour, [float(number) for number in numbers]))

    return sprites


_SPRITES = _read_sprites()


def _draw_shape(
    draw: ImageDraw.ImageDraw,
    shape: str,
    colour: Colour,
    numbers: list[float],
    side: int,
) -> None:
    """Draw a shape of `_read_sprites` on a square of `side` pixels."""
    edge = max(1, round(side * 0.012))
    if shape in ("ring", "line"):
        edge = max(1, round(numbers[0] * side))
        numbers = numbers[1:]

    angles = numbers[4:] if shape == "pie" else []
    points = [number * (side - 1) for number in numbers[: len(numbers) - len(angles)]]
    outline = mix(colour, PALETTE["ink"], 0.55)

    if shape == "oval":
        draw.ellipse(points, fill=colour, outline=outline, width=edge)
    elif shape == "box":
        draw.rounded_rectangle(points, side * 0.03, fill=colour, outline=outline, width=edge)
    elif shape == "pie":
        draw.pieslice(points, *angles, fill=colour, outline=outline, width=edge)
    elif shape == "ring":
        draw.ellipse(points, outline=colour, width=edge)
    elif shape == "line":
        draw.line(points, fill=colour, width=edge, joint="curve")
    else:
        draw.polygon(points, fill=colour)
        draw.line([*points, *points[:4]], fill=outline, width=edge, joint="curve")
