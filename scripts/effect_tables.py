"""Print the tables of docs/effect.md from the results that are shipped, so that its numbers cannot drift.

python scripts/effect_tables.py            Markdown
python scripts/effect_tables.py --write    put into docs/effect.md, between its marks
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import mean, pstdev

from pecl.files import write_text
from pecl.report.tables.statistics import gain, intervals
from pecl.results.result import Result, collect

ROOT = Path(__file__).parents[1]
MEASURED = ROOT / "results" / "measured"
PAGE = ROOT / "docs" / "effect.md"
PHOTOGRAPHS = ("de", "fr", "cs")


def mean_recall(result: Result, stage: str) -> float:
    """Return the mean of R@1, 5 and 10 over both directions."""
    return result.measured("test", stage).mean_recall


def of(folder: str) -> list[Result]:
    """Return the trainings in a folder of the shipped results."""
    return [result for result in collect([MEASURED / folder]) if result.kind == "train"]


def effect_folders() -> list[str]:
    """Return the folders of the effect's experiments."""
    return sorted(path.name for path in (MEASURED / "effect").iterdir() if path.is_dir())


def english() -> Result:
    """Return the run whose zero-shot recall is English's on the same gallery."""
    return next(result for result in of("effect/ceilings") if result.config.language == "en")


def row(fields: Iterable[str]) -> str:
    """Return a row of a Markdown table."""
    return f"| {' | '.join(fields)} |"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join([row(head), row("---" for _ in head), *map(row, rows)])


def share(result: Result, top: float) -> float:
    """Return the share of the gap to English that a run closed, in mean recall."""
    start = mean_recall(result, "zero_shot")
    return (mean_recall(result, "best") - start) / (top - start)


def with_interval(result: Result) -> str:
    """Return what a run gained in mean R@1, with its interval."""
    low, high = intervals([gain(result)])[0]
    return f"{result.recall(stage='best') - result.recall(stage='zero_shot'):+.3f} [{low:+.3f}, {high:+.3f}]"


def gap_table() -> str:
    """Return language and condition against what was closed of the gap, on 900 photographs."""
    top = mean_recall(english(), "zero_shot")
    rows = []
    for language in PHOTOGRAPHS:
        found = [
            r for name in effect_folders() for r in of(f"effect/{name}") if is_gap(r) and r.config.language == language
        ]
        for result in sorted(found, key=lambda r: (r.data.split["train"], r.config.solver, r.adapter.trainable)):
            rows.append(
                [
                    language,
                    f"{result.data.split['train']:,}",
                    result.config.solver,
                    f"{result.adapter.trainable:,}",
                    f"{result.recall(stage='zero_shot'):.3f}",
                    f"{result.recall(stage='best'):.3f}",
                    with_interval(result),
                    f"{mean_recall(result, 'zero_shot'):.3f}",
                    f"{mean_recall(result, 'best'):.3f}",
                    f"{share(result, top):.2f}",
                    f"{minutes(result):.0f}",
                ]
            )
    head = "language,pairs,solver,parameters,R@1 before,after,gain [95 %],mean R before,after,share of the gap,minutes"
    return table(head.split(","), rows)


def is_gap(result: Result) -> bool:
    """Say whether a run is a distillation that is measured on the pool's photographs."""
    return result.config.text is not None and result.data.gallery.kind == "images"


def minutes(result: Result) -> float:
    """Return the minutes that training and closed forms took."""
    return (result.seconds.train + sum(one.seconds for one in result.closed_form or ())) / 60


def text_table() -> str:
    """Return the languages without photographs: text to text on XTD10."""
    rows = []
    chosen = sorted(of("effect/text757"), key=lambda r: r.recall(stage="zero_shot"))
    for result in chosen:
        before, after = result.recall(stage="zero_shot"), result.recall(stage="best")
        rows.append(
            [
                result.config.language,
                f"{before:.3f}",
                f"{after:.3f}",
                with_interval(result),
                f"{(after - before) / (1 - before):.2f}",
            ]
        )
    scores = {stage: [r.recall(stage=stage) for r in chosen] for stage in ("zero_shot", "best")}
    rows.append(["mean", *(f"{mean(scores[s]):.3f}" for s in scores), "", ""])
    rows.append(["standard deviation", *(f"{pstdev(scores[s]):.3f}" for s in scores), "", ""])
    return table(["language", "R@1 before", "after", "gain [95 %]", "share of errors gone"], rows)


def few_shot_table() -> str:
    """Return the few-shot routes: as published, with the schedule of the distillation, with a closed-form start."""
    found: dict[tuple[str, int, str], list[Result]] = {}
    for result in of("effect/few_shot"):
        found.setdefault((result.config.language, result.config.shots or 0, few_shot_name(result)), []).append(result)
    rows = []
    for (language, shots, name), results in sorted(found.items()):
        low, high = intervals([sum(gain(r) for r in results) / len(results)])[0]
        change = mean(r.recall(stage="best") - r.recall(stage="zero_shot") for r in results)
        after = mean(r.recall(stage="best") for r in results)
        rows.append(
            [language, str(shots), name, str(len(results)), f"{after:.3f}", f"{change:+.3f} [{low:+.3f}, {high:+.3f}]"]
        )
    return table(["language", "pairs", "way", "seeds", "R@1", "gain [95 %]"], rows)


def few_shot_name(result: Result) -> str:
    """Return what a few-shot run is called."""
    if "closed-form" in result.config.solver:
        return "closed-form start"
    return "new schedule" if result.config.warmup else "as published"


def ceilings_table() -> str:
    """Return translate-test and English on the same photographs."""
    rows = []
    for result in sorted(of("effect/ceilings"), key=lambda r: (r.config.language, r.config.route)):
        name = "English" if result.config.language == "en" else f"{result.config.language}, translated into English"
        rows.append([name, f"{result.recall(stage='zero_shot'):.3f}", f"{mean_recall(result, 'zero_shot'):.3f}"])
    return table(["query", "R@1", "mean R"], rows)


def english_table() -> str:
    """Return English captions through the plain tower and through the adapter of another language."""
    rows = []
    for result in collect([MEASURED / "effect" / "english_through"]):
        name = "plain tower" if result.config.weights is None else Path(result.config.weights).stem.partition("-")[0]
        stage = result.stages[-1]
        rows.append([name, f"{result.recall(stage=stage):.3f}", f"{mean_recall(result, stage):.3f}"])
    return table(["English through", "R@1", "mean R"], sorted(rows, key=lambda fields: -float(fields[2])))


TABLES: dict[str, Callable[[], str]] = {
    "gap": gap_table,
    "ceilings": ceilings_table,
    "text": text_table,
    "few-shot": few_shot_table,
    "english": english_table,
}


def filled(page: str) -> str:
    """Return a page with each table between its marks `<!-- NAME -->` and `<!-- end -->`."""
    for name, make in TABLES.items():
        pattern = rf"(<!-- {name} -->\n)(?:.*?\n)??(<!-- end -->)"
        page = re.sub(pattern, lambda found, make=make: f"{found[1]}{make()}\n{found[2]}", page, flags=re.DOTALL)
    return page


def main() -> None:
    """Print the tables, or write them into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write them into docs/effect.md")
    if parser.parse_args().write:
        write_text(PAGE, filled(PAGE.read_text("utf-8")))
        return
    for name, make in TABLES.items():
        print(f"{name}\n\n{make()}\n")


if __name__ == "__main__":
    main()
