"""A query has the same hits by the command line, the server and `ImageIndex`: those of a sum worked out by hand."""

import asyncio
import json

import numpy as np
import pytest
import torch
from helpers.reading import restored
from helpers.serving import (
    adapter_files,
    as_written,
    client_of,
    data_uri,
    expected,
    make_models,
    make_service,
    write_adapters,
)
from helpers.small_experiment import tiny_towers
from helpers.small_index import COUNT, unit

import pecl
import pecl.adapters.ready
from pecl.adapters.bank import AdapterBank
from pecl.apps.search.build import build_index
from pecl.apps.search.encoder import complete, embed_queries
from pecl.apps.search.options import IndexOptions
from pecl.apps.search.query import Query, QueryLanguage, read_query
from pecl.cli import main
from pecl.errors import ConfigError
from pecl.language.language_guess import guess_languages

CODES = ("cs", "de")
SPOKEN = ("cs", "de", "en")
GERMAN, CZECH = "der Hund läuft am Strand", "pes na pláži"


@pytest.fixture
def album(photographs, tmp_path, monkeypatch):
    """An album of a person who speaks three languages, two of which have adapters."""
    every = {path.stem: path for path in write_adapters(tmp_path / "adapters")}
    paths = {code: every[code] for code in CODES}
    monkeypatch.setattr(pecl.adapters.ready, "ready_adapters", lambda *_: paths)
    build_index(photographs, options=IndexOptions(languages=SPOKEN))
    return photographs


def service_of(album):
    models = make_models([file for file in adapter_files() if file.language in CODES])
    return make_service(models, index=album)


def by_server(album, query, adapter):
    body = {"text": "query", "minus": "minus", "language": "language"}
    document = {body[name]: value for name, value in query.items() if name != "image"}
    if "image" in query:
        document["image"] = data_uri(query["image"].read_bytes())
    with client_of(service_of(album)) as client:
        answer = client.post("/search", json={**document, "adapter": adapter, "top": COUNT})
    assert answer.status_code == 200, answer.text
    return [(str(album / hit["name"]), hit["score"]) for hit in answer.json()["photographs"]]


def by_command(album, query, adapter, capsys):
    flags = [item for name in ("minus", "language", "image") if name in query for item in (f"--{name}", query[name])]
    texts = [query["text"]] if "text" in query else []
    off = [] if adapter else ["--adapter", "none"]
    arguments = ["search", album, *texts, *flags, *off, "--no-correct-hubs", "--top", COUNT, "--json"]
    assert main(list(map(str, arguments))) == 0
    return [(hit["path"], hit["score"]) for hit in json.loads(capsys.readouterr().out)["photographs"]]


def by_index(album, query, adapter):
    index = pecl.ImageIndex.open(album, adapters=() if adapter else ["none"])
    (hits,) = index.search(index.embed_queries([Query(**query)]), top=COUNT)
    return [(str(hit.path), hit.score) for hit in hits]


def by_arithmetic(album, parts):
    """Rank by the sum of `parts`, in double precision."""
    (direction,) = unit([sum(parts)])
    paths = sorted(album.rglob("*.png"))
    rows = torch.cat([tiny_towers().image.encode_image(path) for path in paths]).double().numpy()
    scores = [(str(path), float(row @ direction)) for path, row in zip(paths, rows, strict=True)]
    return sorted(scores, key=lambda item: -item[1])


def of_text(text, shares):
    """Embedding of a text, a mean over languages by their shares; each through a tower of its language alone.

    Each language reads the text with its marks and capitals: `hotel` is *Hotel* in German.
    """
    embeddings = {code: expected(restored([text], [code or "en"]), [code])[0].double().numpy() for code in shares}
    (mean,) = unit([sum(share * embeddings[code] for code, share in shares.items())])
    return mean


QUERIES = {
    "text": ({"text": CZECH, "language": "cs"}, True, {"cs": 1}),
    "text in English": ({"text": "a dog", "language": "English"}, True, {None: 1}),
    "text, detected": ({"text": GERMAN}, True, {"de": 1}),
    "text of mixed languages": ({"text": "hotel"}, True, None),
    "image": ({"image": "00.png"}, True, {}),
    "text and image": ({"text": CZECH, "image": "00.png", "language": "cs"}, True, {"cs": 1}),
    "text minus text": ({"text": GERMAN, "minus": "ein Auto", "language": "de"}, True, {"de": 1}),
    "text minus text, detected": ({"text": GERMAN, "minus": "hotel"}, True, {"de": 1}),
    "image minus text": ({"image": "00.png", "minus": CZECH, "language": "cs"}, True, {"cs": 1}),
    "mixed languages, image and minus": ({"text": "hotel", "image": "00.png", "minus": "taxi"}, True, None),
    "adapter off": ({"text": CZECH, "image": "00.png", "language": "cs"}, False, {None: 1}),
}


@pytest.mark.parametrize("name", QUERIES)
def test_command_server_and_index_find_what_arithmetic_finds(album, name, capsys):
    query, adapter, shares = QUERIES[name]
    if "image" in query:
        query = {**query, "image": album / query["image"]}
    if shares is None:
        texts = " ".join(query[name] for name in ("text", "minus") if name in query)
        (guess,) = guess_languages([texts], ["en", *CODES], SPOKEN)
        shares = {code if code in CODES else None: share for code, share in guess.shares}
        assert len(shares) > 1
    parts = [tiny_towers().image.encode_image(query["image"])[0].double().numpy()] if "image" in query else []
    parts += [of_text(query["text"], shares)] if "text" in query else []
    parts += [-of_text(query["minus"], shares)] if "minus" in query else []
    wanted = by_arithmetic(album, parts)

    for hits in (
        by_server(album, query, adapter),
        by_command(album, query, adapter, capsys),
        by_index(album, query, adapter),
    ):
        assert [path for path, _ in hits] == [path for path, _ in wanted]
        np.testing.assert_allclose([score for _, score in hits], [score for _, score in wanted], atol=1e-5)


def test_a_negative_query_is_read_in_the_language_of_its_query(album):
    index = pecl.ImageIndex.open(album)
    detected = index.embed(GERMAN, minus="hotel")
    np.testing.assert_array_equal(detected, index.embed(GERMAN, "de", minus="hotel"))
    alone = index.embed(GERMAN) - index.embed("hotel")  # which is of several languages
    assert np.abs(unit(alone) - detected).max() > 1e-3


def test_a_server_reads_each_part_of_a_mixture_in_its_own_language(album):
    """Some towers read a text in a language that is named with it."""
    service = service_of(album)
    jobs = []
    embed_texts = service.embed_texts

    async def record(job):
        jobs.append(job)
        return await embed_texts(job)

    service.embed_texts = record
    with client_of(service) as client:
        client.post("/search", json={"query": "hotel"})
        client.post("/search", json={"query": CZECH, "language": "cs", "adapter": False})
        client.post("/search", json={"query": "en hund", "language": "sv"})
    mixed, off, without = jobs
    assert mixed.languages == mixed.adapters
    assert set(mixed.languages) == {"cs", "de", None}
    assert (off.languages, off.adapters) == (["cs"], [None])
    assert (without.languages, without.adapters) == (["sv"], [None])


def test_the_distinct_parts_of_several_queries_are_embedded_in_two_calls():
    generator = np.random.default_rng(0)
    row_of = {}
    calls = []

    async def embed(items, languages=None):
        calls.append((items, languages))
        keys = items if languages is None else list(zip(items, languages, strict=True))
        for key in keys:
            row_of.setdefault(key, generator.normal(size=4))  # of any length
        return torch.tensor(np.array([row_of[key] for key in keys]), dtype=torch.float32)

    doubtful = QueryLanguage("cs", (("cs", 0.75), (None, 0.25)))
    german = QueryLanguage("de", (("de", 1.0),))
    given = np.array([0, 0, 0.6, 0.8], np.float32)
    queries = [
        Query("hotel", minus="taxi", language=doubtful),
        Query(image=b"picture", minus="Auto", language=german),
        Query(embedding=given),
        Query("Hund", b"other", language=german),
        Query("Hund", language=german),
    ]
    read = [read_query(query, AdapterBank(tiny_towers().text, plain=None)) for query in queries]
    embedded = complete(embed_queries(read, embed, embed)).double().numpy()

    assert calls == [
        ([b"picture", b"other"], None),
        (
            ["hotel", "hotel", "Hund", "taxi", "taxi", "Auto"],
            ["cs", None, "de", "cs", None, "de"],
        ),
    ]
    row = {key: unit([value])[0] for key, value in row_of.items()}
    hotel = unit([0.75 * row["hotel", "cs"] + 0.25 * row["hotel", None]])[0]
    taxi = unit([0.75 * row["taxi", "cs"] + 0.25 * row["taxi", None]])[0]
    wanted = [
        hotel - taxi,
        row[b"picture"] - row["Auto", "de"],
        given,
        row["Hund", "de"] + row[b"other"],
        row["Hund", "de"],
    ]
    np.testing.assert_allclose(embedded, unit(wanted), atol=1e-6)


def test_what_is_no_query_is_refused():
    with pytest.raises(ConfigError, match="expected a text, an image or an embedding, got none"):
        Query(minus="a beach")
    with pytest.raises(TypeError, match=r"call read_query first: the texts .'pes',. have not been read"):
        complete(embed_queries([Query("pes", language="cs")], None, None))
    with pytest.raises(RuntimeError, match="it needs an event loop"):
        complete(asyncio.sleep(0))


@pytest.mark.parametrize(
    ("typed", "exactly", "read_as", "embedded"),
    [
        ("ein hund", False, ["ein Hund"], "ein Hund"),
        ("ein hund", True, [], "ein hund"),
        ("ein Hund", False, [], "ein Hund"),
    ],
)
def test_command_and_server_tell_how_a_query_is_read_and_search_for_what_was_typed(
    album, capsys, typed, exactly, read_as, embedded
):
    scores = by_arithmetic(album, [as_written([embedded], ["de"])[0].double().numpy()])
    line = ["search", str(album), typed, "--language", "de", "--no-correct-hubs", "--json"]
    assert main([*line, *(["--exactly"] if exactly else [])]) == 0
    document = json.loads(capsys.readouterr().out)
    with client_of(service_of(album)) as client:
        answer = client.post("/search", json={"query": typed, "language": "de", "exactly": exactly, "top": 10}).json()

    assert document["read_as"] == answer["read_as"] == read_as
    assert ("read as ein Hund; --exactly searches for what was typed" in document["note"]) == bool(read_as)
    for hits in (document["photographs"], answer["photographs"]):
        assert [hit["score"] for hit in hits] == pytest.approx([score for _, score in scores[:10]], abs=1e-5)
