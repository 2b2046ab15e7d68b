"""Fetching one file from a server that stalls, cuts off, refuses and lies: what comes back is whole, or nothing."""

import random
import socket
import threading
from dataclasses import replace

import pytest
from helpers.loopback import FAST, hang_up, running_server, sha, stall, status, truncate, without_proxies, wrong
from huggingface_hub.utils import _http as http

from pecl.data.fetching.download import check_content
from pecl.data.fetching.fetch import FetchError, StoppedError, UnreachableError
from pecl.data.fetching.fetch import fetch as fetch_file

CONTENT = random.Random(0).randbytes(200_000)
PATH = "/file.bin"
SILENT = replace(FAST, timeout=0.3)  # for servers that are to fall silent


@pytest.fixture
def server(monkeypatch):
    without_proxies(monkeypatch)
    with running_server() as server:
        server.files[PATH] = CONTENT
        yield server


def fetch(server, policy=FAST, stopped=None):
    return fetch_file(
        server.url + PATH, lambda content: check_content(content, sha(CONTENT)), policy, stopped or threading.Event()
    )


def test_a_file_arrives_whole(server):
    assert fetch(server) == CONTENT
    (headers,) = server.seen(PATH)
    assert headers["User-Agent"].startswith("pecl")


@pytest.mark.parametrize(
    "fault",
    [
        *(truncate(70_000), truncate(0), hang_up, wrong(CONTENT[:-1] + b"?"), wrong(b"sign in")),
        *(status(code) for code in (408, 425, 429, 500, 502, 503, 504)),
        *(status(503, Retry_After="0"), status(503, Retry_After="no date")),
    ],
)
def test_a_passing_fault_is_tried_again(server, fault):
    server.faults[PATH] = [fault]
    assert fetch(server) == CONTENT
    assert len(server.seen(PATH)) == 2


def test_a_stalled_file_is_tried_again(server):
    server.faults[PATH] = [stall(70_000)]
    assert fetch(server, replace(SILENT, attempts=20)) == CONTENT


@pytest.mark.parametrize("is_none", [False, True])
def test_a_client_that_another_thread_closed_is_replaced(server, monkeypatch, is_none):
    """All threads share the client of huggingface_hub, which a failed connection of one of them closes."""
    plain, sessions = http.get_session, []

    def closed_at_first():
        sessions.append(plain())
        if len(sessions) == 1:
            http.close_session()
            return None if is_none else sessions[0]
        return sessions[-1]

    monkeypatch.setattr(http, "get_session", closed_at_first)
    assert fetch(server) == CONTENT
    assert len(sessions) == 2


@pytest.mark.parametrize(
    ("fault", "reason", "requests"),
    [
        (truncate(10), "connection broke", 3),
        (hang_up, "no connection", 3),
        (status(500), "HTTP 500 .*3 attempts", 3),
        (status(429, Retry_After="100000"), "HTTP 429 .* asks to wait 100,000 seconds; run the same command then", 1),
        (wrong(b"sign in"), "wrong content", 3),
        *((status(code), f"HTTP {code}", 1) for code in (401, 403, 404, 410)),
        *(
            (status(302, Location=url), f"expected an address https://..., got {url}", 1)
            for url in ("http://data.invalid/x", "ftp://127.0.0.1/x")
        ),
    ],
)
def test_a_lasting_fault_is_said(server, fault, reason, requests):
    server.faults[PATH] = [fault] * 20
    with pytest.raises(FetchError, match=reason):
        fetch(server)
    assert len(server.seen(PATH)) == requests


def test_no_server_is_said_to_be_unreachable(monkeypatch):
    without_proxies(monkeypatch)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # so that nobody else listens there
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(UnreachableError, match="no connection"):
            fetch_file(address, print, FAST, threading.Event())


def test_a_stopped_fetch_asks_for_nothing(server):
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(StoppedError):
        fetch(server, stopped=stopped)
    assert server.seen(PATH) == []


def endless(handler, content):
    """A fault: send without a length, and without an end."""
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.closing.is_set():
        handler.wfile.write(bytes(1 << 16))


def test_stopping_ends_a_fetch_under_way(server):
    stopped = threading.Event()
    server.pause = lambda path: stopped.set()
    server.faults[PATH] = [endless]
    with pytest.raises(StoppedError):
        fetch(server, replace(FAST, max_bytes=1 << 40), stopped)


def test_a_file_that_is_too_large_is_left(server):
    server.faults[PATH] = [endless] * 5
    with pytest.raises(FetchError, match="sends more than 1,000,000 bytes"):
        fetch(server, replace(FAST, max_bytes=1_000_000))
    assert len(server.seen(PATH)) == 1
    server.faults[PATH] = []
    with pytest.raises(FetchError, match="sends more than 199,999 bytes"):
        fetch(server, replace(FAST, max_bytes=len(CONTENT) - 1))
    assert fetch(server, replace(FAST, max_bytes=len(CONTENT))) == CONTENT


def test_the_proxy_of_the_environment_is_used(server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    server.files["http://localhost:9/x"] = b"through the proxy"  # a proxy is asked for whole addresses
    found = fetch_file("http://localhost:9/x", lambda content: None, FAST, threading.Event())
    assert found == b"through the proxy"


def test_offline_mode_is_said(server, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: True)
    with pytest.raises(UnreachableError, match="HF_HUB_OFFLINE is set: unset it to download"):
        fetch(server)


@pytest.mark.parametrize("url", ["http://data.invalid/x", "file:///etc/hostname", "x", "http://[::1"])
def test_only_https_is_asked(url):
    with pytest.raises(FetchError, match=r"expected an address https://"):
        fetch_file(url, print, FAST, threading.Event())


@pytest.mark.parametrize("location", ["{url}/moved", "/moved"])
def test_a_redirect_on_the_same_machine_is_followed(server, location):
    server.files["/moved"] = CONTENT
    server.faults[PATH] = [status(302, Location=location.format(url=server.url))]
    assert fetch(server) == CONTENT


def test_a_circle_of_redirects_is_left(server):
    server.faults[PATH] = [status(302, Location=PATH)] * 20
    with pytest.raises(FetchError, match="redirects more than 5 times"):
        fetch(server)
