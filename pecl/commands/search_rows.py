"""`pecl search --embeddings` and `--collection`: search in embeddings of images that another program has computed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pecl.commands.options import add_path, print_json, print_text, threads_of
from pecl.encoders.pairs import PAIRS
from pecl.errors import ConfigError, one_line, unknown

if TYPE_CHECKING:
    from pecl.files.image_rows import ImageRows
    from pecl.search.collection import CollectionRows


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_path(
        parser,
        "--embeddings",
        metavar="FILE",
        help="in place of INDEX: embeddings by another program with the image tower of --profile, as .npy (with "
        "--paths), parquet, or a folder of clip-retrieval",
    )
    add_path(parser, "--paths", "path of each row of an array, per line", "FILE")
    parser.add_argument(
        "--engine", help="qdrant: in place of INDEX, search in a --collection that another program made"
    )
    parser.add_argument("--collection", metavar="NAME", help="collection of the server at --url, for --engine qdrant")
    parser.add_argument("--vector", metavar="NAME", help="vector of the images in --collection, if vectors have names")
    parser.add_argument("--profile", help="pair of towers for --embeddings and --collection (default: mini)")


def is_asked(parsed: argparse.Namespace) -> bool:
    """Say whether to search in rows of another program; raise ConfigError where flags lack each other."""
    if parsed.engine not in (None, "qdrant"):
        raise ConfigError(unknown("engine", parsed.engine, ["qdrant"]))
    of_server = (parsed.engine, parsed.collection)
    if any(of_server) or parsed.vector is not None:
        if not (all(of_server) and parsed.url):
            raise ConfigError("search: expected --engine qdrant, --url URL and --collection NAME together")
        if parsed.embeddings is not None or parsed.paths is not None:
            raise ConfigError("--collection: expected neither --embeddings nor --paths with it")
    elif parsed.embeddings is not None and parsed.url is not None:
        raise ConfigError("--embeddings: expected no --url with it")
    return parsed.embeddings is not None or parsed.collection is not None


def run(parsed: argparse.Namespace, picture: Path | None) -> int:
    """Search by text, by a picture, or by both, and print scores and paths, best first."""
    from pecl.search.queries import QueryEncoder

    profile = parsed.profile or "mini"
    if profile not in PAIRS:
        raise ConfigError(unknown("profile", profile, PAIRS))
    if parsed.html is not None:
        raise ConfigError("--html: expected an INDEX, neither --embeddings nor --collection")
    rows = _rows(parsed)
    with threads_of(parsed):
        queries = QueryEncoder(profile, parsed.adapter, parsed.device)
        rows.check(queries.plain.embedding_dim, profile)
        texts = [text for text in (parsed.text, parsed.minus) if text is not None]
        spoken = queries.language_of(" ".join(texts), parsed.language) if texts else None
        query = np.zeros(queries.plain.embedding_dim, np.float32)  # (D,)
        for text, sign in ((parsed.text, 1), (parsed.minus, -1)):
            if text is not None and spoken is not None:
                query += sign * queries.encode_text([text], spoken)[0].numpy()
        if picture is not None:
            query += queries.encode_image([picture])[0].numpy()
        hits = rows.nearest(query / np.linalg.norm(query), parsed.top)
    if parsed.json:
        about = {} if spoken is None else spoken.to_json()
        print_json({**about, "images": [hit._asdict() for hit in hits]})
        return 0
    if spoken is not None:
        sys.stderr.write(f"{spoken.sentence}\n")
    print_text("\n".join(f"{hit.score:.3f}  {one_line(hit.path)}" for hit in hits))
    return 0


def _rows(parsed: argparse.Namespace) -> ImageRows | CollectionRows:
    if parsed.collection is not None:
        from pecl.search.collection import UNNAMED, CollectionRows

        return CollectionRows(parsed.url, parsed.collection, parsed.vector or UNNAMED)
    from pecl.files.image_rows import ImageRows

    return ImageRows(parsed.embeddings, parsed.paths)
