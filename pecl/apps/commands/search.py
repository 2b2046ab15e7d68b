"""`pecl search`: find photographs by text, by image, or by both, in an index or in another program's embeddings."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pecl.apps.search.index import ImageIndex, check_top
from pecl.apps.search.qdrant import UNNAMED, CollectionRows
from pecl.commands import options as cli
from pecl.data.language_guess import system_languages
from pecl.data.languages import language_code
from pecl.encoders.pairs import PAIRS
from pecl.errors import ConfigError, is_text, one_line, unknown
from pecl.files import check_writable
from pecl.files.image_rows import ImageRows

_EXAMPLE = """pecl search ~/Pictures "pes na pláži"
         pecl search ~/Pictures "a dog" --minus "a beach" --language en --top 5
         pecl search ~/Pictures --image dog.jpg --html found.html"""


@cli.command(
    _EXAMPLE,
    cli.path("index", "index made by `pecl index`, or its folder of photographs", "INDEX", nargs="?"),
    cli.argument("text", "description of the photo; quotes are not needed", metavar="TEXT", nargs="*"),
    cli.path(
        "--embeddings",
        metavar="FILE",
        help="in place of INDEX: embeddings that another program made with the image tower of --profile, as .npy (with "
        "--paths), parquet, or a folder of clip-retrieval",
    ),
    cli.path("--paths", "text file with one path per line, for the rows of an array", "FILE"),
    cli.argument("--engine", "qdrant: in place of INDEX, search in a --collection that another program made"),
    cli.argument("--collection", "collection of the server at --url, for --engine qdrant", metavar="NAME"),
    cli.argument("--vector", "vector of the images in --collection, if vectors have names", metavar="NAME"),
    cli.argument("--profile", "pair of towers for --embeddings and --collection (default: mini)"),
    cli.argument("--language", "language of the text (default: detected from it)"),
    cli.path("--image", "query image; text and image weigh equally", "FILE"),
    cli.argument("--minus", "negative query: its embedding is subtracted", metavar="TEXT"),
    cli.argument("--after", "taken on this day or later, such as 2019-07-14 or 2019", metavar="DAY"),
    cli.argument("--before", "taken before this day", metavar="DAY"),
    cli.choice(
        "--words", "photographs with names of the query come first: of people, places, folders (default: yes)", True
    ),
    cli.argument("--top", "photographs to show (default: 10)", type=int, default=10, metavar="K"),
    cli.choice(
        "--correct-hubs", "for a text, rank photographs lower that are close to many captions (default: yes)", True
    ),
    cli.several(
        "--adapter",
        f"adapter in addition to the shipped ones, may be repeated: {cli.ADAPTER_HELP}",
        metavar="ADAPTER",
    ),
    cli.argument("--url", "address of the Qdrant server of --collection"),
    cli.argument("--device", "torch device, such as cuda (default: cpu)", default="cpu"),
    cli.THREADS,
    cli.path("--html", "write an HTML report with the photographs", "PAGE"),
    cli.JSON,
)
def run(parsed: argparse.Namespace) -> None:
    """Find photographs by text or by image."""
    in_rows = _has_rows(parsed)
    words = [*([parsed.index] if parsed.index and in_rows else []), *parsed.text]
    parsed.text = " ".join(words) if words else None
    picture = None if parsed.image is None else Path(parsed.image)
    if not in_rows and (parsed.index is None or parsed.paths or parsed.profile):
        raise ConfigError(
            "search: expected an INDEX, or --embeddings FILE (with --paths and --profile) or --collection NAME"
        )
    _check(parsed)
    hits, document, note = (_search_rows if in_rows else _search_index)(parsed, picture)
    if note and not parsed.json:
        sys.stderr.write(f"{note}\n")
    cli.print_answer(parsed, document, *(f"{hit.score:.3f}  {one_line(hit.path)}" for hit in hits))


def _has_rows(parsed: argparse.Namespace) -> bool:
    """Return whether to search in another program's embeddings; raise ConfigError if flags for that are missing."""
    if parsed.engine not in (None, "qdrant"):
        raise ConfigError(unknown("engine", parsed.engine, ["qdrant"]))
    of_server = (parsed.engine, parsed.collection)
    if any(of_server) or parsed.vector is not None:
        if not (all(of_server) and parsed.url):
            raise ConfigError("search: expected --engine qdrant, --url URL and --collection NAME together")
        if parsed.embeddings is not None or parsed.paths is not None:
            raise ConfigError("--collection: expected neither --embeddings nor --paths with it")
    elif parsed.url is not None:
        raise ConfigError("--url: expected it only with --engine qdrant and --collection NAME")
    return parsed.embeddings is not None or parsed.collection is not None


def _check(parsed: argparse.Namespace) -> None:
    """Raise ConfigError, before any tower is loaded, if the flags do not form a query."""
    if parsed.text is None and parsed.image is None:
        raise ConfigError("search: expected a TEXT, or an image with --image")
    for name in ("text", "minus"):
        value = getattr(parsed, name)
        if value is not None and not (value.strip() and is_text(value)):
            raise ConfigError(f"{name}: expected words in UTF-8, got {value!r}")
    check_top(parsed.top)
    if parsed.language is not None and not parsed.adapter:  # the language of an adapter may have no code
        language_code(parsed.language)
    if parsed.html is not None:
        if Path(parsed.html).is_dir():
            raise ConfigError(f"--html: expected a file to write, got the folder {parsed.html}")
        check_writable(Path(parsed.html).parent)


def _search_index(parsed: argparse.Namespace, picture: Path | None) -> tuple[Sequence[Any], dict[str, Any], str]:
    """Return the hits in the index, the document for --json, and the note on language, adapter and hubs."""
    with cli.threads_of(parsed), ImageIndex.open(parsed.index, adapters=parsed.adapter, device=parsed.device) as index:
        asked = index.select(parsed.text or "", after=parsed.after, before=parsed.before)
        asked = asked if parsed.words else asked.without_names()
        text = None if parsed.text is None else asked.text
        texts = [one for one in (text, parsed.minus) if one is not None]
        spoken = index.queries.language_of(" ".join(texts), parsed.language) if texts else None
        note = "; ".join(filter(None, (spoken and spoken.sentence, asked.sentence)))
        query = _query(text, picture, parsed.minus, lambda item: index.embed([item], spoken)[0])
        corrects = parsed.correct_hubs and spoken is not None and parsed.minus is None and parsed.image is None
        if corrects and index.uncorrected:
            note += f"; hubs: not corrected ({index.uncorrected})"
        corrected = corrects and not index.uncorrected
        (hits,) = index.search(query[None], top=parsed.top, corrected=corrected, selection=asked)
        if parsed.html is not None:
            from pecl.apps.search.page import write_search_page

            write_search_page(parsed.html, _heading(parsed), note, hits, index)
    nothing = {"language": None, "confidence": None, "adapter": None, "mixed": {}}
    said = {"query": _heading(parsed), **(spoken.to_json() if spoken else nothing)}
    said |= {"words": asked.words, "days": asked.dated and asked.dated.to_json()}
    said |= {"note": note, "hubs_corrected": corrected}
    return hits, said | {"photographs": [{"path": str(hit.path), "score": hit.score} for hit in hits]}, note


def _search_rows(parsed: argparse.Namespace, picture: Path | None) -> tuple[Sequence[Any], dict[str, Any], str]:
    from pecl.apps.search.queries import QueryEncoder

    profile = parsed.profile or "mini"
    if profile not in PAIRS:
        raise ConfigError(unknown("profile", profile, PAIRS))
    for name in ("html", "after", "before"):
        if getattr(parsed, name) is not None:
            raise ConfigError(f"--{name}: expected an INDEX, neither --embeddings nor --collection")
    if parsed.collection is not None:
        rows = CollectionRows(parsed.url, parsed.collection, parsed.vector or UNNAMED)
    else:
        rows = ImageRows(parsed.embeddings, parsed.paths)
    with cli.threads_of(parsed):
        queries = QueryEncoder(profile, parsed.adapter, parsed.device, system_languages())
        rows.check(queries.plain.embedding_dim, profile)
        texts = [text for text in (parsed.text, parsed.minus) if text is not None]
        spoken = queries.language_of(" ".join(texts), parsed.language) if texts else None

        def embed(item: str | Path) -> np.ndarray:
            found = queries.encode_text([item], spoken) if isinstance(item, str) else queries.encode_image([item])
            return found[0].numpy()

        query = _query(parsed.text, picture, parsed.minus, embed)
        hits = rows.nearest(query / max(float(np.linalg.norm(query)), 1e-12), parsed.top)
    said = {**(spoken.to_json() if spoken else {}), "images": [hit._asdict() for hit in hits]}
    return hits, said, spoken.sentence if spoken else ""


def _query(
    text: str | None, picture: Path | None, minus: str | None, embed: Callable[[str | Path], np.ndarray]
) -> np.ndarray:
    """Return the sum (D,) of the embeddings of a text and an image, less that of a negative query."""
    query = np.sum([embed(item) for item in (text, picture) if item is not None], axis=0)
    return query if minus is None else query - embed(minus)


def _heading(parsed: argparse.Namespace) -> str:
    parts = [part for part in (parsed.text, parsed.image) if part is not None]
    return " + ".join(parts) + (f" - {parsed.minus}" if parsed.minus is not None else "")
