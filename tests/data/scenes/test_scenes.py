"""The data set `scenes`: its table is the one that its version names; its pictures are the same each time."""

import bz2
import json
from dataclasses import astuple, replace

import pytest

from pecl.data.captions import COLUMNS
from pecl.data.scenes import GENERATOR_VERSION, TABLE, SceneImages, arrange, load_scenes
from pecl.data.scenes.scene import AnimalGroup, Dice, Scene
from pecl.files import sha256_bytes

SCENES = load_scenes("en").images.scenes


def test_the_shipped_table_is_read_as_it_stands_and_a_seed_means_the_same_data_everywhere():
    content = bz2.decompress(TABLE.read_bytes())
    table, captions = json.loads(content), load_scenes("de")
    columns = {"english": table["english"], **table["captions"]["de"]}
    assert {name: list(getattr(captions, name)) for name in COLUMNS} == columns
    assert load_scenes("de", 100).english == captions.english[:100]  # a smaller set is a prefix
    assert [[astuple(s.first), s.key] for s in SCENES] == [[(*r[2],), f"0/{i}"] for i, r in enumerate(table["scenes"])]
    # a change of one of these needs a new GENERATOR_VERSION
    assert GENERATOR_VERSION == "1"
    assert sha256_bytes(content).startswith("733d1bfffc6203a3")
    assert captions.images.fingerprint(0).startswith("ead2db449f30833e")


def test_subset_and_ids():
    images = load_scenes("en", 1000).images
    part = images.subset([7, 2])
    assert part.ids == ("scene-0-7", "scene-0-2")
    assert (len(part), part.fingerprint(0)) == (2, images.fingerprint(7))
    assert part.load(1).tobytes() == images.load(2).tobytes()
    assert len(set(images.ids)) == len({images.fingerprint(i) for i in range(1000)}) == 1000


@pytest.mark.parametrize("place", sorted({scene.place for scene in SCENES}))
def test_every_place_and_weather_can_be_drawn(place):
    scene = next(scene for scene in SCENES if scene.place == place)
    scenes = [replace(scene, weather=weather) for weather in sorted({scene.weather for scene in SCENES})]
    pictures = [SceneImages((scene,)).load(0).tobytes() for scene in scenes]
    assert len(set(pictures)) == len(scenes) == 4


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
