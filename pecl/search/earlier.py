"""Conversion of indexes in the earlier format, once.

An earlier index was a folder, `.pecl-index` among the photographs or the one that `--out` named, with a head
`pecl-index.json`, a list `photographs-*.jsonl`, a matrix `embeddings-*.safetensors`, and `thumbnails`.
"""

import contextlib
import logging
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load

from pecl.data.custom.photographs import Stamp
from pecl.files import parse_json, read_regular
from pecl.search.catalogue import FILE, Entry, Head, Unreadable, read_catalogue, write_entry, write_head, writing

logger = logging.getLogger(__name__)

HIDDEN, HEAD = ".pecl-index", "pecl-index.json"
_OWN = re.compile(r"pecl-index\.json|(photographs|embeddings)-[0-9a-f]{16}\.(jsonl|safetensors)|\.pecl-lock")
_SMALL = re.compile(r"[0-9a-f]{64}\.jpg")
_DIGEST = 32  # bytes of the digest after each thumbnail


def move_earlier(old: Path, place: Path) -> None:
    """Convert an earlier index in `old`, if there is one, to an index in `place`, unless `place` has one.

    Then remove the earlier files, if they can be removed. A damaged index is ignored with a warning.
    """
    if not (old / HEAD).is_file() or (place / FILE).exists():
        return
    try:
        document = parse_json(read_regular(old / HEAD))
        if document["engine"] != "store":
            logger.warning("%s kept its embeddings in Qdrant: pass --engine qdrant and --url again", old)
            return
        place.mkdir(parents=True, exist_ok=True)
        _convert(old, place, document)
        read_catalogue(place)
    except (OSError, ValueError, TypeError, KeyError, IndexError, SafetensorError) as error:
        (place / FILE).unlink(missing_ok=True)
        logger.warning("%s is not used, since it cannot be read (%s)", old, error)
        return
    logger.info("moved the index %s to %s", old, place)
    with contextlib.suppress(OSError):  # on a read-only disk they stay
        _remove(old)


def _convert(old: Path, place: Path, document: dict[str, Any]) -> None:
    generation = document["generation"]
    lines = read_regular(old / f"photographs-{generation}.jsonl").splitlines()
    tensors = load(read_regular(old / f"embeddings-{generation}.safetensors"))
    kept = ("profile", "towers", "width", "thumbnails", "decoders", "references")
    head = Head(
        root=str((old / document["root"]).resolve()),
        languages=tuple(document.get("languages", ())),
        generation=secrets.token_hex(8),
        **{name: document[name] for name in kept},
    )
    corrections = tensors.get("corrections")
    if len(lines) != len(tensors["embeddings"]):
        raise ValueError(f"{len(lines)} photographs and {len(tensors['embeddings'])} embeddings")
    with writing(place, new=True) as database:
        for row, line in enumerate(lines):
            name, *stamp, fingerprint = parse_json(line)
            if ".." in Path(name).parts or Path(name).is_absolute():
                raise ValueError(f"expected the relative path of a photograph, got {name!r}")
            correction = None if corrections is None else float(corrections[row])
            write_entry(database, Entry(name, Stamp(*stamp), fingerprint), tensors["embeddings"][row], correction)
        failed = (Unreadable(name, Stamp(*stamp), why) for name, *stamp, why in document["unreadable"])
        write_head(database, head, failed)
        for path in _small_pictures(old):
            row = (path.stem, read_regular(path)[:-_DIGEST])
            database.execute("INSERT OR IGNORE INTO thumbnails VALUES (?, ?)", row)


def _small_pictures(old: Path) -> Iterator[Path]:
    return (path for path in (old / "thumbnails").glob("*/*.jpg") if _SMALL.fullmatch(path.name))


def _remove(old: Path) -> None:
    own = [path for path in old.iterdir() if _OWN.fullmatch(path.name)]
    small = list(_small_pictures(old))
    for path in (*own, *small):
        path.unlink()
    for folder in (*{path.parent for path in small}, old / "thumbnails", old):
        with contextlib.suppress(OSError):  # it holds another file, or the new index
            folder.rmdir()
