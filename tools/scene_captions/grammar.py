"""Render a message as a sentence, with one renderer for all languages and one `Lexicon` of tables per language.

Differences between languages are data: inflected forms (tables, not rules, wherever possible), the
form that a numeral governs per case, the order inside a noun phrase and in the sentence, and sound
laws at word borders (French elision, Russian `со`, English `an`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Forms = Mapping[str, str]
_SLOT = re.compile(r"\{(\w+)\}")


def table(text: str) -> dict[str, dict[str, str]]:
    """Read a table: columns are separated by `|`, the first line names them, `-` is an empty field."""
    rows = [[field.strip() for field in line.split("|")] for line in text.strip().splitlines()]
    names = rows[0][1:]
    for row in rows[1:]:
        if len(row) != len(rows[0]):
            raise ValueError(f"row {row[0]!r} has {len(row) - 1} fields, expected {len(names)} ({', '.join(names)})")

    return {
        row[0]: {name: "" if field == "-" else field for name, field in zip(names, row[1:], strict=True)}
        for row in rows[1:]
    }


def inflect(text: str, paradigms: Mapping[str, Forms]) -> dict[str, dict[str, str]]:
    """Read a table of `word | paradigm | stem`; return each word's forms, the stem with its paradigm's endings."""
    words = table("word | paradigm | stem\n" + text.strip())
    return {
        word: {form: row["stem"] + ending for form, ending in paradigms[row["paradigm"]].items()}
        for word, row in words.items()
    }


def lookup(forms: Forms, *keys: str) -> str:
    """Return the form of the first of `keys` in `forms`, or else the form of the key "" (an invariable word)."""
    for key in keys:
        if key and key in forms:
            return forms[key]
    return forms[""]


def invariable(**words: str) -> dict[str, dict[str, str]]:
    """Return words with one form each."""
    return {word: {"": form} for word, form in words.items()}


def numerals(text: str) -> dict[int, dict[str, str]]:
    """Return the numerals from one, given in order and separated by spaces, with one form each."""
    return {count: {"": form} for count, form in enumerate(text.split(), 1)}


@dataclass(frozen=True)
class Lexicon:
    """One language.

    Attributes:
        nouns: the forms of each kind; columns `gender` and `counter` if the language has them.
            `kite+` is a synonym of `kite`, and `kite!` the wrong sense in a mistaken translation.
        adjectives: the forms of each colour and size, by noun form and gender (`nom.sg.f`), noun
            form, or "".
        numerals: the forms of 1 to 5, by case and gender (`nom.f`), case, or "".
        noun_forms: the form of noun and adjective that a case and a class of numeral govern, e.g.
            `nom.many` is `gen.pl` in Polish; without an entry the form is named like the case.
        few: whether the numerals 2 to 4 form a separate class, as in Slavic languages.
        phrase: order inside a noun phrase, by class of numeral (`one`, `few`, `many`) or ""; `alt`
            is a second order for phrasing B and `literal` a mistaken one.
        verbs: the forms of each verb, by number and gender (`sg.f`), number, or ""; `particle`
            marks the place.
        verb_of: kinds with another verb than in `sample.KINDS`.
        verb_number: number of the verb after a class of numeral.
        relations: a phrase per relation; its slot is named by the governed case, e.g. `neben
            {dat}`.
        places: columns `a` and `b` (two phrasings) and `over` (for flying things) per place;
            `river!` is a wrong sense.
        weather: columns `a` and `b` per weather.
        sentence: templates `A`, `place_first`, `weather_first` and perhaps `literal` (a mistaken
            word order); parts are separated by `|`, and a part with an empty slot is omitted.
        joiner, stop: the strings between the parts and at the end.
        sandhi: (pattern, replacement) pairs applied to the whole sentence, in order.
        capital: letters that Python capitalises incorrectly (Turkish i).
        slip_gender, slip_form, slip_counter: replacements in a mistaken agreement.
        false_friends: English words that a translation from this language may use by mistake, by
            kind, as `singular | plural`.
    """

    code: str
    nouns: Mapping[str, Forms]
    adjectives: Mapping[str, Forms]
    numerals: Mapping[int, Forms]
    phrase: Forms
    verbs: Mapping[str, Forms]
    relations: Forms
    places: Mapping[str, Forms]
    weather: Mapping[str, Forms]
    sentence: Forms
    noun_forms: Forms = field(default_factory=dict)
    few: bool = False
    verb_of: Forms = field(default_factory=dict)
    verb_number: Forms = field(default_factory=lambda: {"one": "sg", "few": "pl", "many": "pl"})
    joiner: str = " "
    stop: str = "."
    sandhi: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = ()
    capital: Forms = field(default_factory=dict)
    slip_gender: Forms = field(default_factory=dict)
    slip_form: Forms = field(default_factory=dict)
    slip_counter: str = ""
    false_friends: Forms = field(default_factory=dict)

    def numeral_class(self, count: int) -> str:
        """Return `one`, `few` or `many`: the classes of numerals that govern different forms."""
        if count == 1:
            return "one"
        return "few" if self.few and count <= 4 else "many"


@dataclass(frozen=True)
class Mention:
    """A group in a sentence; None omits an attribute.

    `foreign` (singular, plural) replaces the noun. `disagrees` requests a mistaken agreement,
    `bare` no numeral and no article.
    """

    noun: str
    count: int
    colour: str | None
    size: str | None = None
    foreign: tuple[str, str] | None = None
    disagrees: bool = False
    bare: bool = False


@dataclass(frozen=True)
class Message:
    """The content of a sentence in any language; `place` and `weather` are (row, column) of the lexicon's tables."""

    structure: str
    subject: Mention
    verb: str
    relation: str | None = None
    other: Mention | None = None
    place: tuple[str, str] | None = None
    weather: tuple[str, str] | None = None


def noun_phrase(lexicon: Lexicon, mention: Mention, case: str = "nom", order: str = "") -> str:
    """Return the mention in the given case, e.g. `zwei roten Autos` for German dative."""
    noun = lexicon.nouns[mention.noun]
    number = lexicon.numeral_class(mention.count)
    form = lexicon.noun_forms.get(f"{case}.{number}", case)
    gender = noun.get("gender", "")
    agreeing = lexicon.slip_gender.get(gender, gender) if mention.disagrees else gender
    if mention.disagrees:
        form = lexicon.slip_form.get(f"{form}.{number}", form)

    def adjective(word: str | None) -> str:
        return lookup(lexicon.adjectives[word], f"{form}.{agreeing}", form) if word else ""

    word = mention.foreign[mention.count > 1] if mention.foreign else noun[form]
    counter = lexicon.slip_counter if mention.disagrees else noun.get("counter", "")
    numeral = "" if mention.bare else lookup(lexicon.numerals[mention.count], f"{case}.{gender}", case)
    pattern = lookup(lexicon.phrase, order, number)
    text = pattern.format(
        numeral=numeral, counter=counter, size=adjective(mention.size), colour=adjective(mention.colour), noun=word
    )

    return _tidy(text)


def render(lexicon: Lexicon, message: Message) -> str:
    """Return the message as a sentence of the lexicon's language, capitalised and with its full stop."""
    template = lookup({**lexicon.sentence, "": lexicon.sentence["A"]}, message.structure)
    slots = _slots(lexicon, message)
    parts = [part for part in template.split("|") if all(slots[name] for name in _SLOT.findall(part))]
    text = _tidy(lexicon.joiner.join(part.format(**slots) for part in parts))
    for pattern, replacement in lexicon.sandhi:
        text = re.sub(pattern, replacement, text)
    return lexicon.capital.get(text[0], text[0].upper()) + text[1:] + lexicon.stop


def _slots(lexicon: Lexicon, message: Message) -> dict[str, str]:
    subject = message.subject
    verb = lexicon.verbs[lexicon.verb_of.get(subject.noun.rstrip("+!"), message.verb)]
    number = lexicon.verb_number[lexicon.numeral_class(subject.count)]
    gender = lexicon.nouns[subject.noun].get("gender", "")
    order = "literal" if message.structure == "literal" else ""

    return {
        "np": noun_phrase(lexicon, subject, order=order),
        "alt": noun_phrase(lexicon, subject, order="alt"),
        "verb": lookup(verb, f"{number}.{gender}", number),
        "there": lookup(lexicon.verbs.get("exist", {"": ""}), f"{number}.{gender}", number),
        "particle": verb.get("particle", ""),
        "rel": _relation(lexicon, message, order),
        "place": lexicon.places[message.place[0]][message.place[1]] if message.place else "",
        "weather": lexicon.weather[message.weather[0]][message.weather[1]] if message.weather else "",
    }


def _relation(lexicon: Lexicon, message: Message, order: str) -> str:
    if message.other is None or message.relation is None:
        return ""
    phrase = lexicon.relations[message.relation]
    case = _SLOT.findall(phrase)[0]
    return phrase.format(**{case: noun_phrase(lexicon, message.other, case, order)})


def _tidy(text: str) -> str:
    return re.sub(r" +", " ", text).strip()
