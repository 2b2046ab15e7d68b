"""Candidates: the runs of one configuration over its seeds, their method, and the choice by validation score only.

A method is a route on few pairs, a route on all pairs, or distillation from text. Every figure and table takes it from
`method_of`, so that no score is credited to another method.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pecl.config import IDENTITY_DEFAULTS, Role, fields_of
from pecl.config.routes import ROUTES
from pecl.data.languages import language_name
from pecl.errors import DataError
from pecl.report.tables.groups import BEST, group_of, grouped
from pecl.results.result import Result, where

_SAID = fields_of(Role.GROUP | Role.ROW | Role.REPEAT)  # stated by the table, or by the row
_SETTING = [name for name in IDENTITY_DEFAULTS if name not in _SAID | fields_of(Role.SEARCHED) | {"all_pairs"}]
_SETUP = [name for name in _SETTING if name not in ("adapter", "engine", "joint", "shots")]
_REPEATED = fields_of(Role.REPEAT)

Setting = tuple[tuple[str, Any], ...]
FEW_SHOT, ALL_PAIRS, DISTILLED = KINDS = ("few-shot", "full-data", "distilled")
# Value of `choose` -> its word in a label, and its meaning
_CHOICES = {
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

    @property
    def look(self) -> str:
        """Name of its look in figures: its route, or `text` or `photographs` if it was distilled from text."""
        return self.route if self.text is None else "photographs" if self.photographs else "text"

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


def method_labels(methods: Iterable[Method]) -> tuple[dict[Method, str], str]:
    """Return a unique short name per method, and sentences that explain the names.

    Examples are `method1`, `method1 (text)` and `method1 (all pairs)`. A name states the number of pairs, the source of
    text (as a number), and the score that selected the weights only if methods differ in it.
    """
    found = sorted(set(methods), key=lambda method: method.order)
    shots = sorted({one.shots for one in found if one.shots is not None})
    texts = sorted({one.text for one in found if one.text is not None})
    choices = sorted({one.choose for one in found if one.text is not None})
    names = {text: f"text {number}" if len(texts) > 1 else "text" for number, text in enumerate(texts, 1)}
    labels = {}
    for one in found:
        distilled = one.text is not None
        parts = {
            names.get(one.text or "", ""): distilled,
            "photographs": distilled and one.photographs,
            _CHOICES.get(one.choose, ("",))[0]: distilled and len(choices) > 1,
            "all pairs": one.kind == ALL_PAIRS,
            f"{one.shots or 0:,} pairs": one.shots and len(shots) > 1,
            "captions": not distilled and not one.photographs,
            "closed form": one.closed_form,
        }
        said = ", ".join(part for part, holds in parts.items() if holds)
        labels[one] = f"{one.route} ({said})" if said else one.route
    sentences = {
        f"Pairs: few-shot, {shots[0] if shots else 0:,}.": len(shots) == 1,
        "All pairs: of the training part.": any(one.kind == ALL_PAIRS for one in found),
        **{f"{name.capitalize()}: distilled from {text}.": True for text, name in names.items()},
        "Captions: without photographs.": any(one.text is None and not one.photographs for one in found),
        "Photographs: those of the few-shot pairs.": any(one.text is not None and one.photographs for one in found),
        **{f"{_CHOICES[one][0].capitalize()}: {_CHOICES[one][1]}.": len(choices) > 1 for one in choices},
    }
    return labels, " ".join(sentence for sentence, holds in sentences.items() if holds)


class Candidate:
    """Runs that differ only in their seed, with their values for tables and figures."""

    def __init__(self, runs: Sequence[Result], chosen_run: Result, compared: int, aside: int) -> None:
        first, scores = runs[0], [run.recall(stage=BEST) for run in runs]
        self.runs, self.run_ids = runs, [run.run_id for run in runs]  # by seed
        self.seeds = [run.config.seed for run in runs]
        self.chosen_run = chosen_run  # the run at whose seed it was compared with the other candidates
        self.validation = chosen_run.recall("val", BEST)  # validation score that it was chosen by
        self.compared = compared  # number of candidates that it was chosen from
        self.aside = aside  # number of candidates without a run of that seed
        self.config, self.language, self.route = first.config, first.config.language, first.config.route
        self.method, self.adapter = method_of(first), first.adapter
        self.setting = setting_of(first)  # fields that distinguish it from candidates of other rows
        self.pairs = first.data.split["train"]  # number of training pairs
        self.query = first.data.query["test"]  # column of the test queries: target, or target_to_english
        self.captions = first.test_captions  # number of test captions
        self.zero_shot = first.recall(stage="zero_shot")  # score of the tower without adapter; the same for every seed
        self.mean = float(np.mean(scores))  # score after training, mean over seeds
        self.std = float(np.std(scores, ddof=1)) if len(scores) > 1 else math.nan  # of the sample of seeds
        self.gain = self.mean - self.zero_shot
        # mean recall@1, 5 and 10 of both directions, before and after training
        self.mean_recall_before = first.measured(stage="zero_shot").mean_recall
        self.mean_recall = float(np.mean([run.measured(stage=BEST).mean_recall for run in runs]))

    @cached_property
    def trained_hits(self) -> np.ndarray:
        """Hits of each test item after training, averaged over seeds, (N,)."""
        return np.mean([run.hits(BEST) for run in self.runs], axis=0)

    @cached_property
    def gains(self) -> np.ndarray:
        """Hits of each test item after training, averaged over seeds, less its hits before, (N,)."""
        return self.trained_hits - self.runs[0].hits("zero_shot")


def setting_of(result: Result) -> Setting:
    """Return (field, value) of the fields that no grid searches over and that neither table nor row states.

    In addition to fields of the config it has `photographs`, the number of photographs trained on next to text.
    """
    spec, text = result.adapter and result.adapter.spec, result.data.translations
    fields = ((name, spec if name == "adapter" else getattr(result.config, name)) for name in _SETTING)
    return *fields, ("photographs", text and text.photographs)


def setups_of(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Return trainings by setup, that is their method and training data in words; each table has one setup.

    Routes, adapters, numbers of shots and joint trainings are compared within a setup.
    """
    found = grouped(results, _setup)
    order = sorted(found, key=lambda said: re.sub(r"\d[\d,]*", lambda one: one[0].replace(",", "").zfill(9), said))
    return {setup: found[setup] for setup in order}


def _setup(result: Result) -> str:
    method, photographs, given = method_of(result), dict(setting_of(result))["photographs"], []
    for name in _SETUP:
        value = getattr(result.config, name)
        if name == "train_on" and method.text is not None:
            given.append(f"trained on {method.text}" + (f" and {photographs:,} photographs" if photographs else ""))
        elif name == "train_on":
            given.append("trained on pairs" + ("" if method.photographs else " without photographs"))
            given += ["closed form"] if method.closed_form else []
        elif name == "train_size":
            given += [f"{value:,} of them"] if value else []
        elif name != "text" and value != IDENTITY_DEFAULTS[name]:
            given.append(name.replace("_", " ") + ("" if value is True else f" {value}"))
    return ", ".join(given)


def differing_fields(results: Sequence[Result]) -> list[str]:
    """Return the config fields that vary across `results` and have no column of their own in a list of runs."""
    kept = [name for name in IDENTITY_DEFAULTS if name not in _SAID | {"adapter", "lr", "alignment_weight"}]
    return [name for name in kept if len({str(getattr(result.config, name)) for result in results}) > 1]


def varying(settings: Iterable[Setting], without: str = "") -> list[str]:
    """Return the names of the fields in which settings differ, except for `without`."""
    columns = zip(*settings, strict=True)
    return [column[0][0] for column in columns if len(set(column)) > 1 and column[0][0] != without]


def chosen_candidates(results: Sequence[Result]) -> list[Candidate]:
    """Return the candidate with the best validation score for each group, language, route and setting.

    Candidates are compared at one seed: the lowest of the seeds that most of them have. Further seeds of the chosen
    candidate therefore refine its mean, but do not change the choice. Ties go to the lowest run id; test scores are
    never used. Raise DataError if runs of a chosen candidate were trained on different captions or files.
    """
    order = sorted(results, key=lambda result: (result.config.seed, result.run_id))
    rows = grouped(order, lambda one: (group_of(one), one.config.language, one.config.route, setting_of(one)))
    chosen = []
    for row in rows.values():
        candidates = grouped(row, _without_seed).values()
        count = Counter(run.config.seed for run in row)
        seed = min(count, key=lambda seed: (-count[seed], seed))
        found = [(run, runs) for runs in candidates for run in runs if run.config.seed == seed]
        run, runs = min(found, key=lambda pair: (-pair[0].recall("val", BEST), pair[0].run_id))
        for other in runs:
            if what := _different_input(run, other):
                said = f"differ only in their seed, but were trained on different {what}: run the older one again"
                raise DataError(f"{where(run)} and {where(other)} {said}")
        chosen.append(Candidate(runs, run, compared=len(found), aside=len(candidates) - len(found)))
    return sorted(chosen, key=lambda one: (one.language, one.route, str(one.setting), one.run_ids))


def _without_seed(result: Result) -> frozenset[tuple[str, Any]]:
    return frozenset((name, value) for name, value in result.config.identity().items() if name not in _REPEATED)


def _different_input(one: Result, other: Result) -> str:
    """Say what two trainings read differently: data, or files; empty if they read the same. Older results say less."""
    equal = all(one.data.sha256[key] == sha for key, sha in other.data.sha256.items() if key in one.data.sha256)
    texts = [run.data.translations and run.data.translations.sha256 for run in (one, other)]
    photographs = {run.data.photographs for run in (one, other)} - {None}
    if not equal or texts[0] != texts[1] or len(photographs) > 1:
        return "captions, photographs or parts"
    found, others = (run.data.files or {} for run in (one, other))
    recorded = [name for name in ("start", "plugin") if name in found and name in others]
    changed = [f"files of {name}" for name in recorded if found[name] != others[name]]
    return " and ".join(changed)


def candidates_by_method(results: Sequence[Result]) -> list[Candidate]:
    """Return `chosen_candidates` of each method, so that validation never chooses one method in place of another."""
    found = sorted(grouped(results, method_of).items(), key=lambda item: item[0].order)
    return [candidate for _, own in found for candidate in chosen_candidates(own)]


def best_of_methods(results: Sequence[Result]) -> list[Candidate]:
    """Return the best candidate of each language and method, with any adapter and any number of pairs of text.

    Among the candidates with the most seeds it has the best validation score.
    """
    found = grouped(candidates_by_method(results), lambda one: (one.language, one.method))
    best = [max(own, key=lambda one: (len(one.seeds), one.validation)) for own in found.values()]
    return sorted(best, key=lambda one: (language_name(one.language), one.method.order))


def by_gain(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return candidates grouped by language, languages in descending order of their largest gain."""
    found = grouped(candidates, lambda one: one.language)
    order = sorted(found, key=lambda code: (-max(one.gain for one in found[code]), code))
    return [candidate for code in order for candidate in found[code]]


def with_several(candidates: Sequence[Candidate], name: str) -> list[Candidate]:
    """Return the candidates from which another candidate differs only in the field `name` of the setting."""
    found = Counter(without(candidate, name) for candidate in candidates)
    return [candidate for candidate in candidates if found[without(candidate, name)] > 1]


def without(candidate: Candidate, left_out: str) -> tuple:
    """Return language, route and setting of a candidate, except for the field `left_out`."""
    return candidate.language, candidate.route, *(pair for pair in candidate.setting if pair[0] != left_out)
