"""Data in memory: a sequence of rows with Pillow images, such as a Hugging Face `datasets.Dataset`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from PIL import Image

from pecl.data.captions import ParallelCaptions
from pecl.data.custom.tables import find_columns, translation_records
from pecl.errors import DataError
from pecl.files import sha256_bytes
from pecl.files.images import ImageFiles, some_of, to_rgb
from pecl.language.languages import any_language_code


@dataclass(frozen=True)
class RowImages:
    """Images in a column of rows, read on demand: Pillow images, or paths. `row_of` has the row of each image."""

    rows: Sequence[Mapping[str, Any]]
    column: str
    row_of: tuple[int, ...]

    def __repr__(self) -> str:
        return f"RowImages({self.column!r}, {some_of(self.ids, len(self))})"

    @property
    def ids(self) -> tuple[str, ...]:
        """Row numbers, counted from 0."""
        return tuple(str(row) for row in self.row_of)

    def __len__(self) -> int:
        return len(self.row_of)

    def load(self, index: int, expected: str | None = None) -> Image.Image:
        """Return image `index` in RGB mode. Raise DataError if it cannot be read."""
        value = self.rows[self.row_of[index]][self.column]
        if isinstance(value, (str, Path)):
            return ImageFiles((Path(value),)).load(0)

        cell = f"row {self.row_of[index]}, column {self.column!r}"
        if not isinstance(value, Image.Image):
            raise DataError(f"{cell}: expected a Pillow image or a path, got {type(value).__name__}")

        try:
            return to_rgb(value)
        except Exception as error:  # Pillow decodes on first use, and raises any exception
            raise DataError(f"{cell}: cannot read the image: {error}") from error

    def fingerprint(self, index: int) -> str:
        """Return the SHA-256 of the image's size and RGB pixels."""
        image = self.load(index)
        return sha256_bytes(f"{image.width}x{image.height}:".encode() + image.tobytes())

    def subset(self, indices: Sequence[int]) -> "RowImages":
        """Return the images at `indices`, in that order."""
        return RowImages(self.rows, self.column, tuple(self.row_of[i] for i in indices))


def from_dataset(
    dataset: Sequence[Mapping[str, Any]],
    language: str,
    *,
    image_column: str | None = "image",
    english_column: str | None = "en",
    target_column: str | None = None,
    part_column: str | None = None,
    need: Iterable[str] = (),
    name: str = "in-memory",
) -> ParallelCaptions:
    """Return a data set from rows in memory; a caption column has a text, or a list of texts, about the row's image.

    Args:
        dataset: any sequence of mappings, e.g. a `datasets.Dataset`.
        language: code, name or alias of the target language; the column may have another of its
            codes (`ja`, `jp`).
        image_column: column of Pillow images or paths; None for text only.
        english_column: column of English captions; None for a set without.
        target_column: column of captions in the target language; by default named like `language`.
        part_column: column of train, val or test; None for a few-shot split.
        need: machine translations to read from columns named as in `tables`: `en_to_de`, `de_to_en`.
        name: name of the data set in results.

    Raises:
        ConfigError: no such language.
        DataError: no rows, a missing column, values other than texts, or columns with different
            numbers of texts.
    """
    if len(dataset) == 0:
        raise DataError("the data set has no rows")

    language = any_language_code(language)
    column_names = getattr(dataset, "column_names", None) or list(dataset[0])
    other_columns = [column for column in (image_column, part_column) if column is not None]
    columns = find_columns("the data set", column_names, language, need, english_column, target_column, other_columns)
    target = columns["target"]

    texts = {
        column: [_as_texts(value, column, row) for row, value in enumerate(_column(dataset, column))]
        for column in dict.fromkeys(columns.values())
    }
    for column, values in texts.items():
        for row, (value, first) in enumerate(zip(values, texts[target], strict=True)):
            if len(value) != len(first):
                raise DataError(f"row {row}: {len(value)} texts in {column!r} but {len(first)} in {target!r}")

    image_index = tuple(row for row, captions in enumerate(texts[target]) for _ in captions)
    part = None if part_column is None else list(_column(dataset, part_column))
    captions = {key: tuple(text for value in texts[column] for text in value) for key, column in columns.items()}
    return ParallelCaptions(
        name,
        language,
        **{"english": None, **captions},
        images=None if image_column is None else RowImages(dataset, image_column, tuple(range(len(dataset)))),
        image_index=None if image_column is None else image_index,
        part=None if part is None else tuple(part[row] for row in image_index),
        provenance={"translations": translation_records(columns)},
    )


def _column(dataset: Sequence[Mapping[str, Any]], name: str) -> Iterable[Any]:
    # a datasets.Dataset: reading rows would decode every image
    if hasattr(dataset, "column_names"):
        return cast("Mapping[str, Iterable[Any]]", dataset)[name]
    return [row.get(name) for row in dataset]


def _as_texts(value: Any, column: str, row: int) -> list[str]:
    texts = value if isinstance(value, (list, tuple)) else [value]
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise DataError(f"row {row}, column {column!r}: expected a text or a list of texts, got {value!r}")
    return [text.strip() for text in texts]
