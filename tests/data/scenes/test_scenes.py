"""The data set `scenes`: its table is what the generator makes; its pictures are the same each time."""

import bz2
import hashlib
import io
import json
from functools import reduce

import pytest
from make_scenes import make_table
from PIL import ImageChops, ImageStat
from scene_captions.sample import KINDS, PLACES, WEATHERS, sample_scenes

from pecl.data.scenes import GENERATOR_VERSION, TABLE, SceneImages, load_scenes
from pecl.data.scenes.draw import COLOURS, IMAGE_SIZE, arrange
from pecl.data.scenes.scene import AnimalGroup, Dice, Scene
from pecl.errors import ConfigError, DataError
from pecl.files import sha256_lines

GOLDEN = {  # of the table, and of load_scenes("de", 100); the beginnings of SHA-256
    "table": "733d1bfffc6203a3",
    "captions": ["fd868aebd5fe30a4", "e96d2d882bf81940"],
    "translations": ["30481e2591fe52e5", "5af4dc014d33695b"],
    "fingerprint": "ead2db449f30833e",
}


def test_a_smaller_set_is_a_prefix():
    small, large = load_scenes("ru", 150), load_scenes("ru")
    assert (large.dataset, large.language, len(large)) == ("scenes", "ru", 1000)
    for column in ("english", "target", "english_to_target", "target_to_english"):
        assert getattr(small, column) == getattr(large, column)[:150]
    assert small.images.scenes == large.images.scenes[:150]


def test_the_shipped_table_is_what_the_generator_makes():
    """A fault of the generator is a difference; one in both is another table than the one whose captions were read."""
    content = bz2.decompress(TABLE.read_bytes())
    assert hashlib.sha256(content).hexdigest().startswith(GOLDEN["table"])
    assert json.loads(content) == json.loads(json.dumps(make_table()))


def test_scenes_are_read_as_they_were_sampled():
    scenes, found = sample_scenes(1000, 0), load_scenes("en").images.scenes
    assert found == scenes
    assert [scene.key for scene in found] == [scene.key for scene in scenes]  # `==` leaves it out


def test_known_captions():
    """Guards the promise that a seed means the same data everywhere; a change needs a new GENERATOR_VERSION."""
    captions = load_scenes("de", 100)
    assert GENERATOR_VERSION == "1"
    assert [sha256_lines(column)[:16] for column in (captions.english, captions.target)] == GOLDEN["captions"]
    assert [sha256_lines(column)[:16] for column in (captions.english_to_target, captions.target_to_english)] == GOLDEN[
        "translations"
    ]
    assert captions.images.fingerprint(0)[:16] == GOLDEN["fingerprint"]


def test_bad_arguments():
    for size in (0, 1001):
        with pytest.raises(DataError, match=f"scenes/de: size: expected a whole number from 1 to 1000, got {size}"):
            load_scenes("de", size)
    with pytest.raises(ConfigError, match="unknown language 'xx'"):
        load_scenes("xx", 10)


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
