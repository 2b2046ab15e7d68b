"""A server in front of immich's machine learning service: texts are answered by the bank, all else is passed on."""

import base64
import contextlib
import json
import re
import socket
import socketserver
import threading

import httpx
import numpy as np
import pytest
import torch
from helpers.serving import expected, make_models, make_service, running
from helpers.waiting import wait_until

from pecl.apps.serving import limits
from pecl.apps.serving.upstream import PASSED_ON, Immich
from pecl.errors import ConfigError
from pecl.language.language_guess import LanguageGuess

MODEL = "XLM-Roberta-Large-Vit-B-32"


class Raw:
    """immich's service, in bytes: it keeps what it was sent, and answers with `reply`, or, without one, never."""

    def __init__(self, reply=None):
        self.received, self.reply, self.held = [], reply, set()
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                lines = list(iter(self.rfile.readline, b"\r\n"))
                length = re.search(rb"content-length: (\d+)", b"".join(lines), re.IGNORECASE)
                outer.received.append(b"".join([*lines, b"\r\n", self.rfile.read(int(length[1]) if length else 0)]))
                if outer.reply is not None:
                    self.wfile.write(outer.reply)
                    return
                outer.held.add(self)
                self.rfile.read()
                outer.held.remove(self)

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.socket.listen(600)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.host = f"127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


FINE = b"HTTP/1.1 200 Fine\r\ncontent-type: text/plain\r\n%s\r\n\r\nhello"


@pytest.fixture(scope="module")
def raw():
    with Raw(FINE % b"content-length: 5") as raw:
        yield raw


@pytest.fixture(scope="module")
def address(raw):
    with running(make_service(immich=Immich(f"http://{raw.host}", MODEL))) as address:
        yield address


def form(entries, text=None, image=None):
    """A form as immich's server writes it: the entries first, then a text, or a file called `blob`."""
    edge = "----formdata-undici-0123456789"
    parts = [("entries", "", entries if isinstance(entries, bytes) else json.dumps(entries).encode())]
    parts += [("text", "", text.encode())] if text is not None else []
    parts += [("image", '; filename="blob"\r\nContent-Type: application/octet-stream', image)] if image else []
    fields = (
        f'--{edge}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + content + b"\r\n"
        for name, more, content in parts
    )
    return {
        "content": b"".join(fields) + f"--{edge}--\r\n".encode(),
        "headers": {"content-type": f"multipart/form-data; boundary={edge}"},
    }


def textual(text, language=None, model=MODEL):
    entry = {"modelName": model, "options": {} if language is None else {"language": language}}
    return form({"clip": {"textual": entry}}, text)


VISUAL = {"clip": {"visual": {"modelName": MODEL}}}
FACES = {"facial-recognition": {"detection": {"modelName": "buffalo_l"}, "recognition": {"modelName": "buffalo_l"}}}


def embedding(answer):
    assert answer.status_code == 200, answer.text
    return torch.tensor(json.loads(answer.json()["clip"]))


@pytest.mark.parametrize(
    ("sent", "text", "adapter"),
    [
        ("cs", "pes", "cs"),
        ("zh-Hans", "pes", "zh"),
        ("ja", "pes", "jp"),
        ("fi", "koira", None),  # no adapter is for it
        ("-", "Der Hund läuft am Strand entlang", "de"),
        ("en", "Der Hund läuft am Strand entlang und die Katze schläft", "de"),  # pages in English, a text in German
        (None, "Der Hund läuft am Strand entlang und die Katze schläft", "de"),
    ],
)
def test_the_language_that_is_sent_or_detected(address, sent, text, adapter, monkeypatch):
    found = LanguageGuess("de" if text.startswith("Der") else "en", 0.9)  # lingua takes seconds to load
    monkeypatch.setattr("pecl.apps.serving.immich.guess_languages", lambda texts, known: [found])
    row = embedding(httpx.post(f"{address}/predict", **textual(text, sent)))
    torch.testing.assert_close(row, expected([text], [adapter])[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "sent",
    [
        *(form(entries, image=np.random.default_rng(0).bytes(3_000_000)) for entries in (VISUAL, FACES, b"bad{")),
        {"content": b"{}", "headers": {"content-type": "application/json"}},
    ],
    ids=["visual", "faces", "bad", "no form"],
)
def test_everything_else_is_passed_on_as_it_is(address, raw, sent):
    answer = httpx.post(f"{address}/predict", **sent)
    head, _, content = raw.received[-1].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /predict HTTP/1.1")
    assert sent["headers"]["content-type"].encode() in head
    assert content == sent["content"]
    assert (answer.status_code, answer.text) == (200, "hello")
    assert httpx.get(f"{address}/ping").text == "pong"


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (textual("pes", model="ViT-B-32__openai"), f"modelName: expected {MODEL}, whose text tower"),
        (textual("pes", 7), "language: expected text, got 7"),
        (form({"clip": {"textual": {"modelName": MODEL}, "visual": {"modelName": MODEL}}}, "pes"), "expected only"),
        (textual("x" * 8193), "text: expected at most 8,192 characters"),
    ],
)
def test_a_wrong_text_gets_no_vector(address, raw, request_, sentence):
    before = len(raw.received)
    answer = httpx.post(f"{address}/predict", **request_)
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]["message"]
    assert len(raw.received) == before  # whose vector would be another tower's


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
    for wrong in ("immich:3003", "http://[::"):
        with pytest.raises(ConfigError, match="immich_upstream: expected an address such as"):
            Immich(wrong, MODEL)


def test_no_header_or_credential_goes_where_it_does_not_belong(caplog):
    """The key of this server, credentials of immich's, and headers of a connection; each way."""
    more = b"content-length: 5\r\nset-cookie: a=b\r\nx-powered-by: y\r\nconnection: x-secret\r\nx-secret: z"
    key, secrets = b"a-key-of-this-server", ("user", "pass-word", base64.b64encode(b"user:pass-word").decode())
    caplog.set_level(0)
    with Raw(FINE % more) as raw:
        immich = Immich(f"http://user:pass-word@{raw.host}", MODEL)
        with running(make_service(make_models([]), immich=immich), key=key, access_log=True) as address:
            sent = form(VISUAL, image=b"x")
            sent["headers"] |= {
                **{"authorization": f"Bearer {key.decode()}", "proxy-authorization": "Basic abc", "cookie": "c=d"},
                **{"connection": "x-own", "x-own": "1", "te": "trailers", "accept": "application/json"},
            }
            answer = httpx.post(f"{address}/predict", **sent)
            assert (answer.status_code, answer.text) == (200, "hello")
            raw.reply = b"HTTP/1.1 500 Wrong\r\n\r\n"
            bad = [httpx.get(f"{address}/ping", headers=sent["headers"])]
            raw.server.shutdown()
            raw.server.server_close()
            bad += [httpx.post(f"{address}/predict", **sent), httpx.get(f"{address}/ping", headers=sent["headers"])]
    head = raw.received[0].partition(b"\r\n\r\n")[0].decode().lower().split("\r\n")[1:]
    names = {line.partition(":")[0] for line in head}
    assert names == {*(PASSED_ON), "host", "content-length", "authorization", "user-agent", "connection"} - {
        "content-encoding"
    }
    assert f"authorization: basic {secrets[2]}".lower() in head
    assert "connection: keep-alive" in head
    assert set(answer.headers) == {"content-type", "content-length", "date", *ALWAYS}
    assert [one.status_code for one in bad] == [502] * 3
    assert not [one for one in secrets for text in (caplog.text, *(each.text for each in bad)) if one in text]


ALWAYS = (
    *("x-content-type-options", "referrer-policy", "cross-origin-resource-policy"),
    *("content-security-policy", "cache-control"),
)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (None, "does not answer in time"),
        (b"HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n", "answered with status 999"),
        (FINE % b"content-length: 50", "cannot be reached, or broke off"),
    ],
)
def test_a_service_that_answers_nonsense_or_not_at_all_is_one_sentence(reply, said, caplog):
    with (
        Raw(reply) as raw,
        running(make_service(make_models([]), immich=Immich(f"http://{raw.host}", MODEL, patience=1.0))) as address,
    ):
        answer = httpx.post(f"{address}/predict", **form(VISUAL, image=b"x"))
    assert answer.status_code == (504 if reply is None else 502)
    assert said in answer.json()["error"]["message"]
    assert "Traceback" not in caplog.text


def test_texts_are_answered_while_forwards_hang_and_these_end_with_their_clients(monkeypatch):
    monkeypatch.setattr(limits, "FORWARDS", 2)
    content, headers = form(VISUAL, image=b"x" * 5000).values()
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = f"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(content)}\r\n{head}\r\n".encode()
    with Raw() as raw, contextlib.ExitStack() as stack:
        service = make_service(immich=Immich(f"http://{raw.host}", MODEL))
        address = stack.enter_context(running(service))
        clients = [socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) for _ in range(2)]
        for client in clients:
            client.sendall(request + content)
        wait_until(lambda: len(raw.held) == 2, 60, "the forwards")
        refused = httpx.post(f"{address}/predict", **form(VISUAL, image=b"x"))
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        embedding(httpx.post(f"{address}/predict", **textual("pes", "cs")))
        for client in clients:
            client.close()
        wait_until(lambda: not raw.held, 60, "the end of the forwards")  # each is cancelled, and its slot is free
