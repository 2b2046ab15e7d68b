"""`embed`: images or texts of any number into files, by one process or by many through Ray Data.

With Ray, each worker loads the towers once and writes the shards that it is given. `RAY_ADDRESS`
names a cluster, whose hosts need pecl and see source and folder under the same paths; without it,
Ray is started on this machine.
"""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pecl.apps.bulk.job import Embedder, EmbedJob, text_items
from pecl.apps.bulk.shards import shards_of
from pecl.config.plugins import load_plugins, loaded_plugins
from pecl.encoders.batches import as_texts
from pecl.errors import ConfigError, DataError, PeclError, RunError, install
from pecl.machine import AUTO, FP32, gpus_needed, resolve_precision, running_ray


class Embedded(NamedTuple):
    """The files that `embed` wrote, the number of rows in them, and their metadata."""

    paths: list[Path]
    rows: int
    metadata: dict[str, str]


def embed(
    source: str | Path | Iterable[str],
    out: str | Path,
    *,
    kind: str | None = None,
    language: str | None = None,
    column: str = "target",
    data_dir: str | Path | None = None,
    adapter: str | Path | None = None,
    batch_size: int = 64,
    normalize: bool = True,
    ray_workers: int | None = None,
    backend: str = AUTO,
    **towers: Any,
) -> Embedded:
    """Embed images or texts into a folder of parquet files with the columns `id` and `embedding`.

    A file has 16,384 rows. Existing files of the same job are kept, so a second call resumes a killed one.

    Args:
        source: a folder of images, a file of lines (.txt), a table, the name of a data set, or texts.
        out: the folder, new or of the same job.
        kind: images or texts; by default images for a folder, else texts.
        language: language of the texts, which selects the adapter and, for towers such as NLLB's,
            the language token; by default German for a table or a data set, and none for a file of
            lines or a list of texts, which the base encoder then embeds.
        column: column of texts in a table or a data set: target, english, english_to_target or target_to_english.
        data_dir: folder of the data sets.
        adapter: adapter for texts, in place of the known adapter of their language: a language
            (`cs`), towers and language (`mini:cs`), a path, or `none` for the base encoder.
        batch_size: texts in one pass.
        normalize: whether each embedding is scaled to length 1. A training with frozen anchors
            needs the tower's own lengths: False.
        ray_workers: number of workers of Ray Data, each with its own towers; None to work only in this process.
        backend: package that computes the towers' layers: torch, openvino, or auto, which is OpenVINO where it is
            installed and the number of items pays for reading its graph.
        towers: arguments of `load_towers`; by default the profile mini.

    Raises:
        PeclError: bad input, other embeddings in the folder, or a number that is not finite; files
            that were written before are kept.

    Example:
        >>> pecl.embed("photographs", "embedded").rows
        31014
        >>> pecl.open_embeddings("embedded").shape
        torch.Size([31014, 256])
    """
    items = None if isinstance(source, str | Path) else text_items(as_texts(source))
    job = EmbedJob(
        source=str(source) if items is None else "texts",
        kind=kind,
        language=language,
        column=column,
        data_dir=data_dir,
        out=str(out),
        adapter=adapter,
        batch_size=batch_size,
        normalize=normalize,
        towers={"profile": "mini", **towers},
        backend=backend,
    )
    if ray_workers is None:
        return _write_shards(Embedder(job, items))

    if items is not None:
        raise ConfigError("expected a source that other processes can open, got texts", field="ray_workers")

    metadata = _on_ray(job, ray_workers)
    return Embedded(shards_of(out), int(metadata["rows"]), metadata)


def _write_shards(embedder: Embedder) -> Embedded:
    missing = embedder.missing()
    with embedder.bar(missing) as bar:
        for shard in missing:
            embedder.write(shard, bar.update)
    return Embedded(shards_of(embedder.job.out), len(embedder.source), embedder.metadata)


class ShardWriter:
    """A worker, which Ray Data creates with a job, its metadata, and the plug-ins to load."""

    def __init__(self, job: EmbedJob, metadata: dict[str, str], plugins: list[str]) -> None:
        load_plugins(plugins)
        self._embedder = Embedder(job)
        self._metadata = metadata

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Write the shard of a batch; return its number of rows, and an error message or an empty text."""
        (shard,) = batch["shard"].tolist()
        failure = ""
        try:
            if self._embedder.metadata != self._metadata:
                raise DataError(f"{self._metadata['source']} or its towers differ on another machine, or changed")
            self._embedder.write(shard)
        except PeclError as error:  # a sentence for the user; Ray would show a traceback
            failure = str(error)

        return {"rows": np.array([len(self._embedder.rows(shard))]), "failure": np.array([failure], dtype=object)}


def _on_ray(job: EmbedJob, workers: int) -> dict[str, str]:
    """Compute the missing shards with `workers` workers, and return their metadata."""
    if workers < 1:
        raise ConfigError(f"expected a whole number >= 1, got {workers}", field="ray_workers")

    try:
        import ray.data
        from ray.exceptions import RayError
    except ImportError as error:
        raise ConfigError(f"embedding over Ray needs ray: {install('ray')}") from error

    job = _absolute(job)
    device = str(job.towers.get("device", "cpu"))
    # by the workers' device
    precision = resolve_precision(job.towers.get("precision", FP32), device)
    job = replace(job, towers={**job.towers, "precision": precision})
    # The metadata are made here: on the CPU if the workers are on a cluster, since this host may
    # have no GPU.
    on = "cpu" if "RAY_ADDRESS" in os.environ else device
    embedder = Embedder(replace(job, towers={**job.towers, "device": on}))
    missing = embedder.missing()
    if not missing:
        return embedder.metadata

    try:
        with embedder.bar(missing) as bar, running_ray(max(len(os.sched_getaffinity(0)), workers)):
            rows = ray.data.from_items([{"shard": shard} for shard in missing], override_num_blocks=len(missing))
            done = rows.map_batches(
                ShardWriter,
                fn_constructor_args=(job, embedder.metadata, loaded_plugins()),
                batch_size=1,
                concurrency=min(workers, len(missing)),
                num_gpus=gpus_needed(device) or None,
            )
            for row in done.iter_rows():
                if row["failure"]:
                    raise PeclError(row["failure"])
                bar.update(row["rows"])
    except RayError as error:
        last = str(error).strip().splitlines()[-1]
        raise RunError(f"Ray failed ({type(error).__name__}: {last}); the same command resumes from here") from error

    return embedder.metadata


def _absolute(job: EmbedJob) -> EmbedJob:
    """Return the job with absolute paths."""

    def absolute(path: str | Path | None) -> str | None:
        return None if path is None else str(Path(path).absolute())

    source = absolute(job.source) if Path(job.source).exists() else job.source
    adapter = job.adapter
    if adapter is not None:
        choice = job.choice()
        adapter = absolute(choice.name) if choice.name == str(choice.path) else choice.name

    return replace(job, source=source, data_dir=absolute(job.data_dir), out=absolute(job.out), adapter=adapter)
