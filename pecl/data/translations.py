"""The released machine translations of XTD10 and Multi30K in both directions, with a check for copied files.

Layout (the authors' repository): `<folder>/translated_from_en/` holds English captions in the target language and
`<folder>/translated_to_en/` target captions in English. The authors do not name the translator.

XTD10's `translated_from_en/ko.txt` is a copy of `it.txt`. A file that equals another language's is therefore refused,
unless it is allowed. Only needed directions are read and checked.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pecl.data.captions import read_captions, resolve_captions_file
from pecl.data.provenance import read_provenance
from pecl.data.reading import describe_file, read_parallel
from pecl.data.released import released_file
from pecl.data.request import DataRequest
from pecl.errors import DataError

logger = logging.getLogger(__name__)

_TRANSLATOR = "not named by the authors"
COPY_SHARE = 0.9  # honest translations of two languages share at most 9 % of their lines (French and English)


@dataclass(frozen=True)
class TranslationFolder:
    """The translation files of one data set, and its caption files; for `data_dir` and `name` see `released_file`."""

    data_dir: Path
    name: str
    languages: tuple[str, ...]  # of the release
    captions_file: Callable[[str], Path]  # of a language's human captions, parallel to its translations
    split: str | None = None

    def file(self, direction: str, language: str) -> Path:
        """Return the file of the translations of `language` in a `direction` of `TRANSLATION_FOLDERS`."""
        return released_file(self.data_dir, self.name, direction, language, self.split)


def read_translations(
    folder: TranslationFolder, request: DataRequest
) -> tuple[dict[str, tuple[str, ...]], dict[str, dict[str, Any]]]:
    """Read the needed directions; return columns and their provenance (translator, file, SHA-256) by direction.

    English is its own translation: its captions are returned. With `allow_copied_translations` a file that is a copy of
    another language's is read, and the provenance says so.

    Raises:
        DataError: a file is missing, of another length than the captions, or a copy of another language's.
    """
    language = request.language
    columns, provenance = {}, {}
    for direction in request.need:
        if language == "en":
            columns[direction] = read_captions(folder.captions_file("en"))
            provenance[direction] = {"translator": "none: English is its own translation"}
            continue
        file = folder.file(direction, language)
        if not resolve_captions_file(file).exists():
            there = ", ".join(sorted(entry.name for entry in file.parent.glob("*"))) or "nothing"
            raise DataError(f"no machine translations {file}: {file.parent} holds {there} (see data/README.md)")
        source = "en" if direction == "english_to_target" else language
        lines = read_parallel({"captions": folder.captions_file(source), "translations": file})["translations"]
        made = read_provenance(file)  # exists if `pecl data translate` wrote the file
        translator = made.get("translator", "not stated") if made else _TRANSLATOR
        provenance[direction] = {"translator": translator, **describe_file(file, folder.data_dir)}
        original = _copied_from(folder, direction, language, lines)
        if original is not None:
            if not request.allow_copied_translations:
                raise DataError(
                    f"{file} is a copy of {original}, so it holds no {direction.replace('_', ' ')} translations of "
                    f"{language!r}: put the right file there, choose a route that does not need it, or pass "
                    "--allow-copied-translations (allow_copied_translations=True)"
                )
            logger.warning("using %s although it is a copy of %s", file, original)
            provenance[direction]["copied_from"] = describe_file(original, folder.data_dir)["file"]
        columns[direction] = lines
    return columns, provenance


def _copied_from(folder: TranslationFolder, direction: str, language: str, lines: Sequence[str]) -> Path | None:
    """Return the other language's file that `lines` repeat, or None if there is none or `lines` are the original."""
    for other in folder.languages:
        file = folder.file(direction, other)
        if other == language or not file.exists() or _share_equal(lines, read_captions(file)) < COPY_SHARE:
            continue
        # Both files hold the same text. Translations from English show their language; those to English do not.
        if direction == "target_to_english":
            return file
        own, rival = (_resemblance(lines, read_captions(folder.captions_file(code))) for code in (language, other))
        if own <= rival:
            return file
    return None


def _share_equal(lines: Sequence[str], others: Sequence[str]) -> float:
    """Return the share of lines that equal the other file's at the same place."""
    return sum(a == b for a, b in zip(lines, others, strict=False)) / max(len(lines), len(others), 1)


def _resemblance(lines: Sequence[str], captions: Sequence[str]) -> float:
    """Return the mean share of a line's character bigrams that are in its caption: works in every script."""
    shares = []
    for line, caption in zip(lines, captions, strict=False):
        bigrams, rivals = ({text[i : i + 2] for i in range(len(text) - 1)} for text in (line, caption))
        shares.append(len(bigrams & rivals) / max(len(bigrams), 1))
    return sum(shares) / max(len(shares), 1)
