"""`embed`: images or texts of any number into a folder, by one process or by many through Ray Data."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pecl.bulk.formats import check_format, write_format
from pecl.bulk.job import EmbedJob, Worker, run_job
from pecl.bulk.sources import SourceSpec, Texts
from pecl.encoders.batches import as_texts
from pecl.encoders.embeddings import Embeddings
from pecl.errors import ConfigError


def embed(
    source: str | Path | Iterable[str],
    out: str | Path,
    *,
    kind: str | None = None,
    language: str | None = None,
    column: str = "target",
    data_dir: str | Path | None = None,
    adapter: str | Path | None = None,
    shards: int | None = None,
    batch_size: int = 64,
    normalize: bool = True,
    format: str | None = None,
    ray_workers: int | None = None,
    **towers: Any,
) -> Embeddings:
    """Embed images or texts into a folder, and return the embeddings (N, D), which are read from there.

    Shards of the same job are kept, so the call resumes a killed one.

    Args:
        source: a folder of images, a file of lines (.txt), a table, the name of a data set, or texts.
        out: the folder; it must be new, or of the same job.
        kind: images or texts; by default images for a folder, else texts.
        language: language of the texts, which decides the adapter; by default German in a table or a data set, and
            unknown in a file of lines, whose texts the plain tower then embeds.
        column: texts of a table or a data set: target, english, english_to_target or target_to_english.
        data_dir: folder of the data sets.
        adapter: adapter for texts, in place of the one that is known for their language: a language (`cs`), towers and
            language (`mini:cs`), a path, or `none` for the plain tower.
        shards: number of files; by default one per 16,384 rows.
        batch_size: texts in one pass.
        normalize: whether each embedding is scaled to length 1. Frozen anchors of a training need the tower's own
            lengths: False.
        format: also write all rows to one file: npy for `embeddings.npy`, whose rows `ids.jsonl` names, parquet for
            `embeddings.parquet` with the columns `id` and `embedding`, or faiss for an index of faiss.
        ray_workers: number of workers of Ray Data, each with its own towers; None to work only in this process.
        towers: arguments of `load_towers`; by default the profile mini.

    Raises:
        PeclError: bad input, or a number that is not finite; a shard that was written before stays.
        BusyError: another process is at work on the folder.

    Example:
        >>> pecl.embed("photographs", "embedded", shards=4)[[0, 1]].shape
        torch.Size([2, 256])
    """
    held = None if isinstance(source, str | Path) else Texts(as_texts(source))
    spec = SourceSpec(str(source) if held is None else "texts", kind, language, column, _text(data_dir))
    job = EmbedJob(spec, str(out), shards, _text(adapter), batch_size, normalize, {"profile": "mini", **towers})
    if format is not None:
        check_format(out, format)
    if ray_workers is None:
        found = run_job(job, Worker(job, held))
    elif held is not None:
        raise ConfigError("ray_workers: expected a source that other processes can open, such as a file, got texts")
    else:
        from pecl.bulk.on_ray import run_on_ray  # the extra `ray`

        found = run_on_ray(job, ray_workers)
    if format is not None:
        write_format(out, format, found)
    return found


def _text(value: str | Path | None) -> str | None:
    return None if value is None else str(value)
