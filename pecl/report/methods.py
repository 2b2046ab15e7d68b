"""The method that trained an adapter: a route on few pairs, a route on all pairs, or distillation from text.

Every figure and table takes it from `method_of`, so that no score is credited to another method.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pecl.config.routes import ROUTES
from pecl.results.result import Result

FEW_SHOT, ALL_PAIRS, DISTILLED = KINDS = ("few-shot", "full-data", "distilled")


@dataclass(frozen=True)
class Method:
    """The method that trained an adapter."""

    route: str
    kind: str = FEW_SHOT  # `FEW_SHOT`, `ALL_PAIRS` (of the training part), or `DISTILLED` from text
    shots: int | None = None  # number of pairs of a few-shot training
    text: str | None = None  # sources of the text of a distillation, as the config names them
    photographs: bool = True  # whether photographs were trained on: those of the pairs, or some together with the text
    closed_form: bool = False  # whether a head was solved on the pairs; a distillation may have any solver
    # the score that a distillation kept its weights by: `text`, `validation` or `last`, as the config says
    choose: str = ""

    @property
    def order(self) -> tuple:
        """Sort key: routes as numbered, then kinds, then the rest."""
        unusual = self.photographs == (self.kind == DISTILLED)
        rest = self.shots or 0, self.text or "", self.choose, self.closed_form, unusual
        return list(ROUTES).index(self.route), KINDS.index(self.kind), rest


def method_of(result: Result) -> Method:
    """Return the method of a complete training."""
    config, translations = result.config, result.data.translations
    text = config.text or (None if config.train_on == "pairs" else config.train_on)
    if text is not None:
        photographs = bool(translations and translations.photographs)
        return Method(config.route, DISTILLED, None, text, photographs, choose=config.choose)
    kind = ALL_PAIRS if config.shots is None else FEW_SHOT
    closed_form = "closed-form" in config.solvers
    return Method(config.route, kind, config.shots, None, config.image_weight > 0, closed_form)


def method_labels(methods: Iterable[Method]) -> dict[Method, str]:
    """Return a short name per method, different from the others: `method1`, `method1 (text)`, `method1 (all pairs)`.

    A name states numbers of pairs, numbers in place of the sources of text, and the score that weights were kept by
    only where they differ.
    """
    found = sorted(set(methods), key=lambda method: method.order)
    shots, texts, choices = _differences(found)
    labels = {}
    for one in found:
        distilled = one.text is not None
        parts = {
            _text_name(one.text, texts): distilled,
            "photographs": distilled and one.photographs,
            _CHOICES.get(one.choose, ("",))[0]: distilled and len(choices) > 1,
            "all pairs": one.kind == ALL_PAIRS,
            f"{one.shots or 0:,} pairs": one.shots and len(shots) > 1,
            "captions": not distilled and not one.photographs,
            "closed form": one.closed_form,
        }
        said = ", ".join(part for part, holds in parts.items() if holds)
        labels[one] = f"{one.route} ({said})" if said else one.route
    return labels


def methods_remark(methods: Iterable[Method]) -> str:
    """Return sentences that explain the names of `method_labels`."""
    found = list(methods)
    shots, texts, choices = _differences(found)
    said = {
        f"Pairs: few-shot, {shots[0] if shots else 0:,}.": len(shots) == 1,
        "All pairs: of the training part.": any(one.kind == ALL_PAIRS for one in found),
        **{f"{_text_name(text, texts).capitalize()}: distilled from {text}.": True for text in texts},
        "Captions: without photographs.": any(one.text is None and not one.photographs for one in found),
        "Photographs: those of the few-shot pairs.": any(one.text is not None and one.photographs for one in found),
        **{f"{_CHOICES[one][0].capitalize()}: {_CHOICES[one][1]}.": len(choices) > 1 for one in choices},
    }
    return " ".join(sentence for sentence, holds in said.items() if holds)


# Value of `choose` -> its word in a label, and what it means
_CHOICES = {
    "text": ("held-out", "weights kept by held-out text"),
    "validation": ("validation", "weights kept by validation"),
    "last": ("last", "weights of the last step"),
}


def _differences(methods: Sequence[Method]) -> tuple[list[int], list[str], list[str]]:
    """Return the numbers of pairs of few-shot methods, and the sources and choices of distillations."""
    shots = {one.shots for one in methods if one.shots is not None}
    texts = {one.text for one in methods if one.text is not None}
    return sorted(shots), sorted(texts), sorted({one.choose for one in methods if one.text is not None})


def _text_name(text: str | None, texts: Sequence[str]) -> str:
    return f"text {texts.index(text) + 1}" if text and len(texts) > 1 else "text"


# Name of a look, which is a class of the page's style -> colour and marker of figures. Okabe & Ito's palette (https://jfly.uni-koeln.de/color),
# distinguishable to colour-blind readers; each has its own marker, so that no distinction rests on colour.
LOOKS = {
    "baseline1": ("#56B4E9", "o"),
    "baseline2": ("#E69F00", "s"),
    "method1": ("#0072B2", "^"),
    "method2": ("#009E73", "D"),
    "method3": ("#D55E00", "v"),
    "text": ("#CC79A7", "P"),
    "photographs": ("#000000", "X"),
}


def look_name(method: Method) -> str:
    """Return the key of a method in `LOOKS`: its route, or `text` or `photographs` where it was distilled from text."""
    if method.text is None:
        return method.route
    return "photographs" if method.photographs else "text"
