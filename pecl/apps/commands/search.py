"""`pecl search`: find photographs by text, by image, or by both, in an index or in another program's embeddings."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pecl.adapters.ready import PLAIN
from pecl.apps.commands.flags import BACKEND
from pecl.apps.search.index import Hit, ImageIndex, check_top
from pecl.apps.search.languages import system_languages
from pecl.apps.search.qdrant import UNNAMED, CollectionRows
from pecl.apps.search.query import Query, QueryLanguage, named_language
from pecl.backends import TEXTS_THAT_PAY, choose_backend
from pecl.commands import options as cli
from pecl.encoders.pairs import PAIRS
from pecl.errors import ConfigError, is_text, one_line, unknown
from pecl.files import check_writable
from pecl.files.image_rows import ImageRows, Nearest
from pecl.language.languages import language_code
from pecl.machine import FP32

if TYPE_CHECKING:
    from pecl.apps.search.encoder import QueryEncoder

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
        help="in place of INDEX: embeddings that another program made with the image tower of --profile, as a parquet "
        "file with the columns id and embedding, or a folder of such files",
    ),
    cli.argument("--engine", "qdrant: in place of INDEX, search in a --collection that another program made"),
    cli.argument("--collection", "collection of the server at --url, for --engine qdrant", metavar="NAME"),
    cli.argument("--vector", "vector of the images in --collection, if vectors have names", metavar="NAME"),
    cli.argument("--profile", "pair of towers for --embeddings and --collection (default: mini)"),
    cli.argument("--language", "language of the text, or none for the base encoder (default: detected from it)"),
    cli.path("--image", "query image; text and image weigh equally", "FILE"),
    cli.argument("--minus", "negative query: its embedding is subtracted", metavar="TEXT"),
    cli.argument("--after", "taken on this day or later, such as 2019-07-14 or 2019", metavar="DAY"),
    cli.argument("--before", "taken before this day", metavar="DAY"),
    cli.choice("--words", "use names of people, places and folders in the query (default: yes)", True),
    cli.switch("--exactly", "search for the text as it was typed, without restoring marks and capitals that it lacks"),
    cli.argument("--top", "photographs to show (default: 10)", type=int, default=10, metavar="K"),
    cli.choice(
        "--correct-hubs",
        "for a text query, lower the rank of photographs that are close to many captions (default: yes)",
        True,
    ),
    cli.several(
        "--adapter",
        f"adapter in addition to the shipped ones, may be repeated: {cli.ADAPTER_HELP}",
        metavar="ADAPTER",
    ),
    cli.argument("--url", "address of the Qdrant server of --collection"),
    BACKEND,
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
    if not in_rows and (parsed.index is None or parsed.profile):
        raise ConfigError("search: expected an INDEX, or --embeddings FILE (with --profile) or --collection NAME")

    _check(parsed)
    query = Query(
        text=parsed.text,
        image=None if parsed.image is None else Path(parsed.image),
        minus=parsed.minus,
        language=named_language(parsed.language),
        after=parsed.after,
        before=parsed.before,
        names=parsed.words,
        exactly=parsed.exactly,
    )
    hits, document, note = _search_rows(parsed, query) if in_rows else _search_index(parsed, query)
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
        if parsed.embeddings is not None:
            raise ConfigError("--collection: expected no --embeddings with it")
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
    # the language of an adapter may have no code
    if parsed.language not in (None, PLAIN) and not parsed.adapter:
        language_code(parsed.language)

    if parsed.html is not None:
        if Path(parsed.html).is_dir():
            raise ConfigError(f"--html: expected a file to write, got the folder {parsed.html}")
        check_writable(Path(parsed.html).parent)


def _search_index(
    parsed: argparse.Namespace,
    query: Query,
) -> tuple[Sequence[Hit], dict[str, Any], str]:
    """Return the hits in the index, the document for --json, and the note on language, adapter and hubs."""
    options = {"adapters": parsed.adapter, "device": parsed.device, "backend": _backend(parsed), "precision": FP32}
    with cli.threads_of(parsed), ImageIndex.open(parsed.index, **options) as index:
        selection = index.select_for(query)
        query = query.without_dates(selection)
        query = index.queries.read(query)
        facts, sentence = _describe(query, index.queries)
        note = "; ".join(filter(None, (sentence, selection.sentence)))
        corrected = parsed.correct_hubs and index.corrects(query)
        if parsed.correct_hubs and query.is_text and index.uncorrected:
            note += f"; hubs: not corrected ({index.uncorrected})"

        (embedding,) = index.embed_queries([query])  # (D,)
        hits = index.nearest(embedding, selection, corrected, parsed.top)
        if parsed.html is not None:
            from pecl.apps.search.page import write_search_page

            write_search_page(parsed.html, _heading(parsed), note, hits, index)

    document = {
        "query": _heading(parsed),
        "language": None,
        "confidence": None,
        "adapter": None,
        "mixed": {},
        "read_as": [],
        **facts,
        "names": [name._asdict() for name in selection.names],
        "days": selection.dated and selection.dated.to_json(),
        "note": note,
        "hubs_corrected": corrected,
        "photographs": [{"path": str(hit.path), "score": hit.score} for hit in hits],
    }
    return hits, document, note


def _backend(parsed: argparse.Namespace) -> str:
    """Return the backend of one query: reading a graph takes longer than the query, unless OpenVINO is named."""
    return choose_backend(parsed.backend, parsed.device, items=1, pays=TEXTS_THAT_PAY).backend


def _search_rows(
    parsed: argparse.Namespace,
    query: Query,
) -> tuple[Sequence[Nearest], dict[str, Any], str]:
    """Return the hits in another program's embeddings, the document for --json, and the note on the language."""
    from pecl.apps.search.encoder import QueryEncoder

    profile = parsed.profile or "mini"
    if profile not in PAIRS:
        raise ConfigError(unknown("profile", profile, PAIRS))

    for name in ("html", "after", "before"):
        if getattr(parsed, name) is not None:
            raise ConfigError(f"--{name}: expected an INDEX, neither --embeddings nor --collection")

    if parsed.collection is not None:
        rows = CollectionRows(parsed.url, parsed.collection, parsed.vector or UNNAMED)
    else:
        rows = ImageRows(parsed.embeddings)

    with cli.threads_of(parsed):
        queries = QueryEncoder(profile, parsed.adapter, parsed.device, system_languages(), _backend(parsed), FP32)
        rows.check(queries.plain.embedding_dim, profile)
        query = queries.read(query)
        embedding = queries.embed([query])[0].numpy()  # (D,)
        hits = rows.nearest(embedding, parsed.top)

    facts, sentence = _describe(query, queries)
    return hits, {**facts, "images": [hit._asdict() for hit in hits]}, sentence


def _describe(query: Query, queries: QueryEncoder) -> tuple[dict[str, Any], str]:
    """Return the language, adapter and readings of a query for --json, and as a sentence; nothing without text."""
    language = query.language
    if not isinstance(language, QueryLanguage):
        return {}, ""

    choice = queries.known.for_language(language.code)
    facts = {
        "language": language.code,
        "confidence": None if language.guess is None else language.guess.confidence,
        "adapter": choice.name,
        "mixed": language.mixture(),
        "read_as": query.read_as,
    }
    read_as = f"{query.sentence}; --exactly searches for what was typed" if query.sentence else ""
    return facts, "; ".join(filter(None, (language.sentence(choice), read_as)))


def _heading(parsed: argparse.Namespace) -> str:
    parts = [part for part in (parsed.text, parsed.image) if part is not None]
    return " + ".join(parts) + (f" - {parsed.minus}" if parsed.minus is not None else "")
