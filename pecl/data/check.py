"""Check a data set: its files are the published ones, every language can be read, and its images open.

A user's own table is read as in training and evaluation.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pecl.data.captions import PARTS, ParallelCaptions, find_repeats, has_words
from pecl.data.custom.tables import Problem, check_captions_file, find_table, read_table, translation_names
from pecl.data.download import DOWNLOADS, caption_files, check_content, read_download_records
from pecl.data.published.multi30k import SPLIT_LANGUAGES
from pecl.data.reading import read_provenance
from pecl.data.registry import DATASETS, find_data_dir, load_dataset
from pecl.data.scenes import SceneImages
from pecl.data.splits import check_parts
from pecl.data.translations import RELEASED, TRANSLATION_FOLDERS, released_file
from pecl.errors import DataError, PeclError, not_none, unknown
from pecl.files import read_regular
from pecl.files.images import some_names, unreadable_images
from pecl.language.languages import CODE, COLUMN_WORDS

_MOST_SHOWN = 12  # most languages that are listed, and whose duplicates are listed


@dataclass
class Summary:
    """Counts of one split, filled language by language.

    `duplicates` are repeats of earlier items of the same part, for images and each language: "b.png as a.png".
    """

    rows: int = 0
    images: int | None = None  # None if they were not read
    languages: list[str] = field(default_factory=list)
    parts: dict[str, int] | None = None  # rows of each published part
    duplicates: dict[str, list[str]] = field(default_factory=dict)

    def add(self, captions: ParallelCaptions) -> None:
        """Count the captions of a language and, once, the English ones. Raise DataError as `check_parts` does."""
        if captions.part is not None:
            check_parts(captions)

        self.rows = len(captions)
        self.parts = None
        if captions.part:
            self.parts = {part: captions.part.count(part) for part in PARTS}

        for language, texts in (("en", captions.english), (captions.language, captions.target)):
            if texts is not None and language not in self.languages:
                self.languages.append(language)
                for rows in _galleries(captions):
                    owners = captions.image_index and [captions.image_index[row] for row in rows]
                    repeats = find_repeats([texts[row] for row in rows], owners)
                    self._note(
                        language, [f"row {rows[repeat] + 1} as {rows[first] + 1}" for repeat, first in repeats.items()]
                    )

    def add_images(self, captions: ParallelCaptions) -> None:
        """Count the images of a data set that has images. Raise DataError if one cannot be read."""
        images = not_none(captions.images, "images")
        image_index = not_none(captions.image_index, "image_index")
        self.images = len(images)

        for rows in _galleries(captions):
            gallery = list(dict.fromkeys(image_index[row] for row in rows))
            repeats = find_repeats([images.fingerprint(image) for image in gallery])
            names = [(images.ids[gallery[repeat]], images.ids[gallery[first]]) for repeat, first in repeats.items()]
            self._note("images", [f"{repeat} as {first}" for repeat, first in names])

    def _note(self, kind: str, repeats: list[str]) -> None:
        if repeats:
            self.duplicates.setdefault(kind, []).extend(repeats)

    def __str__(self) -> str:
        images = [] if self.images is None else [f"{self.images} images"]
        parts = ", ".join(f"{part} {count}" for part, count in (self.parts or {}).items())
        kinds = list(self.duplicates.items())[:_MOST_SHOWN]
        duplicates = ", ".join(f"{kind} {len(names)} ({some_names(names)})" for kind, names in kinds)
        if len(self.duplicates) > len(kinds):
            duplicates += f", ... of {len(self.duplicates)}"
        few = len(self.languages) <= _MOST_SHOWN
        languages = f"languages {' '.join(self.languages)}" if few else f"{len(self.languages)} languages"
        counts = ", ".join([f"{self.rows} rows", *images, languages])

        return "; ".join([counts, f"parts {parts}" if parts else "no parts", f"duplicates: {duplicates or 'none'}"])


def _galleries(captions: ParallelCaptions) -> list[Sequence[int]]:
    if captions.part is None:
        return [range(len(captions))]
    return [[row for row, name in enumerate(captions.part) if name == part] for part in PARTS]


@dataclass(frozen=True)
class CheckReport:
    """All problems of a data set, and its counts by split, or under the name of the data without splits."""

    problems: list[Problem]
    summaries: dict[str, Summary]


def check_table(path: str | Path, *, open_images: bool = True) -> CheckReport:
    """Check a table of captions, or the folder with it, in all its languages. Raise DataError if there is none."""
    problems = check_captions_file(path, open_images=open_images)
    summary = Summary()
    if problems:
        return CheckReport(problems, {})

    table = read_table(find_table(path))
    codes = [column for column in table.columns if column != "en" and re.fullmatch(CODE, column, re.IGNORECASE)]

    languages = [code for code in codes if code not in COLUMN_WORDS or has_words(row[code] for _, row in table.rows)]
    for language in languages or ["en"]:
        names = translation_names(language, TRANSLATION_FOLDERS)
        need = [direction for direction, name in names.items() if name in table.columns]
        try:
            captions = load_dataset(str(path), language, need=need, text_only=not open_images)
            summary.add(captions)
            if captions.images is not None and summary.images is None:
                summary.add_images(captions)
        except PeclError as error:
            return CheckReport([Problem(None, None, str(error))], {})

    return CheckReport([], {str(path): summary})


def check_dataset(
    name: str,
    data_dir: str | Path | None = None,
    *,
    open_images: bool = True,
) -> CheckReport:
    """Check a data set by name; `data_dir` as in `load_dataset`. With `open_images`, every image is read, too."""
    if name not in DATASETS:
        raise DataError(unknown("data set", name, DATASETS))

    try:
        root = find_data_dir(name, data_dir) if DATASETS[name].folders else None
    except DataError as error:
        return CheckReport([Problem(None, None, str(error))], {})

    summaries = {split or name: Summary() for split in DATASETS[name].splits or (None,)}
    problems = [*_text_problems(name, root, summaries)]
    if root is not None:
        problems += _file_problems(name, root)

    if open_images:
        problems += _image_problems(name, root, summaries, tuple(problems))
    # Once: a problem of the English captions comes up in several languages
    return CheckReport([Problem(None, None, message) for message in dict.fromkeys(problems)], summaries)


def _file_problems(name: str, root: Path) -> Iterator[str]:
    """Yield a problem for each file that differs from the published or downloaded one and was not made here."""
    folders = [*DATASETS[name].folders, *(["pectvlm"] if name in RELEASED else [])]
    for folder in folders:
        expected = {file.path: file.sha256 for file in (caption_files(folder) if folder in DOWNLOADS else [])}
        downloaded = {path: record["sha256"] for path, record in read_download_records(root, folder).items()}
        for path, sha256 in (downloaded | expected).items():
            file = root / path
            if not file.exists() or read_provenance(file) is not None:
                continue
            try:
                check_content(read_regular(file), sha256, path)
            except DataError as error:
                yield f"{file} is not the file that was published: {error}"


def _text_problems(name: str, root: Path | None, summaries: dict[str, Summary]) -> Iterator[str]:
    """Yield the errors of reading captions and machine translations of each language."""
    for split in DATASETS[name].splits or (None,):
        languages = DATASETS[name].languages
        if split and name in ("multi30k", "multi30k-full"):  # whose splits do not have all languages
            languages = SPLIT_LANGUAGES[split]

        for language in languages:
            try:
                captions = load_dataset(name, language, data_dir=root, split=split, text_only=True)
                summaries[split or name].add(captions)
            except DataError as error:
                yield str(error)

            for direction in _translated_directions(name, root, language, split):
                try:
                    load_dataset(name, language, data_dir=root, need=(direction,), split=split, text_only=True)
                except DataError as error:
                    yield str(error)


def _translated_directions(name: str, root: Path | None, language: str, split: str | None) -> list[str]:
    """Return the directions in which the data set has machine translations of a language."""
    if name not in RELEASED or language == "en":
        return []
    folder = Path(root or "")
    return [
        direction
        for direction in TRANSLATION_FOLDERS
        if released_file(folder, name, direction, language, split).exists()
    ]


def _image_problems(
    name: str,
    root: Path | None,
    summaries: dict[str, Summary],
    known_errors: Sequence[str],
) -> Iterator[str]:
    """Yield the count of missing images, and each error that is not in `known_errors`; drawn images are not checked."""
    languages = DATASETS[name].languages
    language = "en" if "en" in languages else languages[0]
    for split in DATASETS[name].splits or (None,):
        try:
            captions = load_dataset(name, language, data_dir=root, split=split, allow_missing_images=True)
        except DataError as error:
            if str(error) not in known_errors:
                yield f"{split or 'images'}: {error}"
            continue

        if captions.images is None:
            continue

        counts = captions.provenance.get("images")
        if isinstance(counts, dict) and counts["left_out"]:
            yield f"{split or name}: {counts['left_out']} of {counts['total']} images are missing"

        failed = {}
        if not isinstance(captions.images, SceneImages):
            failed = unreadable_images(captions.images)
        yield from map(str, failed.values())
        if not failed:
            summaries[split or name].add_images(captions)
