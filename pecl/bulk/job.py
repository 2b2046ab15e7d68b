"""`EmbedJob`: items to embed, their tower and the output. `Embedder`: computes the shards of a job.

Each shard is written whole by one worker, and one that is there is not computed again: a killed command loses only its
current shards, and the same command resumes there.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from pecl.adapters.adapter import attach
from pecl.adapters.choice import PLAIN, AdapterChoice, KnownAdapters
from pecl.adapters.spec import describe
from pecl.bulk.shards import shard_metadata, shard_path, shards_of, write_shard
from pecl.bulk.sources import IMAGES, Pictures, SourceSpec, Texts
from pecl.encoders.embeddings import unusable_rows
from pecl.encoders.towers import Towers, load_towers
from pecl.errors import ConfigError, DataError, OutputError
from pecl.files import check_writable, sha256_bytes
from pecl.files.progress import Bar

logger = logging.getLogger(__name__)

ROWS = 16_384  # rows of a shard
IMAGE_BATCH = 32
TOWERS = ("profile", "text_model", "image_model", "device", "precision")  # arguments of `load_towers` that a flag names
NAMES = ("source", "tower", "adapter")  # metadata that only names; the rest must be equal in all shards of a folder


@dataclass(frozen=True)
class EmbedJob:
    """The arguments of `embed`: the only input of a worker on another machine. `towers` has at least the profile."""

    source: SourceSpec
    out: str
    adapter: str | None
    batch_size: int
    normalize: bool
    towers: dict[str, Any]

    def __post_init__(self) -> None:
        for name, value in (("source", self.source.name), ("out", self.out)):
            if not value:
                raise ConfigError(f"{name}: expected a path, got {value!r}")
        if not isinstance(self.batch_size, int) or self.batch_size < 1:
            raise ConfigError(f"batch_size: expected a whole number >= 1, got {self.batch_size!r}")

    def choice(self) -> AdapterChoice:
        """Return the adapter that embeds the texts, or the plain tower; errors are those of `KnownAdapters`."""
        known = KnownAdapters(self.towers["profile"], text_model=self.towers.get("text_model"))
        return known.choose(self.adapter, self.source.text_language)


class Embedder:
    """Source, tower and adapter of a job, which compute its rows. A caller may pass the opened source.

    Attributes:
        metadata: metadata of each shard; tower, adapter, precision, source, and the number of rows of all.
    """

    def __init__(self, job: EmbedJob, source: Texts | Pictures | None = None) -> None:
        self.job = job
        self.source = source or job.source.open()
        self.towers: Towers = load_towers(**job.towers)
        is_image = self.source.kind == IMAGES
        if is_image and job.adapter not in (None, PLAIN):
            raise ConfigError(f"adapter: expected none with images, got {job.adapter}: it belongs to the text tower")
        tower = self.towers.image if is_image else self.towers.text
        self.metadata = {
            "kind": self.source.kind,
            "source": job.source.name,
            "source_sha256": self.source.fingerprint,
            "rows": str(len(self.source)),
            "tower": tower.name,
            "tower_sha256": tower.fingerprint,
            "precision": "fp32" if is_image else self.towers.text.precision,
            "normalize": str(job.normalize),
        }
        if not is_image:
            choice = job.choice()
            logger.info("%s", choice.sentence)
            self.metadata["adapter"] = choice.name
            if (file := choice.read(self.towers.text)) is not None:
                bits = ((name, value.reshape(-1).view(torch.uint8)) for name, value in sorted(file.state.items()))
                content = b"".join(name.encode() + value.numpy().tobytes() for name, value in bits)  # of any type
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
        """Return the bar of the missing shards, which counts rows."""
        total, left = len(self.source), sum(len(self.rows(shard)) for shard in missing)
        return Bar(total=total, initial=total - left, desc="embed", unit="row", leave=False)

    def missing(self) -> list[int]:
        """Return the shards that are not in the folder; OutputError names one of other embeddings."""
        check_writable(self.job.out)
        paths = {shard_path(self.job.out, shard): shard for shard in self.shards}
        there = shards_of(self.job.out)
        for path in there:
            try:
                found = shard_metadata(path)
            except DataError as error:
                raise OutputError(f"{error}: choose another folder, or move the file") from error
            expected = {**self.metadata, "here": str(len(self.rows(paths.get(path, 0))))}
            for name in sorted(expected.keys() | found.keys()):
                if name not in NAMES and not name.startswith("ARROW") and found.get(name) != expected.get(name):
                    said = f"{name.replace('_', ' ')}: {found.get(name)}, not {expected.get(name)}"
                    raise OutputError(f"{path} holds other embeddings ({said}): choose another folder")
        return [shard for path, shard in paths.items() if path not in there]

    def write(self, shard: int, progress: Callable[[int], object] = lambda _: None) -> None:
        """Compute a shard and write it, atomically; `progress` is called with the numbers of rows that are done."""
        rows = self.rows(shard)
        embeddings = torch.cat(list(self.embed(rows, progress)))
        write_shard(shard_path(self.job.out, shard), self.source.ids(rows), embeddings, self.metadata)

    def embed(self, rows: range, progress: Callable[[int], object] = lambda _: None) -> Iterator[torch.Tensor]:
        """Yield the embeddings (B, D) float32 of rows, in batches; DataError says that a number is not finite."""
        row = rows.start
        for batch in self._batches(rows):
            if bad := unusable_rows(batch):
                by = self.metadata["tower"] if self.job.adapter is None else f"the adapter {self.job.adapter}"
                said = f"{len(bad)} of rows {row} to {row + len(batch) - 1}, the first {row + bad[0]}"
                raise DataError(
                    f"{self.job.source.name}: the embeddings of {said} hold NaN or infinity, as {by} gives them: "
                    "check its parameters"
                )
            row += len(batch)
            yield batch.float().cpu()
            progress(len(batch))

    def _batches(self, rows: range) -> Iterator[torch.Tensor]:
        source, normalize = self.source, self.job.normalize
        if isinstance(source, Pictures):
            for i in range(0, len(rows), IMAGE_BATCH):
                yield self.towers.image.encode_image(source.load(rows[i : i + IMAGE_BATCH]), normalize=normalize)
        else:  # a shard at once, so that texts of one length meet
            yield self.towers.text.encode_text(source.load(rows), self.job.batch_size, normalize=normalize)
