"""Generate the first table of README.md from the shipped results: `python tools/readme_table.py [--write]`.

Lists languages by gain of distillation: zero-shot, the distilled adapter, and the share of the gap
to English that it closes, if that gap exceeds its noise. The note has the largest gain of a
few-shot route. All numbers are those of `pecl report results/measured --summary`: `best_of_methods`
chooses for both.
"""

from collections.abc import Sequence

from marked import ROOT, complete, main, table, trained

from pecl.config import DISTIL_DEFAULTS
from pecl.language.languages import ENGLISH, language_name
from pecl.report.selection.candidates import Candidate, best_of_methods
from pecl.report.selection.groups import group_of, intervals
from pecl.report.selection.methods import DISTILLED, FEW_SHOT
from pecl.report.tables.disparity import english_of, gap_to_english, reference_remark
from pecl.results.result import Result

ROUTES = ("baseline1", "method1", "method2")  # routes that search with the original captions


def headline() -> str:
    """Return the table and its note as Markdown."""
    group = group_of(trained("routes")[0])
    candidates = best_of_methods([result for result in trained(".") if group_of(result) == group])
    few_shot = _few_shot(candidates)
    distilled = _distilled(candidates)
    references = [english_of(candidate, complete(".")) for candidate in distilled.values()]
    english = references[0]
    if english is None or any(reference is not english for reference in references):
        raise SystemExit("results/measured: expected one English result in the precision of the distillations")

    codes = sorted(distilled, key=lambda code: -distilled[code].gain)
    rows = [_row(code, distilled[code], english) for code in codes]
    head = ["language", "zero-shot", "distilled", "gain [95 %]", "gap to English closed"]
    rows.append([f"{language_name(ENGLISH)}, for comparison", _score(english.recall(stage="zero_shot")), "", "", ""])
    seeds = {len(one.seeds) for one in distilled.values()}

    return f"{table(head, rows)}\n\n{_sentence(list(few_shot.values()), group.gallery, seeds, english)}"


def _few_shot(candidates: Sequence[Candidate]) -> dict[str, Candidate]:
    """Return language -> its candidate with the best validation, the first of equal ones, of few-shot routes."""
    best: dict[str, Candidate] = {}
    for candidate in sorted(candidates, key=lambda candidate: -candidate.validation):
        method = candidate.method
        usual = method.kind == FEW_SHOT and method.photographs and not method.closed_form
        if usual and candidate.language != ENGLISH and candidate.route in ROUTES:
            best.setdefault(candidate.language, candidate)
    return best


def _distilled(candidates: Sequence[Candidate]) -> dict[str, Candidate]:
    """Return language -> its candidate distilled from text as `pecl distil` does by default."""
    usual = DISTILLED, False, DISTIL_DEFAULTS["choose"]
    return {
        candidate.language: candidate
        for candidate in candidates
        if (candidate.method.kind, candidate.method.photographs, candidate.method.choose) == usual
    }


def _row(code: str, distilled: Candidate, english: Result) -> list[str]:
    low, high = intervals([distilled.gains])[0].tolist()
    gap = gap_to_english(distilled, english)
    share = f"{distilled.gain / gap:.0%}".replace("%", " %") if gap else ""
    gain = f"{distilled.gain:+.3f} [{low:+.3f}, {high:+.3f}]"
    return [language_name(code), _score(distilled.zero_shot), f"**{_score(distilled.mean)}**", gain, share]


def _score(value: float) -> str:
    return f"{value:.3f}"


def _sentence(few_shot: Sequence[Candidate], gallery: str, seeds: set[int], english: Result) -> str:
    largest = max(few_shot, key=lambda candidate: candidate.gain)
    low, high = intervals([largest.gains])[0].tolist()
    reference = reference_remark(english.config.precision, english)
    measurable = "no measurable gain" if low <= 0 <= high else "a measurable gain"
    return (
        f"Mean R@1 of both directions among {gallery}; 95 % bootstrap intervals over test items; "
        f"{' or '.join(map(str, sorted(seeds)))} seeds per language. {reference}. "
        f"Few-shot training on fifty captioned photographs, the paper's setting, "
        f"has {measurable} (the largest is {largest.gain:+.3f} [{low:+.3f}, {high:+.3f}])."
    )


PARTS = {"tools/readme_table.py": headline}


if __name__ == "__main__":
    main(__doc__ or "", ROOT / "README.md", PARTS)
