"""A real server on the loopback: the openai client, many clients at once, and a stop that loses nothing."""

import functools
import json
import random
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import torch
from helpers.serving import LANGUAGES, client_of, expected, make_service, running, server_process
from helpers.tiny import sentences
from helpers.waiting import wait_until

from pecl.apps.serving import limits
from pecl.apps.serving.server import Frame, Server, serve
from pecl.apps.serving.sockets import allowed_hosts, open_socket
from pecl.errors import RunError

CLIENTS = 32


def head_of(length):
    """The head of a request whose body has so many bytes."""
    lines = ("POST /v1/embeddings HTTP/1.1", "host: localhost", "content-type: application/json")
    return "\r\n".join([*lines, f"content-length: {length}", "", ""]).encode()


@pytest.fixture(scope="module")
def address():
    with running(make_service()) as address:
        yield address


@pytest.fixture
def client(address):
    import openai

    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_the_openai_client_embeds_lists_and_understands_refusals(client):
    import openai

    texts = sentences(3, seed=1)
    answer = client.embeddings.create(model="tiny:cs", input=texts)  # the client asks for base64 by itself
    found = torch.tensor([row.embedding for row in answer.data])
    torch.testing.assert_close(found, expected(texts, ["cs"] * 3), rtol=0, atol=1e-5)
    assert answer.usage.total_tokens == sum(len(text) + 2 for text in texts)
    assert [model.id for model in client.models.list()][:2] == ["tiny", "tiny:de"]
    assert client.models.retrieve("tiny:cs").id == "tiny:cs"
    with pytest.raises(openai.NotFoundError, match="did you mean 'tiny:cs'") as refused:
        client.embeddings.create(model="tinny:cs", input="a")
    assert refused.value.code == "model_not_found"


def test_32_clients_in_12_languages_get_what_each_gets_alone(address):
    """Each of 32 threads sends 2 requests of 1 to 3 texts, each text in a language of its own."""
    texts = sentences(40, seed=3)
    single = {language: expected(texts, [language] * len(texts)) for language in LANGUAGES}
    start = threading.Barrier(CLIENTS)

    def talk(number):
        draw = random.Random(number)
        with httpx.Client(base_url=address, timeout=120) as client:
            start.wait(120)
            for _ in range(2):
                places = draw.sample(range(len(texts)), draw.randint(1, 3))
                languages = draw.choices(LANGUAGES, k=len(places))
                document = {"model": "tiny", "input": [texts[i] for i in places], "language": languages}
                answer = client.post("/v1/embeddings", json=document)
                assert answer.status_code == 200, answer.text
                found = torch.tensor([row["embedding"] for row in answer.json()["data"]])
                wanted = torch.stack([single[code][i] for code, i in zip(languages, places, strict=True)])
                torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
        return True

    with ThreadPoolExecutor(CLIENTS) as pool:
        assert list(pool.map(talk, range(CLIENTS))) == [True] * CLIENTS


SLOW = """
import time
from pecl.apps.serving import limits
limits.TOGETHER = 8
service = make_service()
embed = service.models.embed
service.models.embed = lambda jobs: time.sleep(0.4) or embed(jobs)
"""


def test_a_signal_loses_no_request():
    """40 requests are sent, 5 passes' worth; the signal comes while the first are computed, some still on their way."""
    texts = sentences(40, seed=6)
    languages = [LANGUAGES[i % 12] for i in range(40)]
    with server_process(SLOW) as (server, port):
        sockets = [send(port, text, language) for text, language in zip(texts, languages, strict=True)]
        server.send_signal(signal.SIGTERM)  # at once: most are still in the system's hands
        received = [read(one) for one in sockets]
        assert server.wait(120) == 0
        assert server.stdout.read() == "stopped\n"
    assert [status for status, _ in received] == [200] * 40
    found = torch.tensor([document["data"][0]["embedding"] for _, document in received])
    torch.testing.assert_close(found, expected(texts, languages), rtol=0, atol=1e-5)


def test_a_request_that_takes_longer_than_the_patience_of_a_stop_is_told_so(monkeypatch):
    monkeypatch.setattr(limits, "PATIENCE", 1)
    service = make_service()
    embed, begun, ended = service.models.embed, threading.Event(), threading.Event()
    monkeypatch.setattr(service.models, "embed", lambda jobs: begun.set() or (ended.wait(120) and embed(jobs)))
    with ThreadPoolExecutor(2) as clients:
        with running(service) as address:
            body = {"model": "tiny", "input": "a"}
            send = functools.partial(httpx.post, f"{address}/v1/embeddings", json=body, timeout=120, trust_env=False)
            requests = [clients.submit(send) for _ in range(2)]  # one is computed, the other waits
            assert begun.wait(120)
            wait_until(lambda: service.metrics.open_requests._value.get() == 2, 120, "both requests")
            for request in requests:
                request.add_done_callback(lambda _: ended.set())  # so that the pass ends after its request
        answers = [request.result() for request in requests]
    for answer in answers:
        assert answer.status_code == 503
        assert answer.json()["error"]["message"] == "the server stopped before it could answer; try again"


TAKEN = ("localhost:1", "LOCALHOST:8000", "127.0.0.1", "[::1]", "[::1]:8000")
REFUSED = ("evil.example:8000", "127.0.0.1.evil.example", "[::2]", "")
LOCAL = ("LOCALHOST", "::1")


@pytest.mark.parametrize("host", LOCAL)
def test_the_bound_address_decides_whether_names_are_checked(host):
    """However the loopback is called, a name that an attacker lets point at this machine is not answered."""
    with open_socket(host, 0) as listening:
        allowed = allowed_hosts(listening, host)
        with client_of(make_service(), allowed) as client:
            for name in (host if ":" not in host else f"[{host}]", *TAKEN):
                assert client.get("/health", headers={"host": name}).status_code == 200
            for name in REFUSED:
                answer = client.get("/health", headers={"host": name})
                assert answer.status_code == 421
                assert "host: expected one of 127.0.0.1, localhost" in answer.json()["error"]["message"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_body_of_an_answer_does_not_wait_for_an_acknowledgement_of_its_head(host):
    with open_socket(host, 0) as listening, socket.create_connection(listening.getsockname()[:2]):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_serve_checks_names_by_the_bound_address(monkeypatch):
    made = []
    monkeypatch.setattr(Server, "run", lambda self, sockets: made.append(self))
    monkeypatch.setattr("resource.getrlimit", lambda _: (256, 2**63 - 1))  # as on macOS
    monkeypatch.setattr("resource.setrlimit", lambda _, limits: made.append(limits))
    with open_socket("LOCALHOST", 0) as listening, pytest.raises(RunError, match="could not start"):
        serve(make_service(), listening, "LOCALHOST")
    assert made[0] == (10_240, 2**63 - 1)
    (frame,) = (each for each in made[1].config.app.user_middleware if each.cls is Frame)
    assert "evil.example" not in frame.kwargs["hosts"]
    assert {"localhost", "127.0.0.1"} <= set(frame.kwargs["hosts"])


def send(port, text, language):
    """Send a request over a connection of its own, and return that; nothing of the answer is read."""
    body = json.dumps({"model": "tiny", "input": text, "language": language}).encode()
    one = socket.create_connection(("127.0.0.1", port), timeout=120)
    one.sendall(head_of(len(body)) + body)
    return one


def read(one):
    """Return status and document of the answer, which ends with its connection."""
    parts = []
    with one:
        while part := one.recv(65536):
            parts.append(part)
    head, _, body = b"".join(parts).partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    return int(head.split()[1]), json.loads(body)
