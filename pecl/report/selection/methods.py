"""The method of a training, and its name in tables and figures.

A method is a route on few pairs, a route on all pairs, or distillation from text. Every figure and table takes it from
`method_of`, so that no score is credited to another method.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from pecl.config.routes import ROUTES
from pecl.results.result import TrainingResult

FEW_SHOT = "few-shot"
ALL_PAIRS = "full-data"
DISTILLED = "distilled"
KINDS = (FEW_SHOT, ALL_PAIRS, DISTILLED)
ZERO_SHOT = {"target": "zero-shot", "target_to_english": "zero-shot (translated)"}  # test column -> the base encoder

# Value of `choose` -> its word in a label, and its meaning
CHOICES = {
    "text": ("held-out", "weights chosen by held-out text"),
    "validation": ("validation", "weights chosen by validation"),
    "last": ("last", "weights of the last step"),
}


@dataclass(frozen=True)
class Method:
    """The method that trained an adapter."""

    route: str
    kind: str = FEW_SHOT  # `FEW_SHOT`, `ALL_PAIRS` (of the training part), or `DISTILLED` from text
    shots: int | None = None  # number of pairs of a few-shot training
    text: str | None = None  # sources of the text of a distillation, as the config names them
    photographs: bool = True  # whether the training used photographs: those of the pairs, or some next to the text
    closed_form: bool = False  # whether a head was solved on the pairs; not stated for distillations
    # `choose` of a distillation's config, the score that selected its weights: `text`, `validation` or `last`
    choose: str = ""
    recipe: str | None = None  # the recipe that the config names

    @property
    def look(self) -> str:
        """Name of its look in figures: its route, or `text` or `photographs` if it was distilled from text."""
        if self.text is None:
            return self.route
        return "photographs" if self.photographs else "text"

    @property
    def order(self) -> tuple:
        """Sort key: routes as numbered, then kinds, then the rest."""
        route = list(ROUTES).index(self.route)
        kind = KINDS.index(self.kind)
        unusual = self.photographs == (self.kind == DISTILLED)
        return (
            route,
            kind,
            (self.shots or 0, self.text or "", self.choose, self.closed_form, unusual, self.recipe or ""),
        )


def method_of(result: TrainingResult) -> Method:
    """Return the method of a complete training."""
    config = result.config
    translations = result.data.translations

    text = config.text
    if text is None and config.train_on != "pairs":
        text = config.train_on
    if text is not None:
        photographs = bool(translations and translations.photographs)
        return Method(
            config.route, DISTILLED, text=text, photographs=photographs, choose=config.choose, recipe=config.recipe
        )

    return Method(
        route=config.route,
        kind=ALL_PAIRS if config.shots is None else FEW_SHOT,
        shots=config.shots,
        photographs=config.image_weight > 0,
        closed_form="closed-form" in config.solvers,
        recipe=config.recipe,
    )


def method_labels(methods: Iterable[Method]) -> tuple[dict[Method, str], str]:
    """Return a unique short name per method, and sentences that explain the names.

    Examples are `method1`, `method1 (text)` and `method1 (all pairs)`. A name states the number of pairs, the source of
    text (as a number), and the score that selected the weights only if methods differ in it.
    """
    ordered = sorted(set(methods), key=attrgetter("order"))
    differences = _differences(ordered)

    labels = {}
    for method in ordered:
        parts = _label_parts(method, differences)
        name = method.recipe or method.route
        labels[method] = f"{name} ({', '.join(parts)})" if parts else name

    return labels, " ".join(_explanations(ordered, differences))


@dataclass(frozen=True)
class _Differences:
    """The values that methods have of each property that a label may state, in ascending order."""

    shots: Sequence[int]  # numbers of pairs of few-shot trainings
    texts: dict[str, str]  # sources of the text of distillations -> their name in labels
    choices: Sequence[str]  # `choose` of distillations


def _differences(methods: Sequence[Method]) -> _Differences:
    shots = {method.shots for method in methods if method.shots is not None}
    texts = sorted({method.text for method in methods if method.text is not None})
    choices = {method.choose for method in methods if method.text is not None}

    names = ["text"]
    if len(texts) > 1:
        names = [f"text {number}" for number in range(1, len(texts) + 1)]
    return _Differences(sorted(shots), dict(zip(texts, names, strict=False)), sorted(choices))


def _label_parts(method: Method, differences: _Differences) -> list[str]:
    """Return the words that follow a method's route."""
    parts = []
    if method.text is not None:
        parts.append(differences.texts[method.text])
        if method.photographs:
            parts.append("photographs")
        if len(differences.choices) > 1:
            parts.append(CHOICES[method.choose][0])

    if method.kind == ALL_PAIRS:
        parts.append("all pairs")
    if method.shots is not None and len(differences.shots) > 1:
        parts.append(f"{method.shots:,} pairs")

    if method.text is None and not method.photographs:
        parts.append("captions")
    if method.closed_form:
        parts.append("closed form")
    return parts


def _explanations(methods: Sequence[Method], differences: _Differences) -> list[str]:
    """Return a sentence for each word of the labels, and one for the number of pairs if all methods share it."""
    sentences = []
    if len(differences.shots) == 1:
        sentences.append(f"Pairs: few-shot, {differences.shots[0]:,}.")
    if any(method.kind == ALL_PAIRS for method in methods):
        sentences.append("All pairs: of the training part.")

    for text, name in differences.texts.items():
        sentences.append(f"{name.capitalize()}: distilled from {text}.")

    if any(method.text is None and not method.photographs for method in methods):
        sentences.append("Captions: without photographs.")
    if any(method.text is not None and method.photographs for method in methods):
        sentences.append("Photographs: those of the few-shot pairs.")

    if len(differences.choices) > 1:
        for choice in differences.choices:
            word, meaning = CHOICES[choice]
            sentences.append(f"{word.capitalize()}: {meaning}.")
    return sentences
