"""`EmbedJob`: source, towers and output of a job. `Items`: its texts or images. `Embedder`: computes its shards.

Items come from a folder of images, a file of lines, a table, a data set, or a caller's list; any
range can be read without the rest. Each shard is written whole by one worker, and existing shards
are not computed again: a killed command loses only its current shards, and the same command resumes there.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pecl.adapters.adapter import attach
from pecl.adapters.choice import PLAIN, AdapterChoice, KnownAdapters
from pecl.adapters.spec import describe
from pecl.apps.bulk.shards import describe_difference, shard_metadata, shard_path, shards_of, write_shard
from pecl.backends import check_backend, set_backend
from pecl.data.captions import ENGLISH_COLUMNS, stripped_lines
from pecl.data.custom.photographs import find_photographs
from pecl.data.custom.tables import TABLE_SUFFIXES, suffix_of
from pecl.data.registry import DATASETS, load_dataset
from pecl.encoders import towers
from pecl.encoders.embeddings import unusable_rows
from pecl.encoders.towers import Towers
from pecl.errors import ConfigError, DataError, OutputError, is_text, unknown
from pecl.files import check_writable, sha256_bytes, sha256_json, sha256_lines
from pecl.files.columns import column_of
from pecl.files.images import ImageSource
from pecl.files.progress import Bar
from pecl.language.languages import ENGLISH, any_language_code
from pecl.machine import AUTO, FP32

logger = logging.getLogger(__name__)

ROWS = 16_384  # rows of a shard
IMAGE_BATCH = 32
# arguments of `load_towers` that a flag names
TOWERS = ("profile", "text_model", "image_model", "device", "precision")
IMAGES, TEXTS = KINDS = ("images", "texts")
COLUMNS = ("target", "english", "english_to_target", "target_to_english")
_DEFAULT_LANGUAGE = "de"  # language of a table or data set, as in all commands


@dataclass(frozen=True)
class Items:
    """Texts or images, with a fingerprint: of their content, or of the names, sizes and times of a folder's files."""

    content: Any  # texts, or an `ImageSource`
    fingerprint: str
    names: Sequence[str] | None = None  # of images; texts are numbered from 1

    def __len__(self) -> int:
        return len(self.content)

    @property
    def kind(self) -> str:
        """`images` or `texts`."""
        return TEXTS if self.names is None else IMAGES

    def ids(self, rows: range) -> Sequence[str]:
        """Return the names of a range of rows."""
        if self.names is None:
            return [str(row + 1) for row in rows]
        return self.names[rows.start : rows.stop]

    def load(self, rows: range) -> Any:
        """Return a list of the texts in `rows`, or an iterator of its images; DataError names an unreadable image."""
        if self.names is None:
            return list(self.content[rows.start : rows.stop])
        return map(self.content.load, rows)


def text_items(texts: Sequence[str]) -> Items:
    """Return texts as items."""
    return Items(texts, sha256_lines(texts))


def _image_items(images: ImageSource, names: Sequence[str], identities: Sequence[Any]) -> Items:
    for name in names:
        if not is_text(name):
            raise DataError(f"image {name!r}: expected a name in UTF-8; rename the file")
    return Items(images, sha256_json(identities), names)


def _lines(path: Path) -> Iterator[str]:
    for number, line in enumerate(stripped_lines(path), 1):
        if not line:
            raise DataError(f"{path}, line {number}: empty, expected a text on every line")
        yield line


@dataclass(frozen=True)
class EmbedJob:
    """The arguments of `embed`: the only input of a worker on another machine. `towers` has at least the profile."""

    source: str
    kind: str | None
    language: str | None
    column: str
    data_dir: str | Path | None
    out: str
    adapter: str | Path | None
    batch_size: int
    normalize: bool
    towers: dict[str, Any]
    backend: str = AUTO

    def __post_init__(self) -> None:
        check_backend(self.backend, str(self.towers.get("device", "cpu")), self.towers.get("precision", FP32))
        for field, value, choices in (("kind", self.kind or IMAGES, KINDS), ("column", self.column, COLUMNS)):
            if value not in choices:
                raise ConfigError(unknown(field, value, choices), field=field)

        if self.language is not None:
            any_language_code(self.language)  # raises the error

        for name, value in (("source", self.source), ("out", self.out)):
            if not value:
                raise ConfigError(field=name, expected="a path", got=repr(value))

        if not isinstance(self.batch_size, int) or self.batch_size < 1:
            raise ConfigError(f"expected a whole number >= 1, got {self.batch_size!r}", field="batch_size")

    def choice(self) -> AdapterChoice:
        """Return the adapter that embeds the texts, or the base encoder; for errors see `KnownAdapters`."""
        adapters = KnownAdapters(self.towers["profile"], text_model=self.towers.get("text_model"))
        return adapters.choose(self.adapter, self.spoken)

    @property
    def spoken(self) -> str | None:
        """Language of the texts; None for a file of lines, or a list, whose language is not named."""
        if self._has_columns():
            if self.column in ENGLISH_COLUMNS:
                return ENGLISH
            return self.language or _DEFAULT_LANGUAGE
        return self.language

    def _has_columns(self) -> bool:
        return self.source in DATASETS or suffix_of(Path(self.source)) in TABLE_SUFFIXES

    def open(self) -> Items:
        """Return the items; raise DataError if the source is missing, damaged, or holds nothing of the kind."""
        path = Path(self.source)
        if not self._has_columns():
            if path.is_dir():
                return self._folder(path)
            if path.is_file():
                if self.kind == IMAGES:
                    raise DataError(f"{path}: expected a folder of images, a table or a data set, got a file of lines")
                return text_items(column_of(_lines(path)))

        language = self.language or _DEFAULT_LANGUAGE
        text_only = self.kind != IMAGES
        need = (self.column,) if text_only and "_to_" in self.column else ()
        captions = load_dataset(self.source, language, data_dir=self.data_dir, need=need, text_only=text_only)
        if text_only:
            return text_items(getattr(captions, self.column))

        images = captions.images
        if images is None:
            raise DataError(f"{captions.dataset} has no images here")
        return _image_items(images, images.ids, [images.fingerprint(i) for i in range(len(images))])

    def _folder(self, path: Path) -> Items:
        if self.kind == TEXTS:
            raise DataError(f"{path}: expected a file of lines, a table or a data set for texts, got a folder")

        folder = find_photographs(path)
        if folder.unreadable:
            name, why = next(iter(folder.unreadable.items()))
            raise DataError(f"cannot read {path / name}: {why} ({len(folder.unreadable)} in all)")

        if not folder.photographs:
            raise DataError(f"{path} holds no images, such as .jpg or .png files")

        identities = [
            (photograph.name, photograph.stamp.size, photograph.stamp.mtime_ns) for photograph in folder.photographs
        ]
        return _image_items(folder.images(), [photograph.name for photograph in folder.photographs], identities)


class Embedder:
    """Computes the rows of a job with its tower and adapter. A caller may pass the opened `source`.

    Attributes:
        metadata: metadata of each shard: tower, adapter, language, precision, source, and the
            number of rows in all.
    """

    def __init__(self, job: EmbedJob, source: Items | None = None) -> None:
        self.job = job
        self.source = job.open() if source is None else source
        self.towers: Towers = towers.load_towers(**{**job.towers, "precision": FP32})
        is_image = self.source.kind == IMAGES
        if is_image and job.adapter not in (None, PLAIN):
            raise ConfigError(
                f"expected none with images, got {job.adapter}: it belongs to the text tower", field="adapter"
            )

        tower = self.towers.image if is_image else self.towers.text
        set_backend(tower, job.backend, job.towers.get("precision", FP32), len(self.source))
        self.metadata = {
            "kind": self.source.kind,
            "source": job.source,
            "source_sha256": self.source.fingerprint,
            "rows": str(len(self.source)),
            "tower": tower.name,
            "tower_sha256": tower.fingerprint,
            "precision": tower.precision if tower.runtime is None else tower.runtime.precision,
            "normalize": str(job.normalize),
        }
        if tower.runtime is not None:
            self.metadata["backend"] = tower.runtime.name

        if not is_image:
            choice = job.choice()
            logger.info("%s", choice.sentence)
            self.metadata["adapter"] = choice.name
            file = choice.read(self.towers.text)
            language = job.spoken or (file and file.language)
            if language is not None:  # some towers read a text by its language
                self.metadata["language"] = any_language_code(language)

            if file is not None:
                bits = ((name, value.reshape(-1).view(torch.uint8)) for name, value in sorted(file.state.items()))
                # of any type
                content = b"".join(name.encode() + value.numpy().tobytes() for name, value in bits)
                self.metadata["adapter_sha256"] = sha256_bytes(describe(file.configs).encode() + content)
                attach(self.towers.text, file.configs).load_slot_state(0, file.state)

    @property
    def shards(self) -> range:
        """The numbers of all shards."""
        return range(-(-len(self.source) // ROWS) or 1)

    def rows(self, shard: int) -> range:
        """Return the rows of a shard."""
        return range(len(self.source))[shard * ROWS : (shard + 1) * ROWS]

    def bar(self, missing: Sequence[int]) -> Bar:
        """Return the progress bar for the missing shards, in rows."""
        total = len(self.source)
        remaining = sum(len(self.rows(shard)) for shard in missing)
        return Bar(total=total, initial=total - remaining, desc="embed", unit="row", leave=False)

    def missing(self) -> list[int]:
        """Return the numbers of the missing shards; raise OutputError for a shard of other embeddings."""
        check_writable(self.job.out)
        paths = {shard_path(self.job.out, shard): shard for shard in self.shards}

        existing = shards_of(self.job.out)
        for path in existing:
            try:
                actual = shard_metadata(path)
            except DataError as error:
                raise OutputError(f"{error}: choose another folder, or move the file") from error
            expected = {**self.metadata, "here": str(len(self.rows(paths.get(path, 0))))}
            difference = describe_difference(actual, expected)
            if difference:
                raise OutputError(f"{path} holds other embeddings ({difference}): choose another folder")

        return [shard for path, shard in paths.items() if path not in existing]

    def write(self, shard: int, progress: Callable[[int], object] = lambda _: None) -> None:
        """Compute a shard and write it, atomically; `progress` is called with the number of rows of each batch."""
        rows = self.rows(shard)
        embeddings = torch.cat(list(self.embed(rows, progress)))
        write_shard(shard_path(self.job.out, shard), self.source.ids(rows), embeddings, self.metadata)

    def embed(
        self,
        rows: range,
        progress: Callable[[int], object] = lambda _: None,
    ) -> Iterator[torch.Tensor]:
        """Yield the embeddings (B, D) float32 of `rows` in batches; raise DataError if a number is not finite."""
        row = rows.start
        for batch in self._batches(rows):
            bad = unusable_rows(batch)
            if bad:
                by = self.metadata["tower"] if self.job.adapter is None else f"the adapter {self.job.adapter}"
                rows_text = f"{len(bad)} of rows {row} to {row + len(batch) - 1}, the first {row + bad[0]}"
                raise DataError(
                    f"{self.job.source}: the embeddings of {rows_text} hold NaN or infinity, as {by} gives them: "
                    "check its parameters"
                )

            row += len(batch)
            yield batch.float().cpu()
            progress(len(batch))

    def _batches(self, rows: range) -> Iterator[torch.Tensor]:
        source = self.source
        normalize = self.job.normalize
        if source.kind == IMAGES:
            for i in range(0, len(rows), IMAGE_BATCH):
                yield self.towers.image.encode_ahead(source.load(rows[i : i + IMAGE_BATCH]), normalize=normalize)
        else:  # the whole shard, so that texts of one length share a batch
            language = self.metadata.get("language")
            yield self.towers.text.encode_text(
                source.load(rows), self.job.batch_size, language=language, normalize=normalize
            )
