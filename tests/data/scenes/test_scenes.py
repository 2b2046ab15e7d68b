"""The data set `scenes`: the table that ships, which is what the generator makes, and how it is read."""

import gzip
import hashlib
import json

import pytest
from make_scenes import make_table
from scene_captions.lexicon import LEXICONS
from scene_captions.sample import sample_scenes

from pecl.data.scenes import GENERATOR_VERSION, TABLE, load_scenes
from pecl.data.scenes.scene import Dice
from pecl.errors import ConfigError, DataError
from pecl.files import sha256_lines

GOLDEN = {  # of the table, and of load_scenes("de", 100); the beginnings of SHA-256
    "table": "733d1bfffc6203a3",
    "captions": ["fd868aebd5fe30a4", "e96d2d882bf81940"],
    "translations": ["30481e2591fe52e5", "5af4dc014d33695b"],
    "fingerprint": "ead2db449f30833e",
}


@pytest.fixture(scope="module")
def sets():
    return {language: load_scenes(language) for language in LEXICONS}


def test_a_smaller_set_is_a_prefix(sets):
    for language in ("en", "ru", "zh"):
        small, large = load_scenes(language, 150), sets[language]
        for column in ("english", "target", "english_to_target", "target_to_english"):
            assert getattr(small, column) == getattr(large, column)[:150]
        assert small.images.scenes == large.images.scenes[:150]
        assert small.images.fingerprint(149) == large.images.fingerprint(149)


def test_every_language_describes_the_same_thousand_images(sets):
    for language, captions in sets.items():
        assert (captions.dataset, captions.language, len(captions)) == ("scenes", language, 1000)
        assert captions.image_index == tuple(range(1000))
        assert (captions.provenance["seed"], captions.provenance["generator_version"]) == (0, GENERATOR_VERSION)
        assert captions.images == sets["en"].images
        assert captions.english == sets["en"].english


def test_the_shipped_table_is_what_the_generator_makes():
    """A fault of the generator is a difference; one in both is another table than the one whose captions were read."""
    content = gzip.decompress(TABLE.read_bytes())
    assert hashlib.sha256(content).hexdigest().startswith(GOLDEN["table"])
    assert json.loads(content) == json.loads(json.dumps(make_table()))


def test_scenes_are_read_as_they_were_sampled(sets):
    scenes = sample_scenes(1000, 0)
    assert sets["en"].images.scenes == scenes
    assert [scene.key for scene in sets["en"].images.scenes] == [scene.key for scene in scenes]  # `==` leaves it out


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


def test_dice_keep_to_weights_and_bounds():
    dice = Dice("test")
    draws = [dice.weighted({"a": 3.0, "b": 1.0}) for _ in range(4000)]
    assert draws.count("a") / 4000 == pytest.approx(0.75, abs=0.03)
    assert all(2 <= dice.between(2, 5) < 5 for _ in range(100))
    assert {dice.pick("xyz") for _ in range(100)} == set("xyz")
    assert [Dice(1, "k").chance(0.5) for _ in range(3)] == [Dice(1, "k").chance(0.5)] * 3
