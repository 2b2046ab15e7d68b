"""JSON of requests: others are answered while it is read, and its values are counted before it is."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from helpers.serving import make_service, running
from hypothesis import given
from hypothesis import strategies as st

import pecl.serving.bodies
import pecl.serving.embeddings
from pecl.serving.limits import Limits

JSON = {"content-type": "application/json"}
LARGE = 16 << 20


@pytest.fixture(scope="module")
def address():
    with running(make_service()) as address:
        yield address


def values(document):
    """Count the values of a document one by one, and the names of fields."""
    if isinstance(document, dict):
        return 1 + len(document) + sum(map(values, document.values()))
    return 1 + (sum(map(values, document)) if isinstance(document, list) else 0)


def filled(part, start=b"[", end=b"[]]"):
    """Return almost 16 MB of JSON that repeats a part."""
    return start + part * ((LARGE - len(start) - len(end)) // len(part)) + end


BODIES = {
    "lists": filled(b"[],"),
    "objects": filled(b"{},"),
    "numbers": filled(b"1,"),
    "texts": filled(b'"",'),
    "fields": filled(b'"":1,', b"{", b'"a":1}'),
    "quotes": b'"' * LARGE,
    "deep": b"[" * LARGE,
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_of_millions_of_values_is_refused_before_it_is_read(name, address, monkeypatch):
    read = []
    monkeypatch.setattr(pecl.serving.bodies, "parse_json", read.append)
    answer = httpx.post(f"{address}/v1/embeddings", content=BODIES[name], headers=JSON, timeout=120)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "body: expected JSON: it holds more than 131,072 values"
    assert httpx.get(f"{address}/health", timeout=120).status_code == 200
    assert read == []


@pytest.mark.parametrize(("module", "act"), [(pecl.serving.bodies, "parse"), (pecl.serving.embeddings, "write_answer")])
def test_others_are_answered_while_a_body_is_read_and_an_answer_is_written(module, act, address, monkeypatch):
    """Reading and writing go on only once another request has been answered."""
    begun, answered = threading.Event(), threading.Event()
    plain = getattr(module, act)

    def slow(*arguments):
        begun.set()
        assert answered.wait(120)
        return plain(*arguments)

    monkeypatch.setattr(module, act, slow)
    document = {"model": "tiny:cs", "input": ["a"] * 2048}
    with ThreadPoolExecutor(1) as pool:
        large = pool.submit(httpx.post, f"{address}/v1/embeddings", json=document, timeout=120)
        assert begun.wait(120)
        assert httpx.get(f"{address}/health", timeout=60).status_code == 200
        answered.set()
        assert len(large.result().json()["data"]) == 2048


TEXTS = st.text(st.sampled_from('a,:[{"\\]}\u00e9 \n'), max_size=8)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=30,
)


@given(DOCUMENTS, st.booleans())
def test_no_value_goes_uncounted_and_nothing_in_a_text_is_one(document, ascii):
    """An empty list or object counts twice, since something might stand in it."""
    body = json.dumps(document, ensure_ascii=ascii).encode()
    number = values(document)
    assert pecl.serving.bodies.parse(body, 2 * number) == document
    with pytest.raises(ValueError, match="values"):
        pecl.serving.bodies.parse(body, number - 1)


def test_the_largest_request_has_not_too_many_values():
    limits = Limits()
    item = {"text": "a, [b]: {c}", "language": "cs"}
    document = {"model": "mini", "input": [item] * (limits.texts + limits.pictures), "truncate": True}
    assert pecl.serving.bodies.parse(json.dumps(document).encode(), limits.values) == document
