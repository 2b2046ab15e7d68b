"""Drawing a scene with Pillow: a background for the place, the groups upon it, the weather over all.

Everything is drawn at twice the size and reduced, so edges are smooth. Details that no caption tells (places, shades,
textures, mirror images) come from the scene's key, so that scenes of equal content differ as photographs would.
"""

from PIL import Image, ImageChops, ImageDraw

from pecl.data.scenes.backdrop import paint_backdrop, paint_weather
from pecl.data.scenes.layout import Spot, arrange
from pecl.data.scenes.palette import COLOURS, PALETTE, Colour
from pecl.data.scenes.scene import FLYING, Dice, Scene
from pecl.data.scenes.sprites import SPRITES

IMAGE_SIZE = 224  # pixels, width and height
_CANVAS = 2 * IMAGE_SIZE  # drawn at twice the size
_TINTS = {"sunny": (255, 255, 255), "night": (208, 212, 240), "rain": (232, 236, 240), "sunset": (255, 238, 222)}


def draw_scene(scene: Scene) -> Image.Image:
    """Return the scene as an RGB image of 224 x 224 pixels; the same scene and key give the same pixels."""
    dice = Dice(scene.key, "drawing")
    canvas = paint_backdrop(scene.place, scene.weather, _CANVAS, dice)
    for spot in arrange(scene, _CANVAS, dice):
        _place(canvas, spot, _TINTS[scene.weather], dice)
    paint_weather(canvas, scene.weather, dice)
    return canvas.reduce(2)


def _place(canvas: Image.Image, spot: Spot, tint: Colour, dice: Dice) -> None:
    """Draw one thing with its shadow; (spot.x, spot.y) is the middle of its lower edge."""
    sprite = _sprite(spot, tint, dice)
    left, top = round(spot.x - spot.size / 2), round(spot.y - spot.size)
    if spot.group.kind not in FLYING:
        half, flat = spot.size * 0.46, spot.size * 0.07
        shadow = ImageDraw.Draw(canvas, "RGBA")
        shadow.ellipse((spot.x - half, spot.y - flat, spot.x + half, spot.y + flat), fill=(20, 20, 40, 70))
    canvas.paste(sprite, (left, top), sprite)


def _sprite(spot: Spot, tint: Colour, dice: Dice) -> Image.Image:
    """Return one thing as an RGBA image (spot.size squared), lit from above and tinted by the weather."""
    side = max(8, round(spot.size))
    tile = Image.new("RGBA", (side, side), (*PALETTE["ink"], 0))
    draw = ImageDraw.Draw(tile)
    colours = PALETTE | _shades(COLOURS[spot.group.colour], dice)
    for shape, colour, numbers in SPRITES[spot.group.kind]:
        _draw_shape(draw, shape, colours[colour], numbers, side)
    light = Image.linear_gradient("L").point([255 - level // 4 for level in range(256)]).resize((side, side))
    lit = ImageChops.multiply(tile.convert("RGB"), Image.merge("RGB", (light, light, light)))
    lit = ImageChops.multiply(lit, Image.new("RGB", (side, side), tint))
    lit.putalpha(tile.getchannel("A"))
    return lit.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if dice.chance(0.5) else lit


def _shades(colour: Colour, dice: Dice) -> dict[str, Colour]:
    """Return the main colour, slightly varied, with a lighter and a darker shade."""
    grey = dice.pick((0, 255))
    main = mix(colour, (grey, grey, grey), dice.between(0, 0.08))
    return {"main": main, "light": mix(main, (255, 255, 255), 0.38), "dark": mix(main, (0, 0, 0), 0.28)}


def mix(colour: Colour, other: Colour, share: float) -> Colour:
    """Return `colour` with the given share of `other`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(colour, other, strict=True))
    return red, green, blue


def _draw_shape(draw: ImageDraw.ImageDraw, shape: str, colour: Colour, numbers: list[float], side: int) -> None:
    """Draw a shape of `sprites` on a square of `side` pixels."""
    edge = max(1, round(side * 0.012))
    if shape in ("ring", "line"):
        edge, numbers = max(1, round(numbers[0] * side)), numbers[1:]
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
