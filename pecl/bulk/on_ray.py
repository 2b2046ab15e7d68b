"""The shards of a job over Ray Data: each worker loads the towers once and writes the shards that it is given.

`RAY_ADDRESS` names a cluster, whose hosts see source and folder under the same paths and have pecl installed; without
it, a Ray is started here.
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from pecl.bulk.job import Embedder, EmbedJob
from pecl.config.plugins import load_plugins, loaded_plugins
from pecl.errors import ConfigError, DataError, PeclError, RunError, install
from pecl.files.progress import Bar
from pecl.machine import FP32, gpus_needed, resolve_precision, running_ray


class ShardWriter:
    """A worker as Ray Data makes it, from a job, its metadata, and the plug-ins that were run before."""

    def __init__(self, job: EmbedJob, metadata: dict[str, str], plugins: list[str]) -> None:
        load_plugins(plugins)
        self._embedder = Embedder(job)
        self._metadata = metadata

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Write the shard of a batch; return the number of its rows, and why it cannot be written, or nothing."""
        (shard,) = batch["shard"].tolist()
        failure = ""
        try:
            if self._embedder.metadata != self._metadata:
                raise DataError(f"{self._metadata['source']} or its towers differ on another machine, or changed")
            self._embedder.write(shard)
        except PeclError as error:  # a sentence for the user; Ray would show a traceback
            failure = str(error)
        return {"rows": np.array([len(self._embedder.rows(shard))]), "failure": np.array([failure], dtype=object)}


def run_on_ray(job: EmbedJob, workers: int) -> dict[str, str]:
    """Compute all shards that are not there on `workers` workers, and return their metadata."""
    if workers < 1:
        raise ConfigError(f"ray_workers: expected a whole number >= 1, got {workers}")
    try:
        import ray.data
        import ray.exceptions  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"embedding over Ray needs ray: {install('ray')}") from error
    job = _absolute(job)
    device = str(job.towers.get("device", "cpu"))
    precision = resolve_precision(job.towers.get("precision", FP32), device)  # by the workers' device
    job = replace(job, towers={**job.towers, "precision": precision})
    # The metadata are made here: on the CPU if the workers are on a cluster, since this host may have no GPU.
    on = "cpu" if "RAY_ADDRESS" in os.environ else device
    embedder = Embedder(replace(job, towers={**job.towers, "device": on}))
    missing = embedder.missing()
    if missing:
        with embedder.bar(missing) as bar:
            _write(job, embedder.metadata, missing, workers, bar)
    return embedder.metadata


def _write(job: EmbedJob, metadata: dict[str, str], missing: list[int], workers: int, bar: Bar) -> None:
    import ray
    from ray.exceptions import RayError

    try:
        with running_ray(max(len(os.sched_getaffinity(0)), workers)):
            rows = ray.data.from_items([{"shard": shard} for shard in missing], override_num_blocks=len(missing))
            done = rows.map_batches(
                ShardWriter,
                fn_constructor_args=(job, metadata, loaded_plugins()),
                batch_size=1,
                concurrency=min(workers, len(missing)),
                num_gpus=gpus_needed(str(job.towers.get("device", "cpu"))) or None,
            )
            for row in done.iter_rows():
                if row["failure"]:
                    raise PeclError(row["failure"])
                bar.update(row["rows"])
    except RayError as error:
        last = str(error).strip().splitlines()[-1]
        raise RunError(f"Ray gave up ({type(error).__name__}: {last}); the same command goes on from here") from error


def _absolute(job: EmbedJob) -> EmbedJob:
    """Return a job whose paths are good in every folder."""

    def absolute(path: str | None) -> str | None:
        return None if path is None else str(Path(path).absolute())

    source = job.source
    name = str(absolute(source.name)) if Path(source.name).exists() else source.name
    place = replace(source, name=name, data_dir=absolute(source.data_dir))
    adapter = job.adapter
    if adapter is not None:
        choice = job.choice()
        adapter = absolute(choice.name) if choice.name == str(choice.path) else choice.name
    return replace(job, source=place, out=str(absolute(job.out)), adapter=adapter)
