"""Results as one self-contained HTML page: tables, plots, commands, versions, and retrieved items.

It shows the items that test captions retrieved before and after training: for the captions whose rank changed most, up
or down, and for a sample of the others. Results hold only indices, so captions and images are read from the data sets,
and shown only if the data are still those of the run.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pecl.config import Role, fields_of, make_config
from pecl.data.captions import ParallelCaptions
from pecl.data.languages import language_name
from pecl.errors import ConfigError, DataError, not_none
from pecl.experiment.loading import load_captions
from pecl.files import check_writable, write_text
from pecl.files.images import jpeg_uri, small_jpeg
from pecl.files.progress import Bar
from pecl.report.plots import Drawing
from pecl.report.plots.style import LOOKS
from pecl.report.tables import BEST, Report, best_of_methods, by_group, group_of
from pecl.report.tables.formats import html_table, to_html
from pecl.report.tables.methods import method_labels
from pecl.report.tables.table import RUN, SHORT_ID, Frame, frame_of
from pecl.results.folder import Nearest, read_manifest, read_retrieved
from pecl.results.result import Result

FILE = "index.html"
_PIXELS = 130  # per inch of a plot: 8-point letters then have the size of the page's text
FOUND_AT = (1, 5, 10)  # a caption is found if its item is among the first k
_SIZE = 120  # pixels of an image's longer side; about 4 KiB per image
ISO_639 = {"jp": "ja"}  # a data set's code -> value of the attribute lang


def write_page(
    folder: str | Path,
    results: Sequence[Result],
    report: Report,
    drawing: Drawing,
    captions: int,
    data_dir: str | Path | None = None,
) -> Path:
    """Write the page of `results`, their tables and plots to `folder`/index.html, atomically, and return its path.

    Each language and route shows `captions` test captions; 0 omits the gallery. `data_dir` is the root of the data sets
    with captions and images; by default that of each run, or $PECL_DATA_DIR.

    Raises:
        DataError: an image is damaged; nothing is written then.
        OutputError: the folder cannot be written.
    """
    check_writable(folder)
    gallery = Gallery(results if captions else [], captions, data_dir)
    # Autoescape: captions, paths and names of users' data are text, whatever is in them.
    environment = Environment(
        loader=PackageLoader("pecl.report.page", "static"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    runs, software = _frames(results)
    html = environment.get_template("page.html").render(
        looks=LOOKS,
        results=results,
        tables=Markup(to_html(report.tables, ids=True)),
        report=report,
        plots=[
            (one, base64.b64encode(one.render("svg")).decode(), round(one.figure.get_figwidth() * _PIXELS))
            for one in drawing.plots
        ],
        not_drawn=drawing.not_drawn,
        run_table=Markup(html_table("Commands that repeat the runs", runs)),
        software=Markup(html_table("Versions", software)),
        gallery=gallery,
    )
    return write_text(Path(folder) / FILE, html)


def _frames(results: Sequence[Result]) -> tuple[Frame, Frame]:
    """Return a row per run, with the command that repeats it, and a row per set of versions, commit and machine."""
    numbers: dict[str, int] = {}
    runs = [
        {
            RUN: result.run_id,
            "status": result.status,
            "data set": result.config.dataset,
            **{name: getattr(result.config, name) for name in ("language", "route", "seed")},
            "software": numbers.setdefault(repr(result.environment), len(numbers) + 1),
            "command": result.command,
        }
        for result in results
    ]
    made = {numbers[repr(result.environment)]: result.environment for result in results}
    dirty = {True: "with uncommitted changes", False: "clean", None: "not a checkout"}
    software = [
        {"software": number, "runs": sum(run["software"] == number for run in runs), "commit": one.commit}
        | {"checkout": dirty[one.dirty], **one.versions, **asdict(one.machine)}
        for number, one in made.items()
    ]
    return frame_of(runs), frame_of(software).dropna(axis="columns", how="all").fillna("-")


def choose(before: Sequence[int], after: Sequence[int], limit: int) -> list[int]:
    """Return the positions of at most `limit` captions, ascending.

    Three eighths are the captions whose rank improved by the largest ratio, three eighths those whose rank worsened by
    the largest ratio; the rest is spread evenly over the captions in between.
    """
    if limit >= len(before):
        return list(range(len(before)))
    order = np.argsort(np.log(after) - np.log(before), kind="stable")
    most = round(limit * 3 / 8)
    gained, between, lost = np.split(order, [most, len(order) - most])
    rest = between[np.linspace(0, len(between) - 1, limit - 2 * most).astype(int)]
    return sorted(np.concatenate([gained, rest, lost]).tolist())


class Gallery:
    """The items that the best candidate of each language and method retrieved, for `captions` test captions.

    Attributes:
        groups: groups of cards, one per language and method.
        pictures: thumbnails as data: URIs; cards refer to them by number.
        notes: runs that are left out, with the reason: their data are missing, or have changed.

    Raises:
        DataError: an image is damaged.
    """

    def __init__(self, results: Sequence[Result], captions: int, data_dir: str | Path | None = None) -> None:
        self.groups: list[dict[str, Any]] = []
        self.pictures: list[str] = []
        self._numbers: dict[tuple[str, str], int] = {}  # (data set, image) -> number
        load = cache(load_captions)  # routes of a language share their data
        trained = [result for result in results if result.status == "complete" and result.kind == "train"]
        candidates = [candidate for runs in by_group(trained).values() for candidate in best_of_methods(runs)]
        labels, _ = method_labels(candidate.method for candidate in candidates)
        left_out: dict[str, list[str]] = {}  # reason -> runs
        order = sorted(candidates, key=lambda one: -one.gain)  # the page opens on the first
        for one in Bar(order, desc="pictures", unit="group", leave=False):
            try:
                data, test, retrieved = _data(one.chosen_run, load, data_dir)
            except (ConfigError, DataError) as reason:
                left_out.setdefault(str(reason), []).append(one.chosen_run.run_id[:SHORT_ID])
                continue
            group = self._group(one.chosen_run, data, test, retrieved, captions)
            self.groups.append(group | {"look": one.method.look, "label": labels[one.method] + group["label"]})
        self.notes = [f"{reason}; left out: runs {', '.join(runs)}" for reason, runs in left_out.items()]

    def _group(
        self, result: Result, data: ParallelCaptions, test: Sequence[int], retrieved: Nearest, limit: int
    ) -> dict[str, Any]:
        kind, query = result.data.gallery.kind, result.data.query["test"]
        before, after = (result.ranks(result.data.gallery.directions[1], stage=stage) for stage in ("zero_shot", BEST))
        wanted = [one if kind == "english" else not_none(data.image_index, "image_index")[one] for one in test]
        places = choose(before, after, limit)
        items = sorted({item for p in places for item in (wanted[p], *retrieved["zero_shot"][p], *retrieved[BEST][p])})
        # English captions keep their index in the data set, since two of them may be equal.
        shown = {item: item for item in items}
        if kind != "english":
            images = not_none(data.images, "images")
            ids = images.ids  # drawn scenes compute theirs at each access
            for item in items:
                shown[item] = self._numbers.setdefault((result.config.dataset, ids[item]), len(self.pictures))
                if shown[item] == len(self.pictures):
                    self.pictures.append(jpeg_uri(small_jpeg(images.load(item), _SIZE)))
        cards = [
            {
                "caption": data.target[test[place]],
                "english": data.english[test[place]] if data.english else "",
                "wanted": shown[wanted[place]],
                "before": [shown[item] for item in retrieved["zero_shot"][place]],
                "after": [shown[item] for item in retrieved[BEST][place]],
                "ranks": [before[place], after[place]],
                # if the query is not the caption itself
                **({"query": getattr(data, query)[test[place]]} if query != "target" else {}),
            }
            for place in places
        ]
        was, now = (np.greater_equal.outer(FOUND_AT, ranks) for ranks in (before, after))  # (k, captions)
        changes = {"gained": now & ~was, "lost": was & ~now, "unchanged": was == now}
        code = result.config.language
        return {
            "language": code,
            "lang": ISO_639.get(code, code),
            "name": language_name(code),
            "query_lang": "en" if query == "target_to_english" else None,
            "label": f", {result.adapter.spec} ({data.dataset}, gallery {group_of(result).gallery})",
            "run": result.run_id,
            "captions": len(before),
            "counts": {k: {kind: int(own[i].sum()) for kind, own in changes.items()} for i, k in enumerate(FOUND_AT)},
            "texts": {item: not_none(data.english, "english")[item] for item in items} if kind == "english" else None,
            "cards": cards,
        }


def _data(
    result: Result, load: Callable[..., ParallelCaptions], data_dir: str | Path | None
) -> tuple[ParallelCaptions, list[int], Nearest]:
    """Return the data of a run, the indices of its test captions, and the items that they retrieved.

    Raise DataError if a part is missing, or differs from the data of the run.
    """
    manifest, retrieved = read_manifest(result), read_retrieved(result)
    if manifest is None or retrieved is None:
        raise DataError("Manifest or retrieved items are not next to the results: train again to see captions here")
    values = {field: getattr(result.config, field) for field in fields_of(Role.DATA)}
    folder = data_dir or result.config.data_dir
    data = load(make_config({**values, "data_dir": folder and str(folder)}), (result.data.query["test"],))
    found, shown = data.hashes(), manifest["gallery"]
    wrong = [name for name, sha in result.data.sha256.items() if sha and found[name] and sha != found[name]]
    ids = data.images.ids if data.images else ()
    if shown["kind"] == "images" and [ids[i] for i in shown["items"]] != shown["ids"]:
        wrong.append("gallery")
    if wrong:
        raise DataError(
            f"{data.dataset}/{data.language} is not what its runs were made with: its {wrong[0]} differs; point "
            "--data-dir at the data they were made with"
        )
    return data, manifest["indices"]["test"], retrieved
