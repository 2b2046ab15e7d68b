"""`EmbedJob`: items to embed, their tower and the output folder. `Worker`: computes the shards of a job.

Each shard is computed and written by one worker, and an existing shard is not computed again: a killed command loses
only its current shards, and the same command resumes there.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pecl.adapters.adapter import attach
from pecl.adapters.choice import PLAIN, AdapterChoice, KnownAdapters
from pecl.adapters.formats.files import AdapterFile
from pecl.adapters.spec import describe
from pecl.bulk.folder import Plan, check_plan, ids_digest, open_embeddings, write_plan
from pecl.bulk.sources import IMAGES, Pictures, SourceSpec, Texts
from pecl.encoders.embeddings import Embeddings, unusable_rows
from pecl.encoders.towers import Towers, load_towers
from pecl.errors import ConfigError, DataError, not_none
from pecl.files import LOCK, check_writable, locked, sha256_bytes
from pecl.files.progress import Bar

logger = logging.getLogger(__name__)

ROWS = 16_384  # rows of a shard, unless the number of shards is given
IMAGE_BATCH = 32
TOWERS = ("profile", "text_model", "image_model", "device", "precision")  # arguments of `load_towers` that a flag names


@dataclass(frozen=True)
class EmbedJob:
    """The arguments of `embed`: the only input of a worker on another machine. `towers` has at least the profile."""

    source: SourceSpec
    out: str
    shards: int | None
    adapter: str | None
    batch_size: int
    normalize: bool
    towers: dict[str, Any]

    def __post_init__(self) -> None:
        for name, value in (("source", self.source.name), ("out", self.out)):
            if not value or "\0" in value:
                raise ConfigError(f"{name}: expected a path, got {value!r}")
        for name in ("shards", "batch_size"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ConfigError(f"{name}: expected a whole number >= 1, got {value!r}")

    def choice(self) -> AdapterChoice:
        """Return the adapter that embeds the texts, or the plain tower; errors are those of `KnownAdapters`."""
        known = KnownAdapters(self.towers["profile"], text_model=self.towers.get("text_model"))
        return known.choose(self.adapter, self.source.text_language)


def run_job(job: EmbedJob, worker: "Worker") -> Embeddings:
    """Compute all shards that are not there, in this process, and return the embeddings."""
    with started(job, worker) as missing, progress_bar(worker.plan, missing) as bar:
        for shard in missing:
            worker.write(shard, bar.update)
    return open_embeddings(job.out, check=False)


@contextmanager
def started(job: EmbedJob, worker: "Worker") -> Iterator[list[int]]:
    """Lock a job's folder, write its plan, and yield the shards that are not there.

    A failure before the first shard leaves nothing. OutputError says that the folder holds other embeddings or cannot
    be written, BusyError that another process is at work on it.
    """
    folder, plan = Path(job.out), worker.plan
    check_writable(folder)
    check_plan(folder, plan)
    if worker.choice is not None:
        logger.info("%s", worker.choice.sentence)
    with _without_empty_folders(folder), locked(folder / LOCK, f"{folder} is being written by another process"):
        written = write_plan(folder, plan, worker.source.ids)
        try:
            yield [shard for shard in range(plan.shards) if not plan.is_done(folder, shard)]
        except BaseException:
            if not any(path.exists() for path in plan.paths(folder)):
                for path in reversed(written):  # the plan last: it marks the others as pecl's
                    path.unlink(missing_ok=True)
            raise


@contextmanager
def _without_empty_folders(folder: Path) -> Iterator[None]:
    """Remove afterwards `folder` and folders above it that were made in the body and are empty."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        yield
    finally:
        for one in missing:
            with suppress(OSError):  # it holds something
                one.rmdir()


def progress_bar(plan: Plan, missing: Sequence[int]) -> Bar:
    """Return the bar of a job, which counts rows."""
    left = sum(stop - start for start, stop in map(plan.part, missing))
    return Bar(total=plan.rows, initial=plan.rows - left, desc="embed", unit=plan.kind.removesuffix("s"), leave=False)


class Worker:
    """Source and tower of a job, which compute one shard at a time. A caller may pass the opened source."""

    def __init__(self, job: EmbedJob, source: Texts | Pictures | None = None) -> None:
        self.job = job
        self.source = source or job.source.open()
        self.towers: Towers = load_towers(**job.towers)
        is_image = self.source.kind == IMAGES
        if is_image and job.adapter not in (None, PLAIN):
            raise ConfigError(f"adapter: expected none with images, got {job.adapter}: it belongs to the text tower")
        tower = self.towers.image if is_image else self.towers.text
        precision = {} if is_image else {"precision": self.towers.text.precision}
        self.choice = None if is_image else job.choice()
        file = None if self.choice is None else self.choice.read(self.towers.text)
        rows = len(self.source)
        self.plan = Plan(
            kind=self.source.kind,
            source=job.source.name,
            source_digest=self.source.digest,
            rows=rows,
            shards=min(job.shards or -(-rows // ROWS), max(rows, 1)) or 1,
            tower={"name": tower.name, "fingerprint": tower.fingerprint, **precision},
            adapter=None if file is None else {**_describe(file), "name": not_none(self.choice, "choice").name},
            normalize=job.normalize,
            ids_sha256=ids_digest(self.source.ids()),
        )
        if file is not None:
            attach(self.towers.text, file.configs).load_slot_state(0, file.state)

    def write(self, shard: int, progress: Callable[[int], object] | None = None) -> None:
        """Compute a shard and write it, atomically; `progress` is called with the numbers of rows that are done."""
        start, stop = self.plan.part(shard)

        def batches() -> Iterator[torch.Tensor]:
            row = start
            for batch in self._embed(start, stop):
                if bad := unusable_rows(batch):
                    by = self.plan.tower["name"] if self.job.adapter is None else f"the adapter {self.job.adapter}"
                    rows = f"{len(bad)} of rows {row} to {row + len(batch) - 1}, the first {row + bad[0]}"
                    raise DataError(
                        f"{self.job.source.name}: the embeddings of {rows} (shard {shard}) hold NaN or infinity, as "
                        f"{by} gives them: check its parameters"
                    )
                row += len(batch)
                yield batch
                if progress is not None:
                    progress(len(batch))

        Embeddings.write(self.plan.path(Path(self.job.out), shard), batches(), self.plan.metadata(shard))

    def _embed(self, start: int, stop: int) -> Iterator[torch.Tensor]:
        source, normalize = self.source, self.job.normalize
        if isinstance(source, Pictures):
            for first in range(start, stop, IMAGE_BATCH):
                pictures = source.load(first, min(first + IMAGE_BATCH, stop))
                yield self.towers.image.encode_image(pictures, normalize=normalize)
        else:  # a shard at once, so that texts of one length meet
            yield self.towers.text.encode_text(source.load(start, stop), self.job.batch_size, normalize=normalize)


def _describe(file: AdapterFile) -> dict[str, str | None]:
    bits = ((name, value.reshape(-1).view(torch.uint8)) for name, value in sorted(file.state.items()))
    content = b"".join(name.encode() + value.numpy().tobytes() for name, value in bits)  # numpy has no bfloat16
    return {"adapter": describe(file.configs), "language": file.language, "digest": sha256_bytes(content)}
