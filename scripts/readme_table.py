"""Generate the first table of README.md from the shipped results: `python scripts/readme_table.py [--write]`.

Lists languages by gain of distillation: zero-shot, the few-shot route selected by validation, the distilled adapter,
and the share of the gap to English that it closes, if that gap exceeds its noise. All results share one gallery.
"""

from collections.abc import Sequence

from marked import ROOT, main, table, trained

from pecl.languages import ENGLISH, language_name
from pecl.report.tables import Candidate, chosen_candidates, group_of, hits
from pecl.report.tables.disparity import find_english
from pecl.report.tables.statistics import intervals
from pecl.results.result import Result

FEW_SHOT = "routes"
DISTILLED = ("effect/pairs28k", "full_data")  # the first folder with a language counts
ROUTES = ("method1", "method2")  # routes that search with the original captions


def headline() -> str:
    """Return the table and its note as Markdown."""
    few_shot = trained(FEW_SHOT)
    group = group_of(few_shot[0])
    best, chosen = _best(few_shot), {}
    for folder in DISTILLED:
        chosen = _best([result for result in trained(folder) if group_of(result) == group]) | chosen
    english = find_english(few_shot, group)
    if english is None:
        raise SystemExit(f"{FEW_SHOT}: expected a result of English")
    codes = sorted(chosen, key=lambda code: chosen[code].zero_shot - chosen[code].mean)
    rows = [_row(code, best.get(code), chosen[code], english) for code in codes]
    reference = english.recall(stage="zero_shot")
    head = ["language", "zero-shot", "few-shot", "distilled", "gain of distillation", "gap to English closed"]
    rows.append([f"{language_name(ENGLISH)}, for comparison", _score(reference), *[""] * 4])
    seeds = ", ".join(f"{code} {len(chosen[code].seeds)}" for code in codes)
    return f"{table(head, rows)}\n\n{_sentence(list(best.values()), group.gallery, seeds)}"


def _best(results: Sequence[Result]) -> dict[str, Candidate]:
    """Return language -> its candidate with the best validation, the first of equal ones."""
    found: dict[str, Candidate] = {}
    for one in sorted(chosen_candidates(results), key=lambda one: -one.validation):
        if one.language != ENGLISH and one.route in ROUTES:
            found.setdefault(one.language, one)
    return found


def _row(code: str, few_shot: Candidate | None, distilled: Candidate, english: Result) -> list[str]:
    low, high = intervals([distilled.gains])[0].tolist()
    gain = distilled.mean - distilled.zero_shot
    gap = english.recall(stage="zero_shot") - distilled.zero_shot
    noise = intervals([hits(english, "zero_shot") - hits(distilled.runs[0], "zero_shot")])[0, 0]
    share = f"{gain / gap:.0%}".replace("%", " %") if noise > 0 else ""
    shown = f"{_score(few_shot.mean)} ({few_shot.route})" if few_shot else ""
    interval = f"+{gain:.3f} ({low:+.3f} to {high:+.3f})"
    return [language_name(code), _score(distilled.zero_shot), shown, f"**{_score(distilled.mean)}**", interval, share]


def _score(value: float) -> str:
    return f"{value:.3f}"


def _sentence(few_shot: Sequence[Candidate], gallery: str, seeds: str) -> str:
    largest = max(few_shot, key=lambda one: one.mean - one.zero_shot)
    low, high = intervals([largest.gains])[0].tolist()
    measurable = "no measurable gain" if low <= 0 <= high else "a measurable gain"
    return (
        f"Mean R@1 of both directions among {gallery}; brackets: 95 % bootstrap intervals over test items; seeds of "
        f"the distillation: {seeds}. With fifty captioned photographs per language we see {measurable} (the largest is "
        f"{largest.mean - largest.zero_shot:+.3f}, interval {low:+.3f} to {high:+.3f}). Translated text, which needs "
        "no photograph, does help."
    )


PARTS = {"scripts/readme_table.py": headline}


if __name__ == "__main__":
    main(__doc__ or "", ROOT / "README.md", PARTS)
