"""The grammar that Czech, Polish and Russian share: numerals, word order and cases."""

from typing import Any

from scene_captions.grammar import Forms, Lexicon

# Form of a noun by the phrase's case and the class of its numeral: 2-4 are `few`; 5, `many`, governs the genitive.
_NOUN_FORMS = {
    "nom.one": "nom.sg",
    "nom.few": "nom.pl",
    "nom.many": "gen.pl",
    "gen.one": "gen.sg",
    "gen.few": "gen.pl",
    "gen.many": "gen.pl",
    "ins.one": "ins.sg",
    "ins.few": "ins.pl",
    "ins.many": "ins.pl",
}
_SENTENCE = {
    "A": "{np}|{verb}|{rel}|{place}|{weather}",
    "place_first": "{place}|{weather}|{verb}|{np}|{rel}",
    "weather_first": "{weather}|{place}|{verb}|{np}|{rel}",
}
_SLIP_GENDER = {"m": "f", "f": "n", "n": "m"}
_SLIP_FORM = {"gen.pl.many": "nom.pl", "gen.sg.one": "nom.sg", "ins.sg.one": "nom.sg"}


def slavic(
    *,
    slip_form: Forms,
    noun_forms: Forms | None = None,
    sentence: Forms | None = None,
    slip_gender: Forms | None = None,
    **words: Any,
) -> Lexicon:
    """Return the lexicon of a Slavic language: its words, and the differences of its grammar from the common one."""
    return Lexicon(
        noun_forms=_NOUN_FORMS | dict(noun_forms or {}),
        few=True,
        phrase={"": "{numeral} {size} {colour} {noun}", "literal": "{numeral} {size} {noun} {colour}"},
        sentence=_SENTENCE | dict(sentence or {}),
        slip_gender=_SLIP_GENDER | dict(slip_gender or {}),
        slip_form=_SLIP_FORM | dict(slip_form),
        **words,
    )
