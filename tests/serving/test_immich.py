"""A server in front of immich's machine learning service: texts are answered by the bank, all else is passed on."""

import asyncio
import http.client
import json
import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
import torch
import uvicorn
from helpers.serving import LANGUAGES, expected, make_models, make_service, run_server, running
from helpers.tiny import sentences

from pecl.data.language_guess import LanguageGuess
from pecl.errors import ConfigError
from pecl.serving.limits import Limits
from pecl.serving.upstream import Immich

MODEL = "XLM-Roberta-Large-Vit-B-32"
CLIENTS = 32


class Upstream:
    """What immich's service does: GET /ping, and POST /predict with a form. It keeps each form as it came."""

    def __init__(self):
        self.bodies, self.slow, self.broken, self.part = [], 0.0, False, threading.Event()

    async def __call__(self, scope, receive, send):
        if scope["path"] == "/ping":
            await self.answer(send, b"pong", b"text/plain; charset=utf-8")
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if body:
                self.part.set()
            if not message.get("more_body"):
                break
        await asyncio.sleep(self.slow)
        self.bodies.append((dict(scope["headers"])[b"content-type"], body))
        faces = [{"boundingBox": {"x1": 1.5}, "embedding": "[0.1,0.2]"}]
        content = json.dumps({"facial-recognition": faces, "imageHeight": len(body)}, indent=1).encode()
        await self.answer(send, content, b"application/json", 422 if b"bad" in body[:200] else 200)

    async def answer(self, send, content, kind, status=200):
        headers = [(b"content-type", kind), (b"content-length", str(len(content)).encode()), (b"x-own", b"immich")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content[:5], "more_body": True})
        if self.broken:
            raise RuntimeError("broken off")
        await send({"type": "http.response.body", "body": content[5:]})


@pytest.fixture(scope="module")
def upstream():
    return Upstream()


@pytest.fixture(scope="module")
def own(upstream):
    with run_server(uvicorn.Server(uvicorn.Config(upstream, lifespan="off", log_level="critical"))) as address:
        yield address


@pytest.fixture(scope="module")
def address(own):
    with running(make_service(immich=Immich(own, MODEL, patience=1.0))) as address:
        yield address


def form(entries, text=None, image=None, order=1):
    """A form as immich's server writes it: the entries first, then a text, or a file called `blob`; -1 reverses it."""
    edge = "----formdata-undici-0123456789"
    parts = [("entries", "", entries if isinstance(entries, bytes) else json.dumps(entries).encode())]
    parts += [("text", "", text.encode(errors="surrogateescape"))] if text is not None else []
    parts += [("image", '; filename="blob"\r\nContent-Type: application/octet-stream', image)] if image else []
    fields = (
        f'--{edge}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + content + b"\r\n"
        for name, more, content in parts[::order]
    )
    return {
        "content": b"".join(fields) + f"--{edge}--\r\n".encode(),
        "headers": {"content-type": f"multipart/form-data; boundary={edge}"},
    }


def textual(text, language=None, model=MODEL, order=1):
    entry = {"modelName": model, "options": {} if language is None else {"language": language}}
    return form({"clip": {"textual": entry}}, text, order=order)


VISUAL = {"clip": {"visual": {"modelName": MODEL}}}
FACES = {"facial-recognition": {"detection": {"modelName": "buffalo_l"}, "recognition": {"modelName": "buffalo_l"}}}


def embedding(answer):
    assert answer.status_code == 200, answer.text
    return torch.tensor(json.loads(answer.json()["clip"]))


@pytest.mark.parametrize("count", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_texts_of_twelve_languages_by_many_clients_are_the_banks(address, count):
    """Each answer is compared with a tower of its language only."""
    texts = sentences(count, seed=5)
    languages = [random.Random(i).choice(LANGUAGES) for i in range(count)]
    limits = httpx.Limits(max_connections=CLIENTS)
    with httpx.Client(timeout=120, limits=limits) as client, ThreadPoolExecutor(CLIENTS) as pool:

        def ask(text, language):
            return embedding(client.post(f"{address}/predict", **textual(text, language)))

        rows = torch.stack(list(pool.map(ask, texts, languages)))
    torch.testing.assert_close(rows, expected(texts, languages), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("sent", "text", "adapter"),
    [
        ("cs", "pes", "cs"),
        ("zh-Hans", "pes", "zh"),
        ("ja", "pes", "jp"),
        ("de-AT", "pes", "de"),
        ("fi", "koira", None),  # no adapter is for it
        ("en", "a dog is running on the beach", None),
        ("en", "Der Hund läuft am Strand entlang und die Katze schläft", "de"),  # pages in English, a text in German
        (None, "Der Hund läuft am Strand entlang und die Katze schläft", "de"),
    ],
)
def test_the_language_that_is_sent_or_detected(address, sent, text, adapter, monkeypatch):
    found = LanguageGuess("de" if text.startswith("Der") else "en", 0.9)  # lingua takes seconds to load
    monkeypatch.setattr("pecl.serving.immich.guess_languages", lambda texts, known: [found])
    row = embedding(httpx.post(f"{address}/predict", **textual(text, sent)))
    torch.testing.assert_close(row, expected([text], [adapter])[0], rtol=0, atol=1e-5)


def test_without_lingua_a_text_in_no_named_language_gets_the_plain_tower(address, monkeypatch):
    monkeypatch.setattr("pecl.serving.immich.can_guess", lambda: False)
    text = "Der Hund läuft am Strand entlang"
    for sent in ("en", None):
        row = embedding(httpx.post(f"{address}/predict", **textual(text, sent)))
        torch.testing.assert_close(row, expected([text], [None])[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "sent",
    [
        *(form(entries, image=np.random.default_rng(0).bytes(3_000_000)) for entries in (VISUAL, FACES, b"bad{")),
        {"content": b"{}", "headers": {"content-type": "application/json"}},
    ],
    ids=["visual", "faces", "bad", "no form"],
)
def test_everything_else_is_passed_on_as_it_is(address, own, upstream, sent):
    direct, through = (httpx.post(f"{base}/predict", **sent) for base in (own, address))
    assert upstream.bodies[-1] == upstream.bodies[-2] == (sent["headers"]["content-type"].encode(), sent["content"])
    assert (through.status_code, through.content) == (direct.status_code, direct.content)
    assert through.headers["x-own"] == "immich"
    assert httpx.get(f"{address}/ping").text == "pong"


def test_a_form_is_passed_on_before_it_is_whole(address, upstream):
    sent = form(VISUAL, image=bytes(200_000))
    upstream.part.clear()

    def parts():
        yield sent["content"][:100_000]
        assert upstream.part.wait(30)  # its beginning has arrived
        yield sent["content"][100_000:]

    length = {"content-length": str(len(sent["content"]))}
    answer = httpx.post(f"{address}/predict", content=parts(), headers=sent["headers"] | length)
    assert (answer.status_code, upstream.bodies[-1][1]) == (200, sent["content"])


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (textual("pes", model="ViT-B-32__openai"), f"modelName: expected {MODEL}, whose text tower"),
        (textual("pes", model=None), f"modelName: expected {MODEL}"),
        (textual(" "), "text: expected text, got none"),
        (form({"clip": {"textual": {"modelName": MODEL}}}), "text: expected a text, got none"),
        (textual("pes", 7), "language: expected text, got a number"),
        (form({"clip": {"textual": {"modelName": MODEL}, "visual": {"modelName": MODEL}}}, "pes"), "expected only"),
        (textual("x" * 8193), "text: expected at most 8,192 characters"),
        (textual("x" * 300_000, order=-1), "entries: expected it in the first 64 KiB of the form"),
        (textual("pes\udcff"), "text: expected UTF-8"),
    ],
)
def test_a_wrong_text_gets_no_vector(address, upstream, request_, sentence):
    before = len(upstream.bodies)
    answer = httpx.post(f"{address}/predict", **request_)
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]["message"]
    assert len(upstream.bodies) == before  # whose vector would be another tower's


@pytest.mark.parametrize(
    ("limits", "length", "end", "status", "sentence"),
    [
        (Limits(body_bytes=1024), 300_000, None, 413, "body: expected at most 1,024 bytes, got more"),
        (Limits(patience=0.2), 1, -9, 408, "body: expected its next part within 0.2 seconds"),
    ],
)
def test_a_text_that_is_too_long_or_does_not_come(own, upstream, limits, length, end, status, sentence):
    before, (content, headers) = len(upstream.bodies), textual("x" * length).values()
    with running(make_service(immich=Immich(own, MODEL), limits=limits)) as address:
        connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=120)
        connection.request("POST", "/predict", content[:end], headers | {"content-length": str(len(content))})
        answer = connection.getresponse()
        message = json.loads(answer.read())["error"]["message"]
    assert (answer.status, message, len(upstream.bodies)) == (status, sentence, before)


def test_a_slow_service_is_said(address, upstream, monkeypatch):
    monkeypatch.setattr(upstream, "slow", 1.5)
    answer = httpx.post(f"{address}/predict", **form(VISUAL, image=b"x"), timeout=30)
    assert answer.status_code == 504
    assert "does not answer in time" in answer.json()["error"]["message"]


def test_a_service_that_breaks_off_gives_half_an_answer_and_no_whole_one(address, upstream, monkeypatch):
    monkeypatch.setattr(upstream, "broken", True)
    with pytest.raises(httpx.HTTPError):
        httpx.post(f"{address}/predict", **form(VISUAL, image=b"x"))


def test_a_service_that_is_gone_is_said_and_texts_are_answered():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        gone = f"http://127.0.0.1:{listening.getsockname()[1]}"
    immich = Immich(gone, MODEL)
    immich.check()  # a warning: it may start later
    with running(make_service(make_models([]), immich=immich)) as address:
        for answer in (httpx.post(f"{address}/predict", **form(FACES, image=b"x")), httpx.get(f"{address}/ping")):
            assert answer.status_code == 502
            assert f"immich's service at {gone} cannot be reached" in answer.json()["error"]["message"]
        row = embedding(httpx.post(f"{address}/predict", **textual("koira", "fi")))
    torch.testing.assert_close(row, expected(["koira"], [None])[0], rtol=0, atol=1e-5)


def test_another_service_is_refused(address):
    with pytest.raises(ConfigError, match="expected immich's machine learning service"):
        Immich(f"{address}/v1", MODEL).check()
    for wrong in ("immich:3003", "ftp://immich", "http://", "http://[::", ""):
        with pytest.raises(ConfigError, match="immich_upstream: expected an address such as"):
            Immich(wrong, MODEL)
