"""A folder of embeddings: `embeddings.json` is its plan, `ids.jsonl` names each row, shards hold the rows.

Shards are files of consecutive rows, `shard-00000-of-00008.safetensors`, each whole or absent. The parts name their
whole: each shard holds the identity of its plan, its number and its rows; the plan holds the SHA-256 of `ids.jsonl` and
of itself. A part of another folder, in another's place or edited is refused wherever the folder is opened.

The plan is written first and marks the folder as pecl's: only with it are files replaced. A plan without shards binds
nothing, so that a call that was killed early blocks no other.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pecl.encoders.embeddings import Embeddings
from pecl.errors import DataError, OutputError
from pecl.files import load_json, open_regular, parse_json, sha256_file, sha256_json, write_json, write_stream
from pecl.files.digests import check_digest, with_digest
from pecl.files.typed_json import Flag, Text, Whole, decode

PLAN, IDS = "embeddings.json", "ids.jsonl"
FORMAT = "pecl-embedding-folder-2"
_quoted = json.JSONEncoder(ensure_ascii=False).encode  # `json.dumps` would make one per name


@dataclass(frozen=True)
class Plan:
    """The content of a folder of `rows` items in `shards` files.

    Attributes:
        tower: name and fingerprint of the tower, and its precision.
        adapter: the adapter as a spec, its language, the digest of its parameters and its name; None for the plain
            tower.
    """

    kind: Text
    source: Text
    source_digest: Text
    rows: Whole
    shards: Whole
    tower: Mapping[Text, Text]
    adapter: Mapping[Text, Text | None] | None
    normalize: Flag
    ids_sha256: Text

    @property
    def identity(self) -> str:
        """Hash of all fields but names: source and adapter may be moved or renamed."""
        held = {key: value for key, value in asdict(self).items() if key != "source"}
        if self.adapter is not None:
            held["adapter"] = {key: value for key, value in self.adapter.items() if key != "name"}
        return sha256_json(held)

    def part(self, shard: int) -> tuple[int, int]:
        """Return the first row of a shard and the one after its last; shards differ by one row at most."""
        return shard * self.rows // self.shards, (shard + 1) * self.rows // self.shards

    def path(self, folder: Path, shard: int) -> Path:
        """Return the file of a shard."""
        return folder / f"shard-{shard:05}-of-{self.shards:05}.safetensors"

    def paths(self, folder: Path) -> list[Path]:
        """Return the files of all shards."""
        return [self.path(folder, shard) for shard in range(self.shards)]

    def metadata(self, shard: int) -> dict[str, str]:
        """Return the metadata of a shard: its plan, its number, its first row and its number of rows."""
        start, stop = self.part(shard)
        return {"plan": self.identity, "shard": str(shard), "first_row": str(start), "rows": str(stop - start)}

    def check_shard(self, found: Embeddings, shard: int, part: int) -> None:
        """Raise DataError unless file `part` of `found` is shard number `shard` of this plan."""
        path = found.paths[part]
        expected = self.metadata(shard)
        said = {name: found.parts[part].get(name) for name in expected}
        if said["plan"] != expected["plan"]:
            raise DataError(f"{path} belongs to other embeddings than {PLAN} next to it names: embed again")
        if said != expected or found.rows_of(part) != int(expected["rows"]):
            raise DataError(
                f"{path} is shard {said['shard']} with {found.rows_of(part)} rows, expected shard {shard} with "
                f"{expected['rows']}: embed again"
            )

    def is_done(self, folder: Path, shard: int) -> bool:
        """Return whether a shard is there, is undamaged, and is that shard of this plan."""
        path = self.path(folder, shard)
        if not path.exists():
            return False
        try:
            self.check_shard(Embeddings(path), shard, part=0)
            return True
        except DataError:
            return False


def check_plan(folder: Path, plan: Plan) -> None:
    """Refuse a plan for a folder of other embeddings, or with files of another program that would be replaced."""
    known = read_plan(folder) if (folder / PLAN).exists() else None
    if known is not None and known.identity == plan.identity:
        return
    if known is not None and any(path.exists() for path in known.paths(folder)):
        raise OutputError(f"{folder} holds other embeddings ({_difference(known, plan)}): choose another folder")
    in_the_way = [folder / IDS] if known is None and _digest_of(folder / IDS) not in (None, plan.ids_sha256) else []
    shards = (number for number in range(plan.shards) if plan.path(folder, number).exists())
    in_the_way += [plan.path(folder, shard) for shard in shards if not plan.is_done(folder, shard)]
    if in_the_way:
        raise OutputError(f"{in_the_way[0]} is there and not of these embeddings: choose another folder, or move it")


def write_plan(folder: Path, plan: Plan, ids: Callable[[], Iterable[str]]) -> list[Path]:
    """Write the plan of a folder and then `ids.jsonl`, where they are not there, and return the files written.

    It makes the checks of `check_plan`.
    """
    check_plan(folder, plan)
    written = []
    if not (folder / PLAN).exists() or read_plan(folder).identity != plan.identity:
        written.append(write_json(folder / PLAN, with_digest({"format": FORMAT, **asdict(plan)})))
    if _digest_of(folder / IDS) != plan.ids_sha256:
        written.append(write_stream(folder / IDS, lambda file: file.writelines(_lines(ids()))))
    return written


def ids_digest(ids: Iterable[str]) -> str:
    """Return the SHA-256 of `ids.jsonl` with these names."""
    digest = hashlib.sha256()
    for line in _lines(ids):
        digest.update(line)
    return digest.hexdigest()


def _lines(ids: Iterable[str]) -> Iterator[bytes]:
    """Yield the lines of `ids.jsonl`; a name's bytes are those of the file system."""
    for row, name in enumerate(ids):
        yield f'{{"row": {row}, "id": {_quoted(name)}}}\n'.encode("utf-8", "surrogateescape")


def _digest_of(path: Path) -> str | None:
    """Return the SHA-256 of a file, None where it is missing; raise DataError where it cannot be read."""
    try:
        return sha256_file(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def _difference(known: Plan, plan: Plan) -> str:
    """Return the first field in which two plans differ, with both values."""
    ours, theirs = asdict(plan), asdict(known)
    name = next(name for name in theirs if name != "source" and theirs[name] != ours[name])
    mine, other, said = ours[name], theirs[name], name.replace("_", " ")
    if isinstance(mine, Mapping) and isinstance(other, Mapping):  # only the differing key of a tower or an adapter
        name = next(name for name in {**other, **mine} if other.get(name) != mine.get(name))
        mine, other, said = mine.get(name), other.get(name), f"{name} of the {said}"
    return f"{said}: {other}, not {mine}"


def read_plan(folder: str | Path) -> Plan:
    """Return the plan of a folder; DataError says that it holds none, or that the plan is damaged or edited."""
    path = Path(folder) / PLAN
    try:
        document: dict[str, Any] = load_json(path)
        if document["format"] != FORMAT:
            raise ValueError(f"expected the format {FORMAT}")
        check_digest(document, needed=True)
        plan = decode(Plan, document)
        if not 1 <= plan.shards <= max(plan.rows, 1):
            raise ValueError(f"{plan.shards} shards of {plan.rows} rows")
        return plan
    except OSError as error:
        raise DataError(f"{folder} holds no embeddings: cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is damaged, edited or another program's ({error}): choose another folder, or delete the file and "
            "run pecl embed again"
        ) from error


def open_embeddings(folder: str | Path, check: bool = True) -> Embeddings:
    """Return the embeddings (N, D) of a folder that `pecl embed` wrote, read from disk row by row.

    Args:
        folder: the folder.
        check: read its files once, and compare them with their digests; without it, only the plan and the shards'
            metadata are compared.

    Raises:
        DataError: it holds none, is not finished, is damaged, or its files do not belong together.
    """
    plan, place = read_plan(folder), Path(folder)
    paths = plan.paths(place)
    there = sum(path.exists() for path in paths)
    if there < plan.shards:
        raise DataError(f"{folder} is not finished: {there} of {plan.shards} shards are there; run pecl embed again")
    found = Embeddings(paths, check)
    for shard in range(plan.shards):
        plan.check_shard(found, shard, part=shard)
    if check:
        _check_ids(place, plan, _digest_of(place / IDS))
    return found


def read_ids(folder: str | Path) -> list[str]:
    """Return the name of each row of a folder.

    Raises:
        DataError: the file is missing, damaged, or not of the folder's plan.
    """
    return list(iterate_ids(folder))


def iterate_ids(folder: str | Path) -> Iterator[str]:
    """Yield the name of each row of a folder, as `read_ids` does; the checksum is compared behind the last."""
    plan, digest = read_plan(folder), hashlib.sha256()
    path = Path(folder, IDS)
    try:
        with open_regular(path) as file:
            for line in file:
                digest.update(line)
                yield decode(Text, parse_json(line.decode("utf-8", "surrogateescape"), halves=True)["id"], "id")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error}); run pecl embed again") from error
    _check_ids(Path(folder), plan, digest.hexdigest())


def _check_ids(folder: Path, plan: Plan, digest: str | None) -> None:
    if digest != plan.ids_sha256:
        said = "is missing" if digest is None else "is not the file that the plan names"
        raise DataError(f"{folder / IDS} {said}: run pecl embed again")
