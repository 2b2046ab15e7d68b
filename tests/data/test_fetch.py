"""Fetching one file from a server that stalls, cuts off, refuses and lies: what comes back is whole, or nothing."""

import random
import socket
import threading
from dataclasses import replace

import pytest
from helpers.loopback import FAST, hang_up, running_server, sha, stall, status, truncate, without_proxies, wrong

from pecl.data.download import FetchError, UnreachableError, check_content
from pecl.data.download import fetch as fetch_file

CONTENT = random.Random(0).randbytes(200_000)
PATH = "/file.bin"


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


@pytest.mark.parametrize("fault", [truncate(70_000), hang_up, status(429), status(503, Retry_After="no date")])
def test_a_passing_fault_is_tried_again(server, fault):
    server.faults[PATH] = [fault]
    assert fetch(server) == CONTENT
    first, second = server.seen(PATH)
    assert first["User-Agent"].startswith("pecl")
    assert second["User-Agent"].startswith("pecl")


def test_a_stalled_file_is_tried_again(server):
    server.faults[PATH] = [stall(70_000)]
    assert fetch(server, replace(FAST, timeout=0.3, attempts=20)) == CONTENT


@pytest.mark.parametrize(
    ("fault", "reason", "requests"),
    [
        (status(500), "HTTP 500 .*3 attempts", 3),
        (
            status(429, Retry_After="100000"),
            "HTTP 429 .* asks for a wait of 100,000 seconds; run the same",
            1,
        ),
        (wrong(b"sign in"), "wrong content", 3),
        (status(302, Location="file:///etc/hostname"), "HTTP 302", 1),
    ],
)
def test_a_lasting_fault_is_said(server, fault, reason, requests):
    server.faults[PATH] = [fault] * 20
    with pytest.raises(FetchError, match=reason):
        fetch(server)
    assert len(server.seen(PATH)) >= requests


def test_no_server_is_said_to_be_unreachable(monkeypatch):
    without_proxies(monkeypatch)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # so that nobody else listens there
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(UnreachableError, match="no connection"):
            fetch_file(address, print, FAST, threading.Event())


def test_the_proxy_of_the_environment_is_used(server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    server.files["http://localhost:9/x"] = b"through the proxy"  # a proxy is asked for whole addresses
    found = fetch_file("http://localhost:9/x", lambda content: None, FAST, threading.Event())
    assert found == b"through the proxy"


def test_a_redirect_on_the_same_machine_is_followed(server):
    server.files["/moved"] = CONTENT
    server.faults[PATH] = [status(302, Location="/moved")]
    assert fetch(server) == CONTENT
