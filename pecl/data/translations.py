"""The released machine translations of XTD10 and Multi30K in both directions, with a check for copied files.

Layout (the authors' repository): `<folder>/translated_from_en/` holds English captions in the
target language and `<folder>/translated_to_en/` target captions in English. The authors do not name the translator.

XTD10's `translated_from_en/ko.txt` is a copy of `it.txt`. A file that equals another language's
therefore raises a DataError, unless the request allows it. Only needed directions are read and checked.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pecl.data.captions import read_captions, resolve_captions_file
from pecl.data.reading import DataRequest, describe_file, read_parallel, read_provenance
from pecl.errors import DataError, setting

logger = logging.getLogger(__name__)

# column of ParallelCaptions -> folder of the release
TRANSLATION_FOLDERS = {"english_to_target": "translated_from_en", "target_to_english": "translated_to_en"}

# data set -> folder of its released translations, and the name of a file there
RELEASED = {
    "xtd10": (Path("pectvlm", "datasets", "Cross-lingual-Test-Dataset-XTD10"), "{language}.txt"),
    "multi30k": (Path("pectvlm", "datasets", "Multi30K"), "{split}.{language}"),
}

COPY_SHARE = 0.9  # real translations into two languages share at most 9 % of their lines (French and English)


def released_file(
    data_dir: Path,
    name: str,
    direction: str,
    language: str,
    split: str | None = None,
) -> Path:
    """Return the file of the translations of `language`, which is not English, in a `data_dir` that holds `pectvlm`.

    `name` is a key of `RELEASED`, and `direction` one of `TRANSLATION_FOLDERS`.
    """
    folder, pattern = RELEASED[name]
    return data_dir / folder / TRANSLATION_FOLDERS[direction] / pattern.format(language=language, split=split)


def read_translations(
    request: DataRequest,
    name: str,
    languages: Sequence[str],
    captions_file: Callable[[str], Path],
    split: str | None = None,
) -> tuple[dict[str, tuple[str, ...]], dict[str, dict[str, Any]]]:
    """Read the needed directions; return columns and their provenance (translator, file, SHA-256) by direction.

    English is its own translation: its captions are returned. With `allow_copied_translations` a
    file that is a copy of another language's is read, and the provenance records it. `languages`
    are those of the release, and `captions_file` returns the file of a language's human captions,
    parallel to its translations. For `name` see `released_file`.
    """
    language = request.language
    columns = {}
    provenance = {}
    for direction in request.need:
        if language == "en":
            columns[direction] = read_captions(captions_file("en"))
            provenance[direction] = {"translator": "none: English is its own translation"}
            continue

        file_of = partial(released_file, request.root, name, direction, split=split)
        file = file_of(language)
        if not resolve_captions_file(file).exists():
            file_names = ", ".join(sorted(entry.name for entry in file.parent.glob("*"))) or "nothing"
            raise DataError(f"no machine translations {file}: {file.parent} holds {file_names} (see data/README.md)")

        source = "en" if direction == "english_to_target" else language
        lines = read_parallel({"captions": captions_file(source), "translations": file})["translations"]
        record = read_provenance(file)  # exists if `pecl data translate` wrote the file
        translator = "not named by the authors"
        if record:
            translator = record.get("translator", "not stated")

        provenance[direction] = {"translator": translator, **describe_file(file, request.root)}
        for other_language in languages:
            original = file_of(other_language)
            if other_language == language or not _is_copy(lines, original):
                continue
            # Both files hold the same text. Translations from English show their language; those to
            # English do not.
            if direction == "english_to_target":
                resemblance, other_resemblance = (
                    _resemblance(lines, read_captions(captions_file(code))) for code in (language, other_language)
                )
                if resemblance > other_resemblance:
                    continue
            if not request.allow_copied_translations:
                raise DataError(
                    f"{file} is a copy of {original}, so it holds no {direction.replace('_', ' ')} translations of "
                    f"{language!r}: put the right file there, choose a route that does not need it, or pass "
                    f"{setting(allow_copied_translations=True)}"
                )
            logger.warning("using %s although it is a copy of %s", file, original)
            provenance[direction]["copied_from"] = describe_file(original, request.root)["file"]
            break

        columns[direction] = lines

    return columns, provenance


def _is_copy(lines: Sequence[str], file: Path) -> bool:
    """Return whether nearly all lines equal those of a file, if there is one, at the same places."""
    other_lines: Sequence[str] = ()
    if resolve_captions_file(file).exists():
        other_lines = read_captions(file)

    equal = sum(line == other_line for line, other_line in zip(lines, other_lines, strict=False))
    return equal >= COPY_SHARE * max(len(lines), len(other_lines))


def _resemblance(lines: Sequence[str], captions: Sequence[str]) -> float:
    """Return the mean share of a line's character bigrams that are in its caption: works in every script."""
    shares = []
    for line, caption in zip(lines, captions, strict=False):
        bigrams, rivals = ({text[i : i + 2] for i in range(len(text) - 1)} for text in (line, caption))
        shares.append(len(bigrams & rivals) / max(len(bigrams), 1))
    return sum(shares) / max(len(shares), 1)
