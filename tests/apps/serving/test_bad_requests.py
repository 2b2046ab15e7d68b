"""What a request may get wrong: a status of 4xx and one sentence in OpenAI's form; the server goes on."""

import json
import struct
import zlib

import pytest
from helpers.serving import client_of, data_uri, make_service, picture

from pecl.apps.serving import limits
from pecl.apps.serving.limits import Limits
from pecl.errors import DataError, RunError

SMALL = {"TEXTS": 4, "CHARACTERS": 300, "PICTURES": 2, "PICTURE_BYTES": 20_000, "PICTURE_PIXELS": 10_000}
SOUND = {"model": "tiny:cs", "input": "pes"}
URI = data_uri(picture())


def huge_png(width, height):
    """A PNG of a few bytes that says it has so many pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [head, b"IDAT" + zlib.compress(b"\0" * 100)]
    coded = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(coded)


def of(**changes):
    return {**SOUND, **changes}


DOCUMENTS = [  # (the request's document, status, words of the sentence): one per kind of error
    ({}, 400, "model: expected a value, got none"),
    (of(model="tinny:cs"), 404, "got \"tinny:cs\"; did you mean 'tiny:cs'"),
    (of(input=["a", " \n"]), 400, "input[1]: expected text, got none"),
    (of(input=[1, 2, 3]), 400, "no token ids, since every tower has its own"),
    (of(input=["a"] * 5), 400, "input: expected at most 4 texts, got 5"),
    (of(language="sv"), 400, "language: expected one in the bank"),
    (of(language="de"), 400, "language: expected none or cs, which model tiny:cs is for, got 'de'"),
    (of(encoding_format="int8"), 400, "encoding_format: expected 'float' or 'base64', got \"int8\""),
    (of(dimensions=4), 400, "dimensions: expected 8, the width of this model, got 4"),
    (of(langauge="cs"), 400, 'unknown field "langauge": expected model, input, language'),
    (of(model=3), 400, "model: expected text, got 3"),
    (of(input="a" * 301), 400, "input: expected at most 300 characters, got 301"),
    (of(input={"text": "a", "path": "a.png"}), 400, 'input[0]: unknown field "path": expected text, language'),
    (of(input=["a", "b"], language=["cs"]), 400, "one for each of the 2 inputs, got 1"),
    (of(input="data:image/png;base64,abc"), 400, "input: expected base64"),
    (of(input={"image": "/etc/passwd"}), 400, "no address or path is ever opened"),
    (of(input=data_uri(b"no picture")), 400, "cannot read the picture (UnidentifiedImageError)"),
    (of(input=data_uri(huge_png(60_000, 60_000))), 400, "expected at most 10,000 pixels, got 60,000 x 60,000"),
    (of(input=[URI] * 3), 400, "input: expected at most 2 pictures, got 3"),
]
BODIES = [
    *((json.dumps(document).encode(), status, said) for document, status, said in DOCUMENTS),
    (b"{", 400, "body: expected JSON"),
    (b"[" * 10_000, 400, "nested more than"),
    (b'{"input": "\xff"}', 400, "body: expected JSON"),
    (b'{"model": "tiny:cs", "input": "pes \\uD83d"}', 400, "body: expected JSON: it has a lone surrogate"),
    (b'{"\\udc36": 1}', 400, "body: expected JSON: it has a lone surrogate"),
    (b" " * 60_001, 413, "body: expected at most 60,000 bytes, got more"),
]
PLACES = [
    ("GET", "/v1/embeddings", 405, "does not take such a request"),
    ("GET", "/nowhere", 404, "there is no such page"),
    ("POST", "/v1/load_adapter", 403, "started without a folder of adapters"),
]


@pytest.fixture(scope="module")
def client():
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL.items():
            patch.setattr(limits, name, value)
        with client_of(make_service(limits=Limits(body_bytes=60_000, window=0))) as client:
            yield client


def check_refused(client, answer, status, said):
    """The answer is one sentence in OpenAI's form, and the next request is answered as ever."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert said in error["message"]
    assert error["message"].isprintable()
    assert len(error["message"]) < 510
    assert "Traceback" not in answer.text
    assert client.post("/v1/embeddings", json=SOUND).status_code == 200


@pytest.mark.parametrize(("body", "status", "said"), BODIES, ids=[said[:40] for _, _, said in BODIES])
def test_a_bad_body(client, body, status, said):
    headers = {"content-type": "application/json; charset=utf-8"}
    check_refused(client, client.post("/v1/embeddings", content=body, headers=headers), status, said)


@pytest.mark.parametrize("kind", ["text/plain", None])
def test_other_types_of_body_are_refused(client, kind):
    """A page of another site may send these to a server of this machine without asking it first."""
    headers = {} if kind is None else {"content-type": kind}
    answer = client.post("/v1/embeddings", content=json.dumps(SOUND).encode(), headers=headers)
    check_refused(client, answer, 415, "content-type: expected application/json, got")


@pytest.mark.parametrize(("method", "path", "status", "said"), PLACES, ids=[f"{m} {p}" for m, p, _, _ in PLACES])
def test_a_bad_place(client, method, path, status, said):
    answer = client.request(method, path, json={} if method == "POST" else None)
    check_refused(client, answer, status, said)
    assert answer.headers.get("allow") == ("POST" if status == 405 else None)


@pytest.mark.parametrize(
    ("error", "status", "kind", "message"),
    [
        (DataError("two\nlines"), 400, "invalid_request_error", "two lines"),
        (RunError("x" * 501), 500, "server_error", "x" * 500 + "..."),
        (KeyError("secret"), 500, "server_error", "the request failed; see the server's log"),
    ],
)
def test_a_failure_is_a_sentence_and_an_unexpected_one_also_a_traceback_in_a_file(
    monkeypatch, tmp_path, error, status, kind, message
):
    monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path))
    service = make_service()
    monkeypatch.setattr(service.models, "embed", lambda jobs: [error])
    with client_of(service) as client:
        answer = client.post("/v1/embeddings", json=SOUND)
        document = answer.json()["error"]
        assert (answer.status_code, document["type"], document["message"]) == (status, kind, message)
        assert client.get("/health").status_code == 200
    assert ["KeyError" in log.read_text() for log in tmp_path.rglob("*.log")] == [True] * isinstance(error, KeyError)
