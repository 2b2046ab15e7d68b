"""The things of a scene as shapes on a unit square (x to the right, y down, standing on y = 1), from `sprites.txt`.

A thing has its name on a line; each line below it is `shape colour numbers`: `oval` and `box` x0 y0 x1 y1; `pie`
x0 y0 x1 y1 from to (degrees, clockwise from three o'clock); `ring` width x0 y0 x1 y1; `line` width x y x y ...; `poly`
x y x y ... Colours are `main`, `light` and `dark` (shades of the thing's own colour) or a name of `palette.PALETTE`.
"""

from pathlib import Path

from pecl.files import read_bytes_limited

# How large a thing is drawn, relative to its room: iconic, not to scale.
SCALES: dict[str, float] = {"house": 1.15, "tree": 1.2, "bus": 1.15, "ball": 0.75, "flower": 0.9, "mushroom": 0.85}

Shape = tuple[str, str, list[float]]  # shape, colour, numbers


def _read() -> dict[str, list[Shape]]:
    found: dict[str, list[Shape]] = {}
    for line in read_bytes_limited(Path(__file__).with_name("sprites.txt")).decode("utf-8").splitlines():
        if not line.startswith(" "):
            shapes = found[line] = []
            continue
        shape, colour, *numbers = line.split()
        shapes.append((shape, colour, [float(number) for number in numbers]))
    return found


SPRITES: dict[str, list[Shape]] = _read()
