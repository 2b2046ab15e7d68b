"""The key of a server, and the log of its requests."""

import base64
import logging
import re
from types import SimpleNamespace

import pytest
from helpers.serving import client_of, make_service

from pecl.apps.serving.sockets import allowed_hosts, read_key
from pecl.errors import ConfigError

KEY = b"sk-correct.horse:battery"
SOUND = {"model": "tiny:cs", "input": "pes"}


@pytest.fixture(scope="module")
def client():
    with client_of(make_service(), key=KEY) as client:
        yield client


def basic(password, user="me"):
    return f"Basic {base64.b64encode(user.encode() + b':' + password).decode()}"


GIVEN = [f"Bearer {KEY.decode()}", f"bearer   {KEY.decode()}", basic(KEY)]
NOT_GIVEN = [
    None,
    KEY.decode(),
    f"Bearer {KEY.decode()}x",
    "Basic @@@",
    basic(KEY[:-1]),
    "Bearer \xe9\xff" + KEY.decode(),
]


def headers(given):
    return {} if given is None else {"authorization": given.encode("latin-1")}


@pytest.mark.parametrize("given", GIVEN)
def test_the_key_opens_everything(client, given):
    for address in ("/", "/v1/models", "/metrics", "/search", "/openapi.json"):
        assert client.get(address, headers=headers(given)).status_code == 200
    assert client.post("/v1/embeddings", json=SOUND, headers=headers(given)).status_code == 200


@pytest.mark.parametrize("given", NOT_GIVEN)
def test_nothing_is_answered_without_it(client, given):
    identity = "0" * 32
    for address in ("/", "/v1/models", "/metrics", "/search", "/openapi.json", "/nowhere", f"/photographs/{identity}"):
        answer = client.get(address, headers=headers(given))
        assert answer.status_code == 401, address
        error = answer.json()["error"]
        assert error["code"] == "invalid_api_key"
        assert KEY.decode() not in answer.text
        challenges = answer.headers.get_list("www-authenticate")
        assert [challenge.partition(" ")[0] for challenge in challenges] == ["Bearer", "Basic"]
    assert client.post("/v1/embeddings", json=SOUND, headers=headers(given)).status_code == 401
    assert client.get("/health", headers=headers(given)).json()["status"] == "ok"


@pytest.mark.parametrize("content", [b"too-short", KEY + b"\n" + KEY, "schlüssel".encode() * 3])
def test_a_key_is_one_line_of_16_to_512_characters(tmp_path, content):
    (tmp_path / "key").write_bytes(b"  " + KEY + b"\r\n")
    assert read_key(tmp_path / "key") == KEY
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(ConfigError, match="api_key_file: expected one line of 16 to 512 letters") as error:
        read_key(tmp_path / "key")
    assert not content or content.decode("latin-1") not in str(error.value)


LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} testclient (\w+) (\S+) (\d+) \d+\.\d{3} s")


def test_requests_are_logged_on_request_without_their_queries(caplog):
    caplog.set_level(logging.INFO, "pecl")
    with client_of(make_service(), key=KEY, access_log=True) as client:
        client.head("/health")
        client.get("/search?query=secret&language=cs", headers=headers(GIVEN[0]))
        client.post("/v1/embeddings", json=SOUND)
        client.get("/a%0Ab%1b[31m" + "x" * 300)
    lines = [LINE.fullmatch(record.getMessage()) for record in caplog.records]
    assert all(lines)
    assert [line.groups() for line in lines[:3]] == [
        ("HEAD", "/health", "200"),
        ("GET", "/search", "404"),
        ("POST", "/v1/embeddings", "401"),
    ]
    assert lines[3][2].startswith("/a%0Ab%1b")
    assert len(lines[3][2]) == 200
    assert "secret" not in caplog.text
    assert KEY.decode() not in caplog.text
    caplog.clear()
    with client_of(make_service()) as client:
        client.get("/health")
    assert not caplog.messages


@pytest.mark.parametrize(
    ("address", "is_local"),
    [("127.0.0.1", True), ("::ffff:127.0.0.1", True), ("::1", True), ("::ffff:10.0.0.1", False), ("0.0.0.0", False)],
)
def test_only_a_socket_that_this_machine_alone_can_reach_has_names(address, is_local):
    listening = SimpleNamespace(getsockname=lambda: (address, 8000))
    names = allowed_hosts(listening, "MyHost")
    assert (names is not None) == is_local
    assert names is None or {"localhost", "myhost", address} <= set(names)


def test_a_stopping_server_is_not_healthy():
    service = make_service()
    with client_of(service) as client:
        assert client.get("/health").json()["status"] == "ok"
        service.stopping = True
        answer = client.get("/health")
    assert (answer.status_code, answer.json()["status"], answer.headers["connection"]) == (503, "stopping", "close")
