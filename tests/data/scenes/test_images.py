"""The pictures of the scenes: determinism, layout, colours."""

import io
from functools import reduce

import pytest
from PIL import ImageChops, ImageStat
from scene_captions.sample import KINDS, PLACES, WEATHERS

from pecl.data.scenes import IMAGE_SIZE, SceneImages, load_scenes
from pecl.data.scenes.layout import arrange
from pecl.data.scenes.palette import COLOURS, PALETTE
from pecl.data.scenes.scene import AnimalGroup, Dice, Scene
from pecl.data.scenes.sprites import SPRITES


def test_load_is_deterministic_and_rgb():
    images = load_scenes("en", 1000).images
    first, again = images.load(5), load_scenes("de", 10).images.load(5)
    assert (first.mode, first.size) == ("RGB", (IMAGE_SIZE, IMAGE_SIZE))
    assert first.tobytes() == again.tobytes()


def test_equal_content_in_two_sets_gives_two_images():
    group = AnimalGroup("car", 1, "red")
    one, two = (Scene("beach", "sunny", group, key=key) for key in ("0/1", "1/1"))
    images = SceneImages((one, two))
    assert one == two
    assert images.load(0).tobytes() != images.load(1).tobytes()
    assert images.fingerprint(0) != images.fingerprint(1)


def test_subset_and_ids():
    images = load_scenes("en", 1000).images
    part = images.subset([7, 2])
    assert part.ids == ("scene-0-7", "scene-0-2")
    assert (len(part), part.fingerprint(0)) == (2, images.fingerprint(7))
    assert part.load(1).tobytes() == images.load(2).tobytes()
    assert len(set(images.ids)) == len({images.fingerprint(i) for i in range(1000)}) == 1000


def test_selected_captions_keep_their_images():
    captions = load_scenes("fr", 40)
    chosen = captions.select([30, 10])
    assert chosen.images.ids == ("scene-0-30", "scene-0-10")
    assert chosen.target == (captions.target[30], captions.target[10])


@pytest.mark.parametrize("place", PLACES)
def test_every_place_and_weather_can_be_drawn(place):
    for weather in WEATHERS:
        kind = next(name for name, spec in KINDS.items() if place in spec.places)
        image = SceneImages((Scene(place, weather, AnimalGroup(kind, 2, "black"), key="t/0"),)).load(0)
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        assert len(buffer.getvalue()) > 5000  # a picture, no even area


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_shows_its_colour(kind):
    """Pixels near the named colour are far more in the picture with it than in one of another colour."""
    place = KINDS[kind].places[0]
    first, other = KINDS[kind].colours[0], KINDS[kind].colours[-1]
    images = [
        SceneImages((Scene(place, "sunny", AnimalGroup(kind, 1, colour), key="t/1"),)).load(0)
        for colour in (first, other)
    ]
    near = [_share_near(image, COLOURS[first]) for image in images]
    assert near[0] > near[1] + 0.01


def _share_near(image, colour):
    bands = [
        band.point(lambda level, c=c: 255 if abs(level - c) < 48 else 0)
        for band, c in zip(image.split(), colour, strict=True)
    ]
    mask = reduce(ImageChops.darker, bands)
    return ImageStat.Stat(mask).mean[0] / 255


def test_sprites_name_known_shapes_and_colours():
    assert set(SPRITES) == set(KINDS)
    known = {*PALETTE, "main", "light", "dark"}
    for shapes in SPRITES.values():
        for shape, colour, numbers in shapes:
            assert shape in ("oval", "box", "pie", "ring", "line", "poly")
            assert colour in known
            assert all(number >= 0 for number in numbers)


@pytest.mark.parametrize(
    ("relation", "holds"),
    [
        ("left_of", lambda a, b: a.x < b.x),
        ("right_of", lambda a, b: a.x > b.x),
        ("above", lambda a, b: a.y < b.y),
        ("below", lambda a, b: a.y > b.y),
        ("in_front_of", lambda a, b: a.y > b.y),
        ("behind", lambda a, b: a.y < b.y),
    ],
)
def test_layout_shows_the_relation(relation, holds):
    for index in range(20):
        first, second = AnimalGroup("car", 3, "red"), AnimalGroup("dog", 2, "black")
        scene = Scene("beach", "sunny", first, second, relation, key=f"t/{index}")
        spots = arrange(scene, 448, Dice(scene.key))
        first = [spot for spot in spots if spot.group is scene.first]
        second = [spot for spot in spots if spot.group is scene.second]
        assert (len(first), len(second)) == (3, 2)
        assert all(holds(a, b) for a in first for b in second)
        assert all(0 < spot.x < 448 and 0 < spot.y <= 448 for spot in spots)
