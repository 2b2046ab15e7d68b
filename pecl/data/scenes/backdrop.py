"""Backgrounds: sky and ground of a place, and the weather."""

import hashlib

from PIL import Image, ImageChops, ImageDraw

from pecl.data.scenes.palette import Colour
from pecl.data.scenes.places import PLACE_PAINTERS
from pecl.data.scenes.scene import Dice

_SKY: dict[str, tuple[Colour, Colour]] = {  # colours at the top and at the horizon
    "sunny": ((72, 152, 236), (206, 232, 250)),
    "night": ((8, 12, 40), (44, 52, 104)),
    "rain": ((96, 106, 122), (164, 172, 180)),
    "sunset": ((92, 64, 140), (255, 158, 84)),
}
_LIGHT: dict[str, Colour] = {  # the ground is multiplied by this
    "sunny": (255, 255, 255),
    "night": (92, 100, 150),
    "rain": (184, 192, 202),
    "sunset": (255, 204, 168),
}
_GROUND: dict[str, tuple[Colour, Colour]] = {  # colours far away and near
    "beach": (((242, 222, 172)), (226, 196, 136)),
    "forest": ((66, 96, 50), (92, 118, 58)),
    "snow": ((236, 242, 250), (250, 252, 255)),
    "street": ((112, 112, 118), (84, 84, 92)),
    "meadow": ((142, 198, 88), (92, 166, 60)),
    "desert": ((236, 186, 112), (214, 150, 74)),
    "river": ((120, 170, 84), (98, 146, 62)),
    "mountains": ((138, 150, 112), (112, 128, 88)),
    "room": ((176, 128, 84), (150, 102, 62)),
}


def paint_backdrop(place: str, weather: str, side: int, dice: Dice) -> Image.Image:
    """Return the empty place in its weather: an RGB image of side x side pixels."""
    horizon = round(side * (0.46 + dice.between(-0.02, 0.03)))
    canvas = _gradient((side, side), *_SKY[weather])
    _paint_sky(canvas, weather, dice)
    land = Image.new("RGB", (side, side), 0)
    land.paste(_gradient((side, side - horizon), *_GROUND[place]), (0, horizon))
    mask = Image.new("L", (side, side), 0)
    ImageDraw.Draw(mask).rectangle((0, horizon, side, side), fill=255)
    PLACE_PAINTERS[place](ImageDraw.Draw(land), ImageDraw.Draw(mask), side, horizon, dice)
    land = ImageChops.multiply(land, _grain(side, dice))
    land = ImageChops.multiply(land, Image.new("RGB", (side, side), _LIGHT[weather]))
    canvas.paste(land, (0, 0), mask)
    return canvas


def paint_weather(canvas: Image.Image, weather: str, dice: Dice) -> None:
    """Draw rain in front of everything."""
    if weather != "rain":
        return
    side = canvas.width
    draw = ImageDraw.Draw(canvas, "RGBA")
    for _ in range(110):
        x, y, length = dice.between(0, side), dice.between(-20, side), dice.between(14, 34)
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
    x, y = dice.between(0.12, 0.88) * side, dice.between(0.1, 0.2) * side
    if weather == "night":
        for _ in range(70):
            u, v, r = dice.between(0, side), dice.between(0, side * 0.5), dice.between(0.6, 2.4)
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


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, colour: Colour, halos: int) -> None:
    for i in range(halos, 0, -1):
        halo = r * (1 + 0.35 * i)
        draw.ellipse((x - halo, y - halo, x + halo, y + halo), fill=(*colour, 26))
    draw.ellipse((x - r, y - r, x + r, y + r), fill=(*colour, 255))


def _cloud(draw: ImageDraw.ImageDraw, side: int, weather: str, dice: Dice) -> None:
    grey = {"sunny": (255, 255, 255, 150), "rain": (78, 86, 100, 120), "sunset": (255, 190, 160, 110)}
    fill = grey.get(weather, (90, 98, 140, 70))
    x, y, w = dice.between(0, side), dice.between(0.02, 0.3) * side, dice.between(0.1, 0.2) * side
    for dx, dy, r in ((-0.5, 0.06, 0.3), (0, 0, 0.42), (0.5, 0.08, 0.28)):
        draw.ellipse((x + (dx - r) * w, y + (dy - r * 0.6) * w, x + (dx + r) * w, y + (dy + r * 0.6) * w), fill=fill)
