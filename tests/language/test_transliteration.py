"""Maps of letters: their rule, and a tower that reads through them."""

from helpers.tiny import tiny_tower

from pecl.adapters.merge import second_tower
from pecl.language.transliteration import FOLDER, Transliteration, shipped_transliteration


def test_the_longest_context_decides_and_what_is_unknown_stays():
    """A window is a word's letters around one that stands between dots, with ^ at its edges."""
    rule = Transliteration("xx", {".A.": "m", ".B.": "t", ".F.": "u", ".F.^": "o", ".C.": "ng", ".E.": ""})
    assert rule("ABF FBAC، E؟") == "mto utmng, ?"
    assert rule("1 Z") == "1 Z"


def test_shipped_maps_are_of_scripts_and_a_tower_reads_through_them(monkeypatch):
    assert {path.stem for path in FOLDER.glob("*.json")} == {"ace_arab", "bjn_arab"}
    assert shipped_transliteration("de") is None
    banjar = shipped_transliteration("bjn_arab")
    assert banjar.language == "bjn"
    assert banjar("بنجر").isascii()
    tower, text = tiny_tower(), "بنجر"
    plain = tower.tokenize([text], ["bjn_arab"])
    monkeypatch.setattr(tower, "transliterates", True)
    assert tower.tokenize([text, text], ["bjn_arab", "de"]) == [*tower.tokenize([banjar(text)]), *plain]
    assert tower.tokenize(text, "bjn_arab") == tower.tokenize([banjar(text)])
    assert second_tower(tower).tokenize([text], ["bjn_arab"]) == tower.tokenize([banjar(text)])
