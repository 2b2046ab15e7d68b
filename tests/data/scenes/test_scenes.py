"""The data set `scenes`: determinism, prefixes, and the rates of the simulated translation."""

import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_scenes import english_captions, make_table
from scene_captions.describe import describe_all, describe_anew
from scene_captions.grammar import Mention, Message, render
from scene_captions.lexicon import LEXICONS
from scene_captions.sample import KINDS, PLACES, WEATHERS, sample_scenes
from scene_captions.translate import MISTAKE_RATE, english_to_target, target_to_english

from pecl.data.scenes import GENERATOR_VERSION, TABLE, load_scenes
from pecl.data.scenes.scene import FLYING, Dice
from pecl.errors import ConfigError, DataError
from pecl.files import sha256_lines

GOLDEN = {  # of load_scenes("de", 100); the beginnings of SHA-256
    "captions": ["fd868aebd5fe30a4", "e96d2d882bf81940"],
    "translations": ["30481e2591fe52e5", "5af4dc014d33695b"],
    "fingerprint": "ead2db449f30833e",
}

OTHERS = [language for language in LEXICONS if language != "en"]


@pytest.fixture(scope="module")
def sets():
    return {language: load_scenes(language) for language in LEXICONS}


def test_shape_and_provenance(sets):
    for language, captions in sets.items():
        assert (captions.dataset, captions.language, len(captions)) == ("scenes", language, 1000)
        assert len(captions.images) == 1000
        assert captions.image_index == tuple(range(1000))
        assert captions.provenance["seed"] == 0
        assert captions.provenance["generator_version"] == GENERATOR_VERSION


def test_a_smaller_set_is_a_prefix(sets):
    for language in ("en", "ru", "zh"):
        small, large = load_scenes(language, 150), sets[language]
        for column in ("english", "target", "english_to_target", "target_to_english"):
            assert getattr(small, column) == getattr(large, column)[:150]
        assert small.images.scenes == large.images.scenes[:150]
        assert small.images.fingerprint(149) == large.images.fingerprint(149)


def test_every_language_describes_the_same_images(sets):
    for captions in sets.values():
        assert captions.images == sets["en"].images
        assert captions.english == sets["en"].english


def test_no_english_caption_twice_and_few_in_the_targets(sets):
    assert len(set(sets["en"].english)) == 1000
    for captions in sets.values():
        assert len(set(captions.target)) >= 980


def test_near_duplicates_are_plentiful():
    scenes = sample_scenes(1000, 0)

    def details(scene):
        return (scene.place, scene.weather, scene.first, scene.second, scene.relation)

    def closest(i):
        return min(sum(a != b for a, b in zip(details(scenes[i]), details(other), strict=True)) for other in scenes[:i])

    assert sum(closest(i) == 1 for i in range(500, 700)) > 90


def test_seeds_give_other_scenes(sets):
    other = english_captions(sample_scenes(1000, 1))
    assert len(set(other) & set(sets["en"].english)) < 50


def test_the_shipped_table_is_what_the_generator_makes():
    table = json.loads(gzip.decompress(TABLE.read_bytes()))
    assert table == json.loads(json.dumps(make_table()))
    assert len(table["scenes"]) == 1000


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


@given(seed=st.integers(min_value=0, max_value=10**9))
@settings(max_examples=40, deadline=None)
def test_scenes_are_possible(seed):
    for scene in sample_scenes(12, seed):
        assert scene.place in PLACES
        assert scene.weather in WEATHERS
        assert scene.place != "room" or scene.weather in ("sunny", "night")
        assert (scene.second is None) == (scene.relation is None)
        for group in filter(None, (scene.first, scene.second)):
            assert 1 <= group.count <= 5
            assert group.colour in KINDS[group.kind].colours
            assert scene.place in KINDS[group.kind].places
        if scene.second:
            assert scene.first.kind != scene.second.kind
            flying = (scene.first.kind in FLYING, scene.second.kind in FLYING)
            assert (scene.relation == "above") == (flying == (True, False))
            assert (scene.relation == "below") == (flying == (False, True))


def test_dice_keep_to_weights_and_bounds():
    dice = Dice("test")
    draws = [dice.weighted({"a": 3.0, "b": 1.0}) for _ in range(4000)]
    assert draws.count("a") / 4000 == pytest.approx(0.75, abs=0.03)
    assert all(2 <= dice.between(2, 5) < 5 for _ in range(100))
    assert {dice.pick("xyz") for _ in range(100)} == set("xyz")
    assert [Dice(1, "k").chance(0.5) for _ in range(3)] == [Dice(1, "k").chance(0.5)] * 3


def test_mistake_rates(sets):
    for language in OTHERS:
        captions, lexicon = sets[language], LEXICONS[language]
        scenes = captions.images.scenes
        wrong = sum(
            text != render(lexicon, describe_all(scene))
            for text, scene in zip(captions.english_to_target, scenes, strict=True)
        )
        assert MISTAKE_RATE - 0.05 <= wrong / 1000 <= MISTAKE_RATE + 0.05, language
        back = sum(
            text != render(LEXICONS["en"], _plain(describe_anew(scene, lexicon)))
            for text, scene in zip(captions.target_to_english, scenes, strict=True)
        )
        assert MISTAKE_RATE - 0.05 <= back / 1000 <= MISTAKE_RATE + 0.05, language


def _plain(message):
    """The message without synonyms, which only the source language has."""

    def first_name(mention):
        return mention and Mention(mention.noun.rstrip("+"), mention.count, mention.colour, mention.size)

    subject, other = first_name(message.subject), first_name(message.other)
    return Message(message.structure, subject, message.verb, message.relation, other, message.place, message.weather)


def test_translations_of_no_two_languages_are_alike(sets):
    for column in ("english_to_target", "target_to_english"):
        for i, one in enumerate(OTHERS):
            for two in OTHERS[i + 1 :]:
                same = sum(a == b for a, b in zip(getattr(sets[one], column), getattr(sets[two], column), strict=True))
                assert same < 500, (column, one, two)


def test_english_needs_no_translation(sets):
    assert sets["en"].english_to_target == sets["en"].english
    assert sets["en"].target_to_english == sets["en"].target


@pytest.fixture(scope="module")
def many():
    return sample_scenes(3000, 2)


@pytest.mark.parametrize("language", OTHERS)
def test_mistakes_have_the_promised_kinds(many, language):
    kite = LEXICONS[language].nouns["kite!"]
    wrong_sense = next(iter(form for name, form in kite.items() if name not in ("gender", "counter")))
    friend = next(iter(LEXICONS[language].false_friends.values())).split(" | ")[0]
    left_in_english, no_article, wrong_synonym = "balloons", "there is red", "moth"
    wanted = {
        english_to_target: {wrong_sense.lower(), left_in_english},
        target_to_english: {friend.lower(), no_article, wrong_synonym},
    }
    for scene in many:
        for translate, words in wanted.items():
            text = translate(scene, language).lower() if words else ""
            words -= {word for word in words if word in text}
    assert not any(wanted.values())


def test_mistaken_agreement_by_hand():
    cars = Mention("car", 2, "red", disagrees=True)
    trees = Message("A", cars, "park", place=("beach", "a"))
    assert render(LEXICONS["fr"], trees) == "Deux voitures rouges sont garées sur une plage."  # rouge has one form
    white = Message("A", Mention("car", 2, "white", disagrees=True), "park", place=("beach", "a"))
    assert render(LEXICONS["fr"], white) == "Deux voitures blancs sont garées sur une plage."
    assert render(LEXICONS["tr"], white) == "İki beyaz arabalar bir plajda park hâlinde duruyor."
    assert render(LEXICONS["zh"], white) == "两个白色的汽车在沙滩上停着。"
