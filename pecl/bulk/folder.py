"""A folder of embeddings: `embeddings.json` says of what and by what, `ids.jsonl` names each row, shards hold the rows.

Shards are files of consecutive rows, `shard-00000-of-00008.safetensors`, each whole or absent. `embeddings.json` is
there before the first, so that a folder tells what it is to hold, and whether it holds all of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from pecl.encoders.embeddings import Embeddings
from pecl.errors import DataError, OutputError
from pecl.files import load_json, open_regular, parse_json, sha256_json, write_json, write_stream
from pecl.results.typed_json import decode

PLAN, IDS = "embeddings.json", "ids.jsonl"
FORMAT = "pecl-embedding-folder-1"


@dataclass(frozen=True)
class Plan:
    """What a folder is to hold.

    Attributes:
        kind: images or texts.
        source: what was embedded, as it was named.
        source_digest: its identity.
        rows: number of items.
        shards: number of files.
        tower: name and fingerprint of the tower, and how it multiplies.
        adapter: the adapter as a spec, its language and the digest of its parameters; None for the plain tower.
        normalize: whether each row has length 1.
    """

    kind: str
    source: str
    source_digest: str
    rows: int
    shards: int
    tower: Mapping[str, str]
    adapter: Mapping[str, str | None] | None
    normalize: bool

    @property
    def identity(self) -> str:
        """Hash of all that the rows depend on; where the source lies is left out."""
        return sha256_json({key: value for key, value in asdict(self).items() if key != "source"})

    def part(self, shard: int) -> tuple[int, int]:
        """Return the first row of a shard and the one after its last; shards differ by one row at most."""
        return shard * self.rows // self.shards, (shard + 1) * self.rows // self.shards

    def path(self, folder: Path, shard: int) -> Path:
        """Return the file of a shard."""
        return folder / f"shard-{shard:05}-of-{self.shards:05}.safetensors"

    def paths(self, folder: Path) -> list[Path]:
        """Return the files of all shards."""
        return [self.path(folder, shard) for shard in range(self.shards)]

    def is_done(self, folder: Path, shard: int) -> bool:
        """Return whether a shard is there, is undamaged and of this plan."""
        path = self.path(folder, shard)
        try:
            return path.exists() and Embeddings(path).metadata.get("plan") == self.identity
        except DataError:
            return False


def check_plan(folder: Path, plan: Plan) -> None:
    """Raise OutputError, naming what differs, where a folder holds other embeddings."""
    if (folder / PLAN).exists():
        known = read_plan(folder)
        if known.identity != plan.identity:
            raise OutputError(f"{folder} holds other embeddings ({_difference(known, plan)}): choose another folder")


def write_plan(folder: Path, plan: Plan, ids: Iterator[str]) -> None:
    """Write what a folder is to hold, and the names of its rows, unless it says so already.

    Raises:
        OutputError: the folder holds other embeddings, or cannot be written.
    """
    check_plan(folder, plan)
    if (folder / PLAN).exists():
        return

    def write(file: BinaryIO) -> None:
        for row, name in enumerate(ids):
            line = json.dumps({"row": row, "id": name}, ensure_ascii=False)
            file.write(line.encode("utf-8", "surrogateescape") + b"\n")  # a name's bytes as the file system has them

    write_stream(folder / IDS, write)
    write_json(folder / PLAN, {"format": FORMAT, **asdict(plan)})


def _difference(known: Plan, plan: Plan) -> str:
    """Return the first field in which two plans differ, with both values."""
    ours, theirs = asdict(plan), asdict(known)
    name = next(name for name in theirs if name != "source" and theirs[name] != ours[name])
    mine, other, said = ours[name], theirs[name], name.replace("_", " ")
    if isinstance(mine, Mapping) and isinstance(other, Mapping):  # of a tower or an adapter what differs, not all of it
        name = next(name for name in {**other, **mine} if other.get(name) != mine.get(name))
        mine, other, said = mine.get(name), other.get(name), f"{name} of the {said}"
    return f"{said}: {other}, not {mine}"


def read_plan(folder: str | Path) -> Plan:
    """Return what a folder is to hold.

    Raises:
        DataError: it holds no embeddings, or the file that says so is damaged.
    """
    path = Path(folder) / PLAN
    try:
        document = load_json(path)
        if document.pop("format") != FORMAT:
            raise ValueError(f"expected the format {FORMAT}")
        plan = decode(Plan, document)
        if not 1 <= plan.shards <= max(plan.rows, 1):
            raise ValueError(f"{plan.shards} shards of {plan.rows} rows")
        return plan
    except OSError as error:
        raise DataError(f"{folder} holds no embeddings: cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is damaged ({error}); delete it and embed again") from error


def open_embeddings(folder: str | Path, check: bool = True) -> Embeddings:
    """Return the embeddings (N, D) of a folder that `pecl embed` wrote, read from disk row by row.

    Args:
        folder: the folder.
        check: read its files once, and compare them with their digests.

    Raises:
        DataError: it holds none, is damaged, or is not finished.
    """
    plan = read_plan(folder)
    paths = plan.paths(Path(folder))
    there = sum(path.exists() for path in paths)
    if there < len(paths):
        raise DataError(f"{folder} is not finished: {there} of {len(paths)} shards are there; run pecl embed again")
    found = Embeddings(paths, check)
    if len(found) != plan.rows:
        raise DataError(f"{folder} is damaged: its shards have {len(found)} rows, expected {plan.rows}")
    return found


def read_ids(folder: str | Path) -> list[str]:
    """Return the name of each row of a folder.

    Raises:
        DataError: the file is missing or damaged.
    """
    path = Path(folder) / IDS
    try:
        with open_regular(path) as file:
            lines = (line.decode("utf-8", "surrogateescape") for line in file)
            return [decode(str, parse_json(line, halves=True)["id"], "id") for line in lines]
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error}); embed again") from error
