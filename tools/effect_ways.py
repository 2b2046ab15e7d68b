"""The table of docs/results.md that compares all methods; `effect_tables.py` writes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from effect_figures import by_size, gap_of, parameters
from marked import per_cent, table, trained

from pecl.config.routes import ROUTES
from pecl.report.selection.candidates import Candidate, chosen_candidates

LANGUAGES = ("cs", "de", "fr")


@dataclass(frozen=True)
class Way:
    """A row: a method, and its candidate per language.

    Attributes:
        name: the method.
        found: language -> candidate.
        is_trained: whether to show the scores after training, not before.
    """

    name: str
    found: dict[str, Candidate]
    is_trained: bool = True


def ways_table(distilled: Sequence[Candidate], ceilings: Sequence[Candidate]) -> str:
    """Tabulate R@1, mean recall and the share of the gap to English per method and language.

    Args:
        distilled: candidates trained on text and measured on the pool's photographs.
        ceilings: candidates whose queries are translations into English, without an adapter.
    """
    ways = _ways(distilled, ceilings)
    # the same language and precision with original captions; their gap to English is that of
    # translated queries, too
    plain = {
        (candidate.language, candidate.config.precision): candidate
        for way in ways
        for candidate in way.found.values()
        if candidate.query == "target"
    }

    def scores(way: Way, language: str) -> str:
        if language not in way.found:
            return ""
        candidate = way.found[language]
        start = plain[language, candidate.config.precision]
        first, recall = (
            (candidate.mean, candidate.mean_recall)
            if way.is_trained
            else (candidate.zero_shot, candidate.mean_recall_before)
        )
        share = (first - start.zero_shot) / gap_of(start)
        return f"{first:.3f} / {recall:.3f} / {per_cent(share)}"

    rows = []
    for way in ways:
        candidates = way.found.values()
        numbers = (
            [f"{max(map(count, candidates)):,}" for count in (_pairs, parameters)] if way.is_trained else ["-", "-"]
        )
        rows.append([way.name, *numbers, *(scores(way, language) for language in LANGUAGES)])

    return table(["method", "pairs", "parameters", *LANGUAGES], rows)


def _ways(distilled: Sequence[Candidate], ceilings: Sequence[Candidate]) -> list[Way]:
    routes = chosen_candidates(trained("routes"))
    by_route = {name: _by_language(candidate for candidate in routes if candidate.route == name) for name in ROUTES}
    translated = [name for name, (query, _) in ROUTES.items() if query == "target_to_english"]
    sizes: dict[tuple[int, int], list[Candidate]] = {}
    for (_, pairs, count), candidate in by_size(distilled).items():
        sizes.setdefault((pairs, count), []).append(candidate)

    closed = [candidate for candidate in distilled if candidate.config.solver == "closed-form"]
    return [
        Way("base encoder, no adapter", _by_language(distilled), is_trained=False),
        *(Way(f"route {name}", by_route[name]) for name in ROUTES if name not in translated),
        Way("only closed form", _by_language(sorted(closed, key=_pairs))),
        *(Way("distilled", _by_language(group)) for _, group in sorted(sizes.items())),
        Way("full fine-tuning", _by_language(chosen_candidates(trained("effect/full")))),
        Way("translated into English", _by_language(ceilings), is_trained=False),
        *(Way(f"translated, route {name}", by_route[name]) for name in translated),
    ]


def _by_language(candidates: Iterable[Candidate]) -> dict[str, Candidate]:
    """Return language -> its candidate, the last of several."""
    return {candidate.language: candidate for candidate in candidates}


def _pairs(candidate: Candidate) -> int:
    return candidate.pairs
