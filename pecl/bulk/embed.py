"""`embed`: images or texts of any number into files, by one process or by many through Ray Data."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from pecl.bulk.job import Embedder, EmbedJob
from pecl.bulk.shards import ARRAY, shards_of, write_array
from pecl.bulk.sources import SourceSpec, Texts
from pecl.encoders.batches import as_texts
from pecl.errors import ConfigError, OutputError
from pecl.files import check_writable


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
    **towers: Any,
) -> Embedded:
    """Embed images or texts into a folder of parquet files with the columns `id` and `embedding`.

    A file has 16,384 rows. Files of the same job that are there stay, so the call resumes a killed one.

    Args:
        source: a folder of images, a file of lines (.txt), a table, the name of a data set, or texts.
        out: the folder; it must be new, or of the same job. A new file `NAME.npy` takes an array of a short list, with
            the names of its rows in `NAME.txt`, and is written at the end.
        kind: images or texts; by default images for a folder, else texts.
        language: language of the texts, which decides the adapter; by default German in a table or a data set, and
            unknown in a file of lines, whose texts the plain tower then embeds.
        column: texts of a table or a data set: target, english, english_to_target or target_to_english.
        data_dir: folder of the data sets.
        adapter: adapter for texts, in place of the one that is known for their language: a language (`cs`), towers and
            language (`mini:cs`), a path, or `none` for the plain tower.
        batch_size: texts in one pass.
        normalize: whether each embedding is scaled to length 1. Frozen anchors of a training need the tower's own
            lengths: False.
        ray_workers: number of workers of Ray Data, each with its own towers; None to work only in this process.
        towers: arguments of `load_towers`; by default the profile mini.

    Raises:
        PeclError: bad input, other embeddings in the folder, or a number that is not finite; files that were written
            before stay.

    Example:
        >>> pecl.embed("photographs", "embedded").rows
        31014
        >>> pecl.open_embeddings("embedded").shape
        torch.Size([31014, 256])
    """
    held = None if isinstance(source, str | Path) else Texts(as_texts(source))
    spec = SourceSpec(str(source) if held is None else "texts", kind, language, column, _text(data_dir))
    job = EmbedJob(spec, str(out), _text(adapter), batch_size, normalize, {"profile": "mini", **towers})
    is_array = Path(out).suffix == ARRAY
    if ray_workers is None:
        return _write_array(Embedder(job, held)) if is_array else _write_shards(Embedder(job, held))
    if held is not None or is_array:
        got = "texts" if held is not None else f"an array {out}"
        raise ConfigError(f"ray_workers: expected a source that other processes can open and a folder, got {got}")
    from pecl.bulk.on_ray import run_on_ray  # the extra `ray`

    metadata = run_on_ray(job, ray_workers)
    return Embedded(shards_of(out), int(metadata["rows"]), metadata)


def _write_shards(embedder: Embedder) -> Embedded:
    missing = embedder.missing()
    with embedder.bar(missing) as bar:
        for shard in missing:
            embedder.write(shard, bar.update)
    return Embedded(shards_of(embedder.job.out), len(embedder.source), embedder.metadata)


def _write_array(embedder: Embedder) -> Embedded:
    path, rows = Path(embedder.job.out), range(len(embedder.source))
    check_writable(path.parent)
    for one in (path, path.with_suffix(".txt")):
        if one.exists():
            raise OutputError(f"{one} exists already: choose another file, or delete it first")
    with embedder.bar(embedder.shards) as bar:
        embeddings = torch.cat(list(embedder.embed(rows, bar.update)))
    return Embedded(write_array(path, embedder.source.ids(rows), embeddings), len(rows), embedder.metadata)


def _text(value: str | Path | None) -> str | None:
    return None if value is None else str(value)
