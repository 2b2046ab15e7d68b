"""The layout of a scene: a region for each group by their relation, a grid within it, a little disorder."""

from dataclasses import dataclass
from math import ceil

from pecl.data.scenes.scene import FLYING, AnimalGroup, Dice, Scene
from pecl.data.scenes.sprites import SCALES

# Regions (left, top, right, bottom) in shares of the image.
_ALONE = (0.06, 0.36, 0.94, 0.96)
_ALONE_IN_AIR = (0.06, 0.04, 0.94, 0.66)
_SIDES = ((0.02, 0.42, 0.49, 0.95), (0.51, 0.42, 0.98, 0.95))
_SIDES_IN_AIR = ((0.02, 0.05, 0.49, 0.6), (0.51, 0.05, 0.98, 0.6))
_FRONT, _BACK = (0.08, 0.6, 0.92, 0.99), (0.08, 0.26, 0.92, 0.62)
_ABOVE, _BELOW = (0.06, 0.02, 0.94, 0.44), (0.06, 0.5, 0.94, 0.97)
_FILL = {"small": 0.5, None: 0.92, "big": 1.2}  # share of its cell that a thing fills
_LARGEST = 0.56  # share of the image


@dataclass(frozen=True)
class Spot:
    """One thing of a group: (x, y) is the middle of its lower edge, `size` its width and height, in pixels."""

    group: AnimalGroup
    x: float
    y: float
    size: float


def arrange(scene: Scene, canvas: int, dice: Dice) -> list[Spot]:
    """Return every thing of the scene on a canvas of that many pixels a side, from the back to the front."""
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


def _grid(group: AnimalGroup, region: tuple[float, float, float, float], canvas: int, dice: Dice) -> list[Spot]:
    left, top, right, bottom = (share * canvas for share in region)
    width, height = right - left, bottom - top
    columns = max(range(1, group.count + 1), key=lambda n: min(width / n, height / ceil(group.count / n)))
    rows = ceil(group.count / columns)
    cell = min(width / columns, height / rows)
    size = min(cell, _LARGEST * canvas) * _FILL[group.size] * SCALES.get(group.kind, 1.0)
    spots = []
    for i in range(group.count):
        row, column = divmod(i, columns)
        in_row = min(columns, group.count - row * columns)
        x = left + width * (column + 0.5) / in_row + dice.between(-0.06, 0.06) * cell
        slack = max(0.0, height / rows - size)
        y = top + height * (row + 1) / rows - dice.between(0, 0.5) * min(slack, cell)
        spots.append(Spot(group, x, y, size * dice.between(0.92, 1.06)))
    return spots
