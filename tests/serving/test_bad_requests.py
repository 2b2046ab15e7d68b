"""What a request may get wrong: a status of 4xx and one sentence in OpenAI's form; the server goes on."""

import asyncio
import base64
import json
import struct
import zlib
from unittest.mock import Mock

import pytest
from helpers.serving import client_of, data_uri, make_service, picture

from pecl.errors import DataError, RunError
from pecl.serving.limits import Limits
from pecl.serving.refusals import answer_error

LIMITS = Limits(
    body_bytes=60_000, texts=4, characters=300, pictures=2, picture_bytes=20_000, picture_pixels=10_000, window=0
)
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


@pytest.mark.parametrize(
    ("error", "status", "kind", "message"),
    [
        (DataError("two\nlines"), 400, "invalid_request_error", "two lines"),
        (RunError("x" * 501), 500, "server_error", "x" * 500 + "..."),
    ],
)
def test_the_answer_to_an_error_of_pecl(error, status, kind, message):
    answer = asyncio.run(answer_error(Mock(), error))
    document = json.loads(answer.body)["error"]
    assert (answer.status_code, document["type"], document["message"]) == (status, kind, message)


DOCUMENTS = [  # (the request's document, status, words of the sentence)
    ({}, 400, "model: expected text, got null"),
    ({"model": "tiny"}, 400, "input: expected a text, or a list of texts or pictures, got none"),
    (of(model=3), 400, "model: expected text, got a number"),
    (of(model=""), 400, "model: expected text, got none"),
    (of(model="tinny:cs"), 404, "did you mean 'tiny:cs'"),
    (of(model="tiny:"), 404, "model: expected one of tiny, tiny:de,"),
    (of(model="other:cs"), 404, "got 'other:cs'"),
    (of(model="tiny:../cs"), 404, "got 'tiny:../cs'"),
    (of(input=[]), 400, "input: expected a text, or a list"),
    (of(input=" \n"), 400, "input: expected text, got none"),
    (of(input=["a", ""]), 400, "input[1]: expected text, got none"),
    (of(input=["a", None]), 400, "input[1]: expected text, got null"),
    (of(input=True), 400, "input: expected text"),
    (of(input=1.5), 400, "input: expected text, got a number"),
    (of(input=[1, 2, 3]), 400, "input[0]: expected text, got token ids"),
    (of(input=[[1, 2], [3]]), 400, "input[0]: expected text, got token ids"),
    (of(input=[["a"]]), 400, "input[0]: expected text, got a list"),
    (of(input=["a"] * 5), 400, "input: expected at most 4 texts, got 5"),
    (of(input=["a"] * 50), 400, "input: expected at most 4 texts, got 50"),
    (of(input="a" * 301), 400, "input: expected at most 300 characters, got 301"),
    (of(input="a" * 200), 400, "text 0 has 202 tokens, the tower reads 128"),
    (of(input={"text": "a", "image": URI}), 400, 'input: expected {"text": ..., "language": ...} or {"image": ...}'),
    (of(input={"text": "a", "path": "a.png"}), 400, "input: expected {"),
    (of(input={}), 400, "input: expected {"),
    (of(language="sv"), 400, "language: expected an adapter that is loaded"),
    (of(language="de"), 400, "language: expected none or cs, which model tiny:cs is for, got 'de'"),
    (of(language=3), 400, "language: expected text, got a number"),
    (of(language="x" * 101), 400, "language: expected at most 100 characters, got 101"),
    (of(model="x" * 201), 400, "model: expected at most 200 characters, got 201"),
    (of(language=["cs"]), 400, "language: expected one, or one for each of the 1 inputs"),
    (of(input=["a", "b"], language=["cs"]), 400, "one for each of the 2 inputs, got 1"),
    (of(input=["a", "b"], language=["cs", ""]), 400, "language: expected text, got none"),
    (of(encoding_format="int8"), 400, 'encoding_format: expected one of float, base64, got "int8"'),
    (of(encoding_format=3), 400, "encoding_format: expected one of float, base64, got a number"),
    (of(dimensions=4), 400, "dimensions: expected 8, the width of this model, got 4"),
    (of(dimensions="8"), 400, "dimensions: expected a whole number"),
    (of(dimensions=-1), 400, "dimensions: expected a whole number"),
    (of(dimensions=1e400), 400, "dimensions: expected a whole number"),
    (of(truncate="yes"), 400, "truncate: expected true or false, got text"),
    (of(langauge="cs"), 400, 'unknown field "langauge"'),
    (of(input={"image": "/etc/passwd"}), 400, "no address or path is ever opened"),
    (of(input={"image": "http://127.0.0.1/a.png"}), 400, "no address or path is ever opened"),
    (of(input={"image": 3}), 400, "input: expected a picture as data:image/jpeg;base64,..."),
    (of(input="data:image/png;base64,@@@"), 400, "input: expected a picture as data:image/jpeg;base64"),
    (of(input=f"data:image/png;base64,{base64.encodebytes(picture()).decode()}"), 400, "expected a picture as"),
    (of(input="data:image/png;base64,abc"), 400, "input: expected base64"),
    (of(input={"image": data_uri(b"hello", "text/plain")}), 400, "expected a picture as"),
    (of(input=data_uri(b"no picture")), 400, "cannot read the picture (UnidentifiedImageError)"),
    (of(input=data_uri(picture(size=(60, 60))[:-40])), 400, "cannot read the picture"),
    (of(input=data_uri(picture(format="TIFF"))), 400, "cannot read the picture"),
    (of(input=data_uri(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n")), 400, "cannot read the picture"),
    (of(input=data_uri(huge_png(6_000, 60))), 400, "input: expected at most 10,000 pixels, got 6,000 x 60"),
    (of(input=data_uri(huge_png(60_000, 60_000))), 400, "expected at most 10,000 pixels, got 60,000 x 60,000"),
    (of(input=data_uri(b"x" * 30_000)), 400, "expected a picture of at most 20,000 bytes"),
    (of(input=[URI] * 3), 400, "input: expected at most 2 pictures, got 3"),
]
BODIES = [
    *((json.dumps(document).encode(), status, said) for document, status, said in DOCUMENTS),
    (b"", 400, "body: expected JSON"),
    (b"{", 400, "body: expected JSON"),
    (b"[1]", 400, "body: expected a JSON object, got a list"),
    (b'"a"', 400, "body: expected a JSON object, got text"),
    (b"\xff\xfe", 400, "body: expected JSON"),
    (b'{"model": "\\ud83d"}', 400, "half a character"),
    (b"[" * 10_000, 400, "nested more than"),
    (b'{"model": ' + b"9" * 400 + b"}", 400, "more than 64 bits"),
    (b" " * 60_001, 413, "body: expected at most 60,000 bytes, got 60,001"),
]
PLACES = [
    ("GET", "/v1/embeddings", 405, "does not take such a request"),
    ("POST", "/v1/models", 405, "does not take such a request"),
    ("GET", "/v1/models/tiny:xx", 404, "model: expected one of"),
    ("GET", "/v1/models/..%2f..%2fetc%2fpasswd", 404, "model: expected one of"),
    ("GET", "/nowhere", 404, "there is no such page"),
    ("GET", "/static/../../etc/passwd", 404, "there is no such page"),
    ("GET", "/static/%2e%2e/%2e%2e/app.py", 404, "there is no such page"),
    ("POST", "/v1/load_adapter", 403, "started without --adapters-dir"),
    ("POST", "/v1/unload_adapter", 403, "started without --adapters-dir"),
]


@pytest.fixture(scope="module")
def client():
    with client_of(make_service(limits=LIMITS)) as client:
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


def test_a_body_without_a_length_is_counted_as_it_comes(client):
    answer = client.post(
        "/v1/embeddings", content=iter([b" " * 10_000] * 7), headers={"content-type": "application/json"}
    )
    check_refused(client, answer, 413, "body: expected at most 60,000 bytes, got 70,000")


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded", None])
def test_other_types_of_body_are_refused(client, kind):
    """A page of another site may send these to a server of this machine without asking it first."""
    headers = {} if kind is None else {"content-type": kind}
    answer = client.post("/v1/embeddings", content=json.dumps(SOUND).encode(), headers=headers)
    check_refused(client, answer, 415, "content-type: expected application/json, got")


@pytest.mark.parametrize(("method", "path", "status", "said"), PLACES, ids=[f"{m} {p}" for m, p, _, _ in PLACES])
def test_a_bad_place(client, method, path, status, said):
    check_refused(client, client.request(method, path, json={} if method == "POST" else None), status, said)


def test_a_failure_that_nobody_expected_is_a_sentence_and_a_traceback_in_a_file(monkeypatch, tmp_path):
    monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path))
    service = make_service()
    monkeypatch.setattr(service.models, "embed", lambda jobs: 1 / 0)
    with client_of(service) as client:
        answer = client.post("/v1/embeddings", json=SOUND)
        assert answer.status_code == 500
        assert answer.json()["error"]["type"] == "server_error"
        assert "ZeroDivision" not in answer.text
        assert client.get("/health").status_code == 200
    (log,) = tmp_path.rglob("*.log")
    assert "ZeroDivisionError" in log.read_text()
