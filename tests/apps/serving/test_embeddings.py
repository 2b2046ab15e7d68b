"""POST /v1/embeddings and /v1/models, through the application."""

import base64
import io
import struct
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from helpers.serving import LANGUAGES, client_of, data_uri, expected, make_models, make_service, picture
from helpers.small_experiment import tiny_towers
from helpers.tiny import sentences
from helpers.waiting import wait_until
from PIL import Image

import pecl.apps.serving.openai
import pecl.apps.serving.requests
from pecl.apps.serving import limits
from pecl.apps.serving.limits import Limits
from pecl.apps.serving.service import Service

TEXTS = sentences(4, seed=9)


@pytest.fixture(scope="module")
def client():
    with client_of(make_service(limits=Limits(window=0))) as client:
        yield client


def post(client, **document):
    answer = client.post("/v1/embeddings", json=document)
    assert answer.status_code == 200, answer.text
    return answer.json()


def vectors(document):
    return torch.tensor([row["embedding"] for row in document["data"]])


def close(found, wanted):
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def test_the_answer_has_openais_form(client):
    document = post(client, model="tiny:cs", input=TEXTS[0])
    (row,) = document.pop("data")
    tokens = len(TEXTS[0]) + 2
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    assert document == {"object": "list", "model": "tiny:cs", "usage": usage}
    assert (row["object"], row["index"], len(row["embedding"])) == ("embedding", 0, 8)
    close(torch.tensor([row["embedding"]]), expected(TEXTS[:1], ["cs"]))
    coded = post(client, model="tiny:cs", input=TEXTS[0], encoding_format="base64", dimensions=8, user="me")
    found = struct.unpack("<8f", base64.b64decode(coded["data"][0]["embedding"]))  # float32, lowest byte first
    assert found == pytest.approx(row["embedding"], abs=1e-6)


def test_a_language_for_each_input(client):
    languages = ["de", "Japanese", "en", None]
    items = [{"text": TEXTS[0], "language": "fr"}, TEXTS[1]]
    for asked, adapters in (
        ({"model": "tiny", "input": TEXTS, "language": languages}, ["de", "jp", None, None]),
        ({"model": "tiny", "input": TEXTS, "language": "cs"}, ["cs"] * 4),
        ({"model": "tiny", "input": TEXTS}, [None] * 4),
        ({"model": "tiny", "input": items, "language": "cs"}, ["fr", "cs"]),
        ({"model": "tiny:cs", "input": TEXTS, "language": "cs"}, ["cs"] * 4),
    ):
        close(vectors(post(client, **asked)), expected(TEXTS[: len(adapters)], adapters))


def test_pictures_and_texts_keep_their_places(client):
    red, blue = picture((250, 0, 0)), picture((0, 0, 250), format="JPEG")
    inputs = [data_uri(red), TEXTS[0], {"image": data_uri(blue, "image/jpeg")}, TEXTS[1]]
    document = post(client, model="tiny", input=inputs, language="cs")
    found = vectors(document)
    close(found[[1, 3]], expected(TEXTS[:2], ["cs", "cs"]))
    tower = tiny_towers().image
    close(found[:1], tower.encode_image(Image.new("RGB", (6, 6), (250, 0, 0))))
    close(found[2:3], tower.encode_image(Image.open(io.BytesIO(blue)).convert("RGB")))
    assert document["usage"]["prompt_tokens"] == sum(len(text) + 2 for text in TEXTS[:2])
    assert (found[0] - found[2]).norm() > 0.1


def test_requests_that_wait_together_are_one_mixed_pass():
    """A first pass, of one request, ends when twelve others wait."""
    service = make_service(limits=Limits(window=0))
    embed, begun, gate = service.models.embed, threading.Event(), threading.Event()
    service.models.embed = lambda jobs: begun.set() or (gate.wait(120) and embed(jobs))

    def ask(code):
        return post(client, model=f"tiny:{code}", input=TEXTS[0])

    def values():
        lines = client.get("/metrics").text.splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}

    with client_of(service) as client, ThreadPoolExecutor(13) as pool:
        first = pool.submit(ask, "cs")
        assert begun.wait(120)
        answers = [pool.submit(ask, code) for code in LANGUAGES]
        wait_until(lambda: values()["pecl_waiting_texts"] == 12, 120, "twelve requests that wait")
        gate.set()
        close(torch.cat([vectors(answer.result()) for answer in answers]), expected([TEXTS[0]] * 12, LANGUAGES))
        first.result()
        found = values()
        assert client.get("/health").json() == {"status": "ok", "adapters": 12}
    assert found['pecl_requests_total{endpoint="embeddings",status="200"}'] == 13
    assert (found["pecl_adapters"], found["pecl_waiting_texts"]) == (12, 0)
    assert found["pecl_tokens_total"] == 13 * (len(TEXTS[0]) + 2)
    assert found['pecl_pass_requests_count{kind="text"}'] == 2
    assert found['pecl_pass_requests_sum{kind="text"}'] == 1 + 12
    assert found["pecl_pass_languages_sum"] == 1 + 12


def test_a_long_request_waits_again_after_each_pass(monkeypatch):
    """So that short ones are not kept waiting for all of it."""
    monkeypatch.setattr(limits, "TOGETHER", 4)
    service, passes = make_service(limits=Limits(window=0)), []
    embed = service.models.embed
    service.models.embed = lambda jobs: passes.append([len(job) for job in jobs]) or embed(jobs)
    texts, languages = sentences(10, seed=11), [*LANGUAGES[:9], "en"]
    with client_of(service) as client:
        document = post(client, model="tiny", input=texts, language=languages)
    assert passes == [[4], [4], [2]]
    close(vectors(document), expected(texts, [*LANGUAGES[:9], None]))
    assert document["usage"]["prompt_tokens"] == sum(len(text) + 2 for text in texts)


@pytest.mark.parametrize(
    ("service", "document", "said"),
    [
        (
            lambda: make_service(limits=Limits(window=0)),
            {"model": "tiny:cs", "input": ["a", "b", "c", "d" * 200]},
            "input: text 3 has 202 tokens",  # its number in the request, of whose parts it is in the second
        ),
        (lambda: Service(make_models()), {"model": "tiny", "input": data_uri(picture())}, "no image tower"),
    ],
)
def test_requests_that_the_towers_cannot_answer(service, document, said, monkeypatch):
    monkeypatch.setattr(limits, "TOGETHER", 2)
    with client_of(service()) as client:
        answer = client.post("/v1/embeddings", json=document)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("module", "act"), [(pecl.apps.serving.requests, "parse_json"), (pecl.apps.serving.openai, "write_answer")]
)
def test_others_are_answered_while_a_body_is_read_and_an_answer_is_written(module, act, client, monkeypatch):
    """Reading and writing go on only once another request has been answered."""
    begun, answered, plain = threading.Event(), threading.Event(), getattr(module, act)

    def slow(*arguments):
        begun.set()
        assert answered.wait(120)
        return plain(*arguments)

    monkeypatch.setattr(module, act, slow)
    with ThreadPoolExecutor(1) as pool:
        large = pool.submit(post, client, model="tiny:cs", input=["a"] * 2048)
        assert begun.wait(120)
        assert client.get("/health").status_code == 200
        answered.set()
        assert len(large.result()["data"]) == 2048
