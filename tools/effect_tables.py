"""Generate tables and commands from the shipped results: docs/results.md and results/measured/effect/README.md.

python tools/effect_tables.py            print them as Markdown
python tools/effect_tables.py --write    write them into both pages, between their marks, and draw img/effect

Runs that differ only in their seed form one row: means over seeds, and intervals over queries of
the mean hits. A command repeats the runs of its table: the run ids are the same.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import mean, pstdev

import numpy as np
from effect_figures import by_size, gap_of, parameters, write_figures
from effect_rivals import rivals_table, write_rivals
from effect_ways import ways_table
from marked import ROOT, complete, main, per_cent, table, trained

from pecl.adapters.ready import ready_adapters
from pecl.config import DISTIL_DEFAULTS, make_config, read_yaml, schedule_for
from pecl.files import sha256_file
from pecl.machine import BF16, FP32
from pecl.report.selection.candidates import Candidate, chosen_candidates
from pecl.report.selection.groups import intervals
from pecl.results.result import Result

PAGE = ROOT / "docs" / "results.md"
RUNS = ROOT / "results" / "measured" / "effect" / "README.md"
FIGURES = ROOT / "img" / "effect"
PHOTOGRAPHS = ("de", "fr", "cs")
RECIPE = "configs/effect.yaml"  # fields that the distillations share
# folders of runs that are compared with the default
CZECH = ("ablations", "joint", "joint_then_own", "full")
VARIANTS = (*CZECH, "images", "precision")


def with_interval(candidate: Candidate) -> str:
    """Format the gain of a candidate in mean R@1, with its interval."""
    low, high = intervals([candidate.gains])[0]
    return f"{candidate.mean - candidate.zero_shot:+.3f} [{low:+.3f}, {high:+.3f}]"


def mean_recall(result: Result, stage: str) -> float:
    """Return the mean of R@1, 5 and 10 over both directions."""
    return result.measured("test", stage).mean_recall


def gap_runs() -> list[Result]:
    """Return the distillations measured on the pool's photographs."""
    runs = (run for run in trained("effect") if run.path.parent.name not in VARIANTS)
    return [r for r in runs if r.config.text is not None and r.data.gallery.kind == "images"]


def candidates(runs: Sequence[Result]) -> list[Candidate]:
    """Group runs that differ only in their seed."""
    alike: dict[str, list[Result]] = {}
    for run in runs:
        plain = replace(run.config, seed=1, threads=None, out="results")
        alike.setdefault(replace(run, config=plain).command, []).append(run)
    return [candidate for results in alike.values() for candidate in chosen_candidates(results)]


@cache
def gap_candidates() -> tuple[Candidate, ...]:
    """Return the distillations sorted by language, pairs, parameters and schedule; seeds are grouped."""
    chosen = candidates(gap_runs())
    order = PHOTOGRAPHS.index
    return tuple(
        sorted(
            chosen,
            key=lambda candidate: (
                order(candidate.language),
                candidate.pairs,
                parameters(candidate),
                candidate.config.solver,
            ),
        )
    )


def share(candidate: Candidate) -> float:
    """Return the share of the gap to English that a candidate closes, in mean R@1 of both directions."""
    return candidate.gain / gap_of(candidate)


def minutes(candidate: Candidate) -> float:
    """Return the minutes of training and closed forms, mean over seeds."""
    return mean(map(seconds, candidate.runs)) / 60


def seconds(run: Result) -> float:
    """Return the seconds of training and closed forms; 0 for an evaluation."""
    if run.kind == "train":
        return run.seconds.train + sum(step.seconds for step in run.closed_form or ())
    return 0.0


def gap_table() -> str:
    """Tabulate the share of the gap per language and condition, on 900 photographs."""
    rows = [
        [
            candidate.language,
            f"{candidate.pairs:,}",
            steps(candidate),
            f"{candidate.mean:.3f}",
            with_interval(candidate),
            f"{candidate.mean_recall:.3f}",
            per_cent(share(candidate)),
            f"{candidate.config.epochs} at {candidate.config.lr:g}" if "gradient" in candidate.config.solvers else "",
            f"{parameters(candidate):,}",
            str(len(candidate.seeds)),
            f"{minutes(candidate):.0f}",
        ]
        for candidate in gap_candidates()
    ]
    head = "language,pairs,steps,R@1,gain [95 %],mean R,share of the gap,passes at lr,parameters,seeds,minutes"
    return table(head.split(","), rows)


def steps(candidate: Candidate) -> str:
    """Name the steps of a distillation and the language of its start."""
    name = {"closed-form+gradient+closed-form": "all three", "closed-form": "closed form"}
    return name.get(candidate.config.solver, candidate.config.solver) + (
        f", from {_language_of(candidate.config.start)}" if candidate.config.start else ""
    )


def _language_of(weights: str) -> str:
    """Return the language in the name of an adapter file, such as `pl` of `pl-method1-1d0ee2b3dc2a2cf2.safetensors`."""
    return Path(weights).stem.partition("-")[0]


def precision_table() -> str:
    """Tabulate 50 Czech pairs with the defaults of `pecl distil`, in fp32 and in bf16."""
    alike = [replace(run.config, precision=BF16, threads=None, out="results") for run in trained("effect/precision")]
    partners = [run for run in trained("effect/pairs50") if replace(run.config, threads=None, out="results") in alike]
    of_precision = {FP32: chosen_candidates(trained("effect/precision"))[0], BF16: chosen_candidates(partners)[0]}
    less = of_precision[BF16].trained_hits - of_precision[FP32].trained_hits
    low, high = intervals([less])[0]
    rows = [
        [
            name,
            str(len(candidate.seeds)),
            f"{candidate.mean:.4f}",
            f"{candidate.std:.4f}",
            with_interval(candidate),
            f"{candidate.mean_recall:.4f}",
        ]
        for name, candidate in of_precision.items()
    ]
    rows.append(["bf16 minus fp32", "", "", "", f"{less.mean():+.4f} [{low:+.4f}, {high:+.4f}]", ""])

    return table(["precision", "seeds", "R@1", "std over seeds", "gain [95 %]", "mean R"], rows)


def text_table() -> str:
    """Tabulate XTD10's languages without translations in Multi30K: the ready adapters, text to text on its captions."""
    evaluations = {(row.config.language, row.config.weights is not None): row for row in complete("ready")}
    chosen = []
    for code in {code for code, _ in evaluations}:
        if evaluations[code, True].adapter.sha256 != sha256_file(ready_adapters()[code]):
            raise SystemExit(f"{code}: another adapter is shipped; run pecl evaluate with mini:{code} again")
        chosen.append((code, evaluations[code, False].hits(), evaluations[code, True].hits()))

    chosen.sort(key=lambda row: row[1].mean())
    rows = []
    for code, before, after in chosen:
        gain, (low, high) = (after - before).mean(), intervals([after - before])[0]
        share = gain / (1 - before.mean())
        texts = f"{before.mean():.3f}", f"{after.mean():.3f}", f"{gain:+.3f} [{low:+.3f}, {high:+.3f}]"
        rows.append([code, *texts, per_cent(share)])

    for name, measure, group in (
        ("mean", mean, chosen),
        ("standard deviation", pstdev, chosen),
        ("standard deviation, without jp", pstdev, [row for row in chosen if row[0] != "jp"]),
    ):
        before, after = (measure([float(row[stage].mean()) for row in group]) for stage in (1, 2))
        rows.append([name, f"{before:.3f}", f"{after:.3f}", "", ""])

    return table(["language", "R@1 before", "after", "gain [95 %]", "share of errors removed"], rows)


def few_shot_table() -> str:
    """Tabulate the few-shot routes: as published, with the schedule of distillation, with a closed-form start."""
    groups: dict[tuple[str, int, str], list[Result]] = {}
    for run in trained("effect/few_shot"):
        groups.setdefault((run.config.language, run.config.shots or 0, few_shot_name(run)), []).append(run)

    rows = []
    for (language, shots, name), runs in sorted(groups.items()):
        (candidate,) = chosen_candidates(runs)
        rows.append(
            [language, str(shots), name, str(len(candidate.seeds)), f"{candidate.mean:.3f}", with_interval(candidate)]
        )

    return table(["language", "pairs", "method", "seeds", "R@1", "gain [95 %]"], rows)


def few_shot_name(result: Result) -> str:
    """Name the method of a few-shot run."""
    if "closed-form" in result.config.solver:
        return "closed-form start"
    if result.config.anchor == "frozen":
        return "as distilled"
    return "new schedule" if result.config.warmup else "as published"


def all_ways_table() -> str:
    """Tabulate all methods of training and searching."""
    ceilings = chosen_candidates([run for run in trained("effect/ceilings") if run.config.language != "en"])
    return ways_table(gap_candidates(), ceilings)


def ceilings_table() -> str:
    """Tabulate translate-test and English on the same photographs, compared with distillation on most pairs."""
    sizes = sorted(by_size(gap_candidates()).items(), key=lambda item: (item[0][1], -item[0][2]))
    # the last: most pairs, fewest parameters
    most = {language: candidate for (language, *_), candidate in sizes}

    rows = []
    for result in sorted(trained("effect/ceilings"), key=lambda r: (r.config.language, r.config.route)):
        language = result.config.language
        before = f"{mean_recall(result, 'zero_shot'):.3f}"
        name = "English" if language == "en" else f"{language}, translated into English"
        row = [name, f"{result.recall(stage='zero_shot'):.3f}", before]
        if language in most:
            less = most[language].trained_hits - result.hits("zero_shot")
            low, high = intervals([less])[0]
            row.append(f"{less.mean():+.3f} [{low:+.3f}, {high:+.3f}]")
        rows.append([*row, ""][:4])  # English has no distillation

    return table(["query", "R@1", "mean R", "R@1 of distillation minus this [95 %]"], rows)


def english_table() -> str:
    """Tabulate English captions through the base encoder and through adapters of other languages."""
    rows = []
    for result in complete("effect/english_through"):
        weights = result.config.weights
        if weights is not None and result.data.files["weights"] != sha256_file(ROOT / weights):
            raise SystemExit(f"{weights}: another adapter is shipped; run its command in {RUNS} again")
        name = "no adapter" if weights is None else _language_of(weights)
        stage = result.stages[-1]
        rows.append([name, f"{result.recall(stage=stage):.3f}", f"{mean_recall(result, stage):.3f}"])

    return table(["English captions through", "R@1", "mean R"], sorted(rows, key=lambda fields: -float(fields[2])))


def variants_table(*folders: str) -> str:
    """Tabulate the default for 757 Czech pairs, then runs that each change one setting."""
    usual = next(
        candidate
        for candidate in gap_candidates()
        if candidate.language == "cs" and candidate.pairs == 757 and is_default(candidate)
    )
    # a joint training has others, too
    runs = [run for run in runs_of(*folders) if run.config.language == "cs"]
    variants = sorted(candidates(runs), key=share, reverse=True)
    rows = [
        [
            change(candidate, usual),
            f"{parameters(candidate):,}",
            str(len(candidate.seeds)),
            f"{candidate.mean:.3f}",
            f"{candidate.mean_recall:.3f}",
            per_cent(share(candidate)),
            "" if candidate is usual else share_difference(candidate, usual),
        ]
        for candidate in (usual, *variants)
    ]
    head = "change,parameters,seeds,R@1,mean R,share of the gap,points less the default [95 %]"

    return table(head.split(","), rows)


def runs_of(*folders: str) -> list[Result]:
    """Return the training runs in folders of results/measured/effect."""
    return [run for folder in folders for run in trained(f"effect/{folder}")]


def is_default(candidate: Candidate) -> bool:
    """Return whether a candidate has the defaults of `pecl distil` for its number of pairs."""
    config = candidate.config
    expected = {**DISTIL_DEFAULTS, **schedule_for(candidate.pairs)}
    return config.start is None and all(getattr(config, name) == value for name, value in expected.items())


def change(candidate: Candidate, usual: Candidate) -> str:
    """List the flags of a candidate that differ from the default."""
    fields = ("joint", "text", "adapter", "start", "alignment", "lr", "epochs", "ema", "image_weight", "precision")
    changed = [name for name in fields if getattr(candidate.config, name) != getattr(usual.config, name)]
    flags = [f"--{name.replace('_', '-')} {getattr(candidate.config, name)}" for name in changed]
    return f"`{' '.join(flags)}`" if flags else "the default"


def share_difference(candidate: Candidate, usual: Candidate) -> str:
    """Format the difference in closed gap to another candidate, on the same seeds, with its interval."""
    partners = {run.config.seed: run for run in usual.runs}
    pairs = [(run, partners[run.config.seed]) for run in candidate.runs]
    more = np.mean(
        [run.hits("best") / gap_of(candidate) - other.hits("best") / gap_of(usual) for run, other in pairs], axis=0
    )
    starts = candidate.runs[0].hits("zero_shot") / gap_of(candidate) - usual.runs[0].hits("zero_shot") / gap_of(usual)
    more = more - starts
    low, high = intervals([more])[0]

    return f"{100 * more.mean():+.0f} [{100 * low:+.0f}, {100 * high:+.0f}]"


def commands(runs: Sequence[Result]) -> str:
    """Return a folded block with the commands that repeat runs; languages with the same seeds share a command."""
    found: dict[str, dict[str, list[int]]] = {}
    for run in runs:
        plain = replace(run.config, language="de", seed=1, threads=None, out=f"results/effect/{run.path.parent.name}")
        seeds = found.setdefault(short_command(replace(run, config=plain)), {}).setdefault(run.config.language, [])
        seeds.append(run.config.seed)

    lines = []
    for line, by_language in found.items():
        _, kind, *flags = shlex.split(line)
        for seeds in sorted({tuple(sorted(seeds_of)) for seeds_of in by_language.values()}):
            languages = sorted(
                language for language, seeds_of in by_language.items() if tuple(sorted(seeds_of)) == seeds
            )
            several = [f"--seeds {','.join(map(str, seeds))}"] if seeds != (1,) else []
            words = ["pecl", "grid" if several else kind, "--language", ",".join(languages), *several, *flags]
            lines.append(_wrapped(" ".join(words)))

    long = ""
    took = sum(map(seconds, runs)) / 60
    if took >= 1:
        long = f"<!-- long: {took:.0f} min -->\n"

    block = "\n".join([f"{long}```bash", *sorted(lines), "```"])
    return f'<details markdown="1">\n<summary>Commands</summary>\n\n{block}\n\n</details>'


def short_command(run: Result) -> str:
    """Return the command of a run; for a training on text it names `RECIPE` and the flags that differ from it."""
    if run.config.text is None:
        return run.command

    recipe = make_config(read_yaml(ROOT / RECIPE))
    shared = {name: value for name, value in recipe.to_dict().items() if value != getattr(type(recipe)(), name)}
    changed = {name: getattr(run.config, name) for name in shared if getattr(run.config, name) != shared[name]}
    rest = replace(run.config, **{name: getattr(type(recipe)(), name) for name in shared})
    _, kind, *flags = shlex.split(replace(run, config=rest).command)
    if any(isinstance(value, bool) for value in changed.values()):
        raise ValueError(f"{run.path}: expected the switches of {RECIPE}, got {changed}")

    flags_of_config = [word for name, value in changed.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    return shlex.join(["pecl", kind, "--config", RECIPE, *flags_of_config, *flags])


def _wrapped(command: str) -> str:
    """Wrap a command; each flag keeps its value on its line."""
    units = re.sub(r"(--\S+) (?!--)", "\\1\0", command)
    lines = textwrap.wrap(units, 110, break_long_words=False, break_on_hyphens=False)
    return " \\\n    ".join(lines).replace("\0", " ")


PARTS: dict[str, Callable[[], str]] = {"ways": all_ways_table, "rivals": rivals_table, "text": text_table}
OF_RUNS: dict[str, Callable[[], str]] = {
    "gap": gap_table,
    # text757 has the Polish adapter that one of these runs starts from
    "commands of gap": lambda: commands([*gap_runs(), *trained("effect/text757")]),
    "ceilings": ceilings_table,
    "commands of ceilings": lambda: commands(trained("effect/ceilings")),
    "variants": lambda: variants_table(*CZECH),
    "commands of variants": lambda: commands(runs_of(*CZECH)),
    "images": lambda: variants_table("images"),
    "commands of images": lambda: commands(trained("effect/images")),
    "few-shot": few_shot_table,
    "commands of few-shot": lambda: commands(trained("effect/few_shot")),
    "precision": precision_table,
    "commands of precision": lambda: commands(trained("effect/precision")),
    "english": english_table,
    "commands of english": lambda: commands(complete("effect/english_through")),
}


if __name__ == "__main__":
    main(__doc__ or "", RUNS, OF_RUNS)
    if main(__doc__ or "", PAGE, PARTS):
        write_figures(FIGURES, gap_candidates())
        write_rivals(FIGURES)
