"""The data set `scenes`: its table is what the generator makes; its pictures are the same each time."""

import bz2
import json

import pytest
from make_scenes import make_table
from scene_captions.sample import KINDS, PLACES, WEATHERS, sample_scenes

from pecl.data.captions import COLUMNS
from pecl.data.scenes import GENERATOR_VERSION, TABLE, SceneImages, arrange, load_scenes
from pecl.data.scenes.scene import AnimalGroup, Dice, Scene
from pecl.files import sha256_bytes


def test_the_shipped_table_is_what_the_generator_makes():
    """A fault of the generator is a difference; one in both is another table than the one whose captions were read."""
    content, table = bz2.decompress(TABLE.read_bytes()), json.loads(json.dumps(make_table()))
    assert json.loads(content) == table
    captions = load_scenes("de")
    columns = {"english": table["english"], **table["captions"]["de"]}
    assert {name: list(getattr(captions, name)) for name in COLUMNS} == columns
    assert load_scenes("de", 100).english == captions.english[:100]  # a smaller set is a prefix
    # A seed means the same data everywhere: a change of one of these needs a new GENERATOR_VERSION
    assert GENERATOR_VERSION == "1"
    assert sha256_bytes(content).startswith("733d1bfffc6203a3")
    assert captions.images.fingerprint(0).startswith("ead2db449f30833e")


def test_scenes_are_read_as_they_were_sampled():
    scenes, found = sample_scenes(1000, 0), load_scenes("en").images.scenes
    assert found == scenes
    assert [scene.key for scene in found] == [scene.key for scene in scenes]  # `==` leaves it out


def test_subset_and_ids():
    images = load_scenes("en", 1000).images
    part = images.subset([7, 2])
    assert part.ids == ("scene-0-7", "scene-0-2")
    assert (len(part), part.fingerprint(0)) == (2, images.fingerprint(7))
    assert part.load(1).tobytes() == images.load(2).tobytes()
    assert len(set(images.ids)) == len({images.fingerprint(i) for i in range(1000)}) == 1000


@pytest.mark.parametrize("place", PLACES)
def test_every_place_and_weather_can_be_drawn(place):
    kind = next(name for name, spec in KINDS.items() if place in spec.places)
    scenes = [Scene(place, weather, AnimalGroup(kind, 2, "black"), key="t/0") for weather in WEATHERS]
    pictures = [SceneImages((scene,)).load(0).tobytes() for scene in scenes]
    assert len(set(pictures)) == len(WEATHERS)


@pytest.mark.parametrize(
    ("relation", "holds"),
    [
        ("left_of", lambda a, b: a.x < b.x),
        ("above", lambda a, b: a.y < b.y),
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
