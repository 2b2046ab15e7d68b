"""Sentences of the scenes, written out by hand in each language, and properties of all sentences."""

import re
import unicodedata

import pytest
from helpers.scenes_by_hand import BIRD, CARS, DOGS, KITES, PHRASES, SENTENCES
from hypothesis import given, settings
from hypothesis import strategies as st
from scene_captions.describe import describe_all, describe_anew
from scene_captions.grammar import Mention, Message, inflect, noun_phrase, render, table
from scene_captions.lexicon import LEXICONS
from scene_captions.sample import KINDS, PLACES, WEATHERS, sample_scenes
from scene_captions.translate import english_to_target, target_to_english

from pecl.data.scenes.scene import AnimalGroup, Scene

SCRIPTS = {"ru": "CYRILLIC", "jp": ("CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA"), "ko": "HANGUL", "zh": "CJK"}
seeds = st.integers(min_value=0, max_value=10**9)


@pytest.mark.parametrize("language", LEXICONS)
def test_sentences_by_hand(language):
    spoken = [render(LEXICONS[language], describe_all(scene)) for scene in (CARS, DOGS, BIRD, KITES)]
    assert spoken == SENTENCES[language]


@pytest.mark.parametrize("language", LEXICONS)
def test_noun_phrases_by_hand(language):
    for noun, count, colour, size, case, expected in PHRASES[language]:
        assert noun_phrase(LEXICONS[language], Mention(noun, count, colour, size), case) == expected


def _say(language, structure, scene, relation=None, swap=False):
    """Phrasing B with its choices made by hand."""
    groups = (scene.second, scene.first) if swap else (scene.first, scene.second)
    subject, other = (group and Mention(group.kind, group.count, group.colour, group.size) for group in groups)
    place, weather = (scene.place, "b"), (scene.weather, "b")
    verb = KINDS[groups[0].kind].verb
    return render(LEXICONS[language], Message(structure, subject, verb, relation, other, place, weather))


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "On a sunny day, there is a green tree next to two red cars in the snow."),
        ("de", "An einem sonnigen Tag steht ein grüner Baum neben zwei roten Autos im Schnee."),
        ("fr", "Par une journée ensoleillée, il y a un arbre vert à côté de deux voitures rouges dans la neige."),
        ("it", "In una giornata di sole c'è un albero verde accanto a due auto rosse sulla neve."),
        ("ru", "В солнечный день среди снегов стоит зелёное дерево рядом с двумя красными машинами."),
        ("cs", "Za slunečného dne stojí v zimní krajině zelený strom vedle dvou červených aut."),
        ("tr", "Güneşli bir günde, karların üzerinde iki kırmızı arabanın yanında yeşil bir ağaç duruyor."),
        ("jp", "晴れた日に、緑色の木が一本、雪の中の二台の赤い車の隣に立っている。"),
        ("ko", "화창한 날에, 눈밭에 한 그루의 초록색 나무가 빨간 자동차 두 대 옆에 서 있다."),
        ("zh", "晴天，冰天雪地里有一棵绿色的树在两辆红色的汽车旁边长着。"),
    ],
)
def test_weather_first_by_hand(language, expected):
    assert _say(language, "weather_first", CARS, "next_to", swap=True) == expected


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "In the woods there are five black dogs behind three white houses in the moonlight."),
        ("es", "En medio del bosque hay cinco perros negros detrás de tres casas blancas a la luz de la luna."),
        ("pl", "Na leśnej polanie w świetle księżyca siedzi pięć czarnych psów za trzema białymi domami."),
        ("jp", "木立の中の三軒の白い家の後ろに、月明かりの下で黒い犬が五匹座っている。"),
        ("ko", "숲 한가운데의 하얀 집 세 채 뒤에 다섯 마리의 검은 개가 달빛 아래 앉아 있다."),
        ("zh", "月光下的树林中，三栋白色的房子后面坐着五只黑色的狗。"),
    ],
)
def test_place_first_by_hand(language, expected):
    assert _say(language, "place_first", DOGS, "behind") == expected


def test_sound_laws_at_word_borders():
    umbrella = Scene("beach", "sunny", AnimalGroup("umbrella", 1, "orange"))
    assert render(LEXICONS["en"], describe_all(umbrella)) == "An orange umbrella lies on a beach."
    duck = Message("A", Mention("duck", 1, None), "sit", place=("river", "a"))
    assert render(LEXICONS["it"], duck) == "Un'anatra è seduta sulla riva di un fiume."
    chair = Message("A", Mention("dog", 1, None), "sit", "next_to", Mention("chair", 1, None))
    assert render(LEXICONS["ru"], chair) == "Собака сидит рядом со стулом."
    boat = Message("A", Mention("boat", 3, None), "lie", place=("river", "a"))
    assert render(LEXICONS["ko"], boat) == "강둑에 배 세 척이 놓여 있다."


@pytest.mark.parametrize("language", LEXICONS)
def test_lexicon_is_complete(language):
    lexicon = LEXICONS[language]
    assert set(KINDS) <= set(lexicon.nouns)
    assert {colour for kind in KINDS.values() for colour in kind.colours} | {"small", "big"} == set(lexicon.adjectives)
    assert set(lexicon.numerals) == {1, 2, 3, 4, 5}
    assert set(PLACES) <= set(lexicon.places)
    assert set(lexicon.weather) == set(WEATHERS)
    assert set(lexicon.false_friends) <= set(KINDS)
    assert {verb for kind, spec in KINDS.items() for verb in [lexicon.verb_of.get(kind, spec.verb)]} <= set(
        lexicon.verbs
    )


@pytest.mark.parametrize("language", LEXICONS)
@settings(max_examples=60, deadline=None)
@given(seed=seeds)
def test_sentences_are_well_formed(language, seed):
    lexicon = LEXICONS[language]
    for scene in sample_scenes(3, seed):
        for text in (render(lexicon, describe_all(scene)), render(lexicon, describe_anew(scene, lexicon))):
            _check_form(text, language)
            letters = {unicodedata.name(char) for char in text if char.isalpha()}
            assert all(name.startswith(SCRIPTS.get(language, "LATIN")) for name in letters), text
        _check_form(english_to_target(scene, language), language)
        _check_form(target_to_english(scene, language), "en")


def _check_form(text, language):
    assert text == text.strip()
    assert text.endswith("。" if language in ("jp", "zh") else ".")
    assert not re.search(r"  | [,.]|[{}|_()]|,,|、、|，，|None", text), text
    assert len(text) > 5
    if language in ("jp", "zh"):
        assert " " not in text
    elif language != "ko":
        assert text[0] == text[0].upper()


@given(seed=seeds)
@settings(max_examples=60, deadline=None)
def test_english_captions_have_6_to_20_words(seed):
    for scene in sample_scenes(5, seed):
        for message in (describe_all(scene), describe_anew(scene, LEXICONS["en"])):
            assert 6 <= len(render(LEXICONS["en"], message).split()) <= 20


def test_phrasings_differ_in_what_comes_first():
    scenes = sample_scenes(200, 3)
    for language in LEXICONS:
        lexicon = LEXICONS[language]
        same_start = sum(
            render(lexicon, describe_all(scene))[:6] == render(lexicon, describe_anew(scene, lexicon))[:6]
            for scene in scenes
        )
        assert same_start < 20, language


def test_table_reports_a_row_of_wrong_length():
    with pytest.raises(ValueError, match="row 'dog' has 1 fields, expected 2"):
        table("noun | sg | pl\ndog | dog")


def test_inflect_joins_stem_and_ending():
    assert inflect("red | x | rot", {"x": {"f": "e", "m": "er"}}) == {"red": {"f": "rote", "m": "roter"}}
