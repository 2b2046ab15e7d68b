"""Fetching one file from a server that stalls, cuts off, refuses and lies: what is there in the end is whole."""

import errno
import itertools
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from email.utils import formatdate
from functools import partial
from types import SimpleNamespace

import pytest
from helpers.loopback import (
    FAST,
    files_in,
    hang_up,
    running_server,
    sha,
    stall,
    status,
    truncate,
    without_proxies,
    wrong,
)
from helpers.waiting import wait_until

from pecl.data.fetching.download import check_content
from pecl.data.fetching.fetch import Fetcher, FetchError, FetchPolicy, StoppedError, UnreachableError
from pecl.errors import OutputError

CONTENT = random.Random(0).randbytes(200_000)
PATH = "/file.bin"
SILENT = replace(FAST, timeout=0.3, attempts=20)  # for servers that are to fall silent


@pytest.fixture
def server(monkeypatch):
    without_proxies(monkeypatch)
    with running_server() as server:
        server.files[PATH] = CONTENT
        yield server


def fetch(server, target, path=PATH, content=CONTENT, policy=FAST):
    Fetcher(policy).fetch(server.url + path, target, partial(check_content, sha256=sha(content)))


def test_a_file_arrives_whole_and_alone(server, tmp_path):
    fetch(server, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert files_in(tmp_path) == ["a"]
    (headers,) = server.seen(PATH)
    assert headers["User-Agent"].startswith("pecl")
    assert "Range" not in headers


def test_an_interrupted_file_is_resumed_where_it_was(server, tmp_path):
    server.faults[PATH] = [truncate(70_000)]
    fetch(server, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT
    first, second = server.seen(PATH)
    assert "Range" not in first
    assert second["Range"] == "bytes=70000-"
    assert files_in(tmp_path) == ["a"]


def test_a_stalled_file_is_resumed_where_it_was(server, tmp_path):
    """A server beside much other work may be silent before it is to be, so more attempts than two may be needed."""
    server.faults[PATH] = [stall(70_000)] * SILENT.attempts
    fetch(server, tmp_path / "a", policy=SILENT)
    assert (tmp_path / "a").read_bytes() == CONTENT
    *before, last = server.seen(PATH)
    assert before
    assert all("Range" not in headers for headers in before)
    assert 0 < int(last["Range"].removeprefix("bytes=").removesuffix("-")) <= 70_000
    assert files_in(tmp_path) == ["a"]


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        ([truncate(10), truncate(20), truncate(30)], "ended after 30 of 200000 bytes"),
        ([hang_up] * 3, "connection broke"),
        ([status(500)] * 3, "HTTP 500"),
        ([wrong(b"sign in")] * 3, "wrong content"),
        ([truncate(0)] * 3, "ended after 0 of"),
    ],
    ids=["truncated", "hung up", "500", "wrong", "empty"],
)
def test_what_stays_unfinished_is_never_under_the_files_name(server, tmp_path, faults, reason):
    server.ranges = False
    server.faults[PATH] = list(faults)
    with pytest.raises(FetchError, match=reason):
        fetch(server, tmp_path / "a")
    assert not (tmp_path / "a").exists()
    assert len(server.seen(PATH)) == FAST.attempts


def test_what_stays_stalled_is_never_under_the_files_name(server, tmp_path):
    server.ranges = False
    server.faults[PATH] = [stall(10)] * 3
    with pytest.raises(FetchError, match="stopped answering"):
        fetch(server, tmp_path / "a", policy=replace(SILENT, attempts=3))
    assert not (tmp_path / "a").exists()
    wait_until(lambda: len(server.seen(PATH)) == 3, 60, "the server's notes of three attempts")


def test_a_failed_fetch_leaves_an_old_file_as_it_was(server, tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    server.faults[PATH] = [wrong(b"sign in")] * 3
    with pytest.raises(FetchError):
        fetch(server, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_later_run_goes_on_from_an_earlier_ones_part(server, tmp_path):
    server.faults[PATH] = [truncate(50_000)]
    with pytest.raises(FetchError):
        fetch(server, tmp_path / "a", policy=replace(FAST, attempts=1))
    assert files_in(tmp_path) == ["a.part", "a.part.validator"]
    fetch(server, tmp_path / "a")
    assert server.seen(PATH)[-1]["Range"] == "bytes=50000-"
    assert (tmp_path / "a").read_bytes() == CONTENT


FETCH = """
import sys
from pathlib import Path
from pecl.data.fetching.fetch import Fetcher
Fetcher().fetch(sys.argv[1], Path(sys.argv[2]), lambda path: None)
"""


def test_a_killed_process_leaves_a_part_that_the_next_one_continues(server, tmp_path):
    server.faults[PATH] = [stall(70_000)]
    process = subprocess.Popen([sys.executable, "-c", FETCH, server.url + PATH, str(tmp_path / "a")])
    part = tmp_path / "a.part"
    wait_until(lambda: part.exists() and part.stat().st_size, 120, "the first bytes of the file")
    process.kill()  # it waits for the rest now, or is about to
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "a").exists()
    kept = part.stat().st_size
    fetch(server, tmp_path / "a")
    assert server.seen(PATH)[-1]["Range"] == f"bytes={kept}-"
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert files_in(tmp_path) == ["a"]


def test_a_part_of_an_older_version_is_not_continued(server, tmp_path):
    server.faults[PATH] = [truncate(50_000)]
    with pytest.raises(FetchError):
        fetch(server, tmp_path / "a", policy=replace(FAST, attempts=1))
    server.files[PATH] = newer = CONTENT[::-1]
    fetch(server, tmp_path / "a", content=newer)  # If-Range makes the server send all of it
    assert (tmp_path / "a").read_bytes() == newer


@pytest.mark.parametrize("validator", [None, '"tag"'], ids=["no validator", "validator"])
def test_a_server_without_ranges_sends_all_again(server, tmp_path, validator):
    server.ranges = False
    (tmp_path / "a.part").write_bytes(CONTENT[:1000])
    if validator:
        (tmp_path / "a.part.validator").write_text(validator)
    fetch(server, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert ("Range" in server.seen(PATH)[0]) == (validator is not None)


def test_a_server_that_sends_another_range_is_not_believed(server, tmp_path):
    server.faults[PATH] = [
        truncate(1000),
        lambda handler, content: handler.answer(206, content[500:], Content_Range=f"bytes 500-199999/{len(content)}"),
    ]
    fetch(server, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_part_that_is_complete_already_is_fetched_anew(server, tmp_path):
    server.faults[PATH] = [truncate(len(CONTENT) - 1)]
    with pytest.raises(FetchError):
        fetch(server, tmp_path / "a", policy=replace(FAST, attempts=1))
    (tmp_path / "a.part").write_bytes(CONTENT)  # as a kill just before the renaming leaves it
    fetch(server, tmp_path / "a")  # the server answers 416 to a range past the end
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_wrong_bytes_once_are_fetched_again(server, tmp_path):
    server.faults[PATH] = [wrong(CONTENT[:-1] + b"?")]
    fetch(server, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert "Range" not in server.seen(PATH)[1]


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_a_refusal_is_final(server, tmp_path, code):
    server.faults[PATH] = [status(code)] * 3
    with pytest.raises(FetchError, match=f"HTTP {code}"):
        fetch(server, tmp_path / "a")
    assert len(server.seen(PATH)) == 1
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("code", [429, 500, 502, 503])
def test_a_passing_error_is_tried_again(server, tmp_path, code):
    server.faults[PATH] = [status(code)]
    fetch(server, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT


@pytest.mark.parametrize("as_date", [False, True], ids=["seconds", "date"])
def test_retry_after_is_honoured(server, tmp_path, as_date):
    named, asked = [], []  # the times before which nobody is to ask, and those at which somebody did

    def refuse(handler, content):
        now = int(time.time())  # a date has whole seconds: 1 to 2 from now
        named.append(now + 2 if as_date else time.time() + 1)
        handler.answer(503, Retry_After=formatdate(now + 2, usegmt=True) if as_date else "1")

    server.faults[PATH] = [refuse]
    server.pause = lambda path: asked.append(time.time())
    fetch(server, tmp_path / "a")
    assert len(asked) == 2
    assert asked[1] >= named[0] - 0.05  # the clock of dates may have been set meanwhile, by a little


def test_retry_after_keeps_the_other_threads_away_too(server, tmp_path):
    server.files["/b"] = b"b"
    server.faults[PATH] = [status(429, Retry_After="1")]
    asked = []
    server.pause = lambda path: asked.append(time.monotonic())
    fetcher = Fetcher(FAST)
    check = partial(check_content, sha256=sha(CONTENT))
    thread = threading.Thread(target=fetcher.fetch, args=(server.url + PATH, tmp_path / "a", check))
    thread.start()
    wait_until(lambda: fetcher._not_before, 60, "the refusal")
    fetcher.fetch(server.url + "/b", tmp_path / "b", partial(check_content, sha256=sha(b"b")))
    thread.join()
    assert len(asked) == 3
    assert asked[1] - asked[0] >= 1


def test_a_server_that_asks_for_too_long_a_wait_is_given_up(server, tmp_path):
    server.faults[PATH] = [status(429, Retry_After="3600")]
    with pytest.raises(FetchError, match="asks to wait for 3600 s"):
        fetch(server, tmp_path / "a")
    assert len(server.seen(PATH)) == 1


def test_waits_grow_with_jitter(server, tmp_path, monkeypatch):
    waits = []
    fetcher = Fetcher(replace(FAST, attempts=5, backoff=1.0))
    monkeypatch.setattr(fetcher._stopped, "wait", lambda seconds: bool(waits.append(seconds)))
    server.faults[PATH] = [status(500)] * 5
    with pytest.raises(FetchError):
        fetcher.fetch(server.url + PATH, tmp_path / "a", lambda path: None)
    for wait, longest in zip(waits, (1, 2, 3, 3), strict=True):  # doubled, up to max_wait
        assert longest / 2 <= wait <= longest
    assert len({wait / longest for wait, longest in zip(waits, (1, 2, 3, 3), strict=True)}) == 4


def test_no_server_is_said_to_be_unreachable(tmp_path, monkeypatch):
    without_proxies(monkeypatch)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # so that nobody else listens there
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(UnreachableError, match="no connection"):
            fetch(SimpleNamespace(url=address), tmp_path / "a")


def test_stopping_ends_a_fetch_that_waits(server, tmp_path, monkeypatch):
    server.faults[PATH] = [status(500)]
    fetcher = Fetcher(FetchPolicy(backoff=600, max_wait=600))
    began, wait = threading.Event(), fetcher._stopped.wait
    monkeypatch.setattr(fetcher._stopped, "wait", lambda seconds: began.set() or wait(seconds))
    with ThreadPoolExecutor(1) as pool:
        fetching = pool.submit(fetcher.fetch, server.url + PATH, tmp_path / "a", lambda path: None)
        assert began.wait(60)
        fetcher.stop()
        with pytest.raises(StoppedError):
            fetching.result(200)  # it would wait for 300 seconds or more


def test_a_full_disk_is_told_from_a_broken_connection(server, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pecl.data.fetching.part_file.os.fsync", full)
    with pytest.raises(OutputError, match=r"cannot write .*a\.part.*: No space left"):
        fetch(server, tmp_path / "a")
    assert len(server.seen(PATH)) == 1
    assert not (tmp_path / "a").exists()


def test_the_proxy_of_the_environment_is_used(server, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    server.files["http://localhost:9/x"] = b"through the proxy"  # a proxy is asked for whole addresses
    Fetcher(FAST).fetch("http://localhost:9/x", tmp_path / "a", lambda path: None)
    assert (tmp_path / "a").read_bytes() == b"through the proxy"


@pytest.mark.parametrize("url", ["http://data.invalid/x", "ftp://127.0.0.1/x", "file:///etc/hostname", "x"])
def test_nothing_but_https_is_asked(tmp_path, url):
    with pytest.raises(FetchError, match=r"expected an address https://"):
        Fetcher(FAST).fetch(url, tmp_path / "a", lambda path: None)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("url", ["http://data.invalid/x", "ftp://127.0.0.1/x"])
def test_a_redirect_away_from_https_is_not_followed(server, tmp_path, url):
    server.faults[PATH] = [status(302, Location=url)] * 3
    with pytest.raises(FetchError, match=f"expected an address https://..., got {url}"):
        fetch(server, tmp_path / "a")
    assert len(server.seen(PATH)) == 1
    assert files_in(tmp_path) == []


def test_a_redirect_on_the_same_machine_is_followed(server, tmp_path):
    server.files["/moved"] = CONTENT
    server.faults[PATH] = [status(302, Location=f"{server.url}/moved")]
    fetch(server, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT


def endless(handler, content):
    """A fault: send without a length, and without an end."""
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.closing.is_set():
        handler.wfile.write(bytes(1 << 16))


def trickle(handler, content):
    """A fault: promise all, send a hundred bytes one by one, and hang up."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b"x")
        handler.wfile.flush()
        handler.server.closing.wait(0.02)


def test_a_server_that_sends_without_end_is_left(server, tmp_path):
    server.faults[PATH] = [endless] * 5
    with pytest.raises(FetchError, match="sends more than 1,000,000 bytes"):
        fetch(server, tmp_path / "a", policy=replace(FAST, max_bytes=1_000_000))
    assert files_in(tmp_path) == []
    assert len(server.seen(PATH)) == 1


def test_a_file_that_is_announced_as_too_large_is_not_begun(server, tmp_path):
    with pytest.raises(FetchError, match="announces 200,000 bytes, expected at most 199,999"):
        fetch(server, tmp_path / "a", policy=replace(FAST, max_bytes=len(CONTENT) - 1))
    assert files_in(tmp_path) == []
    fetch(server, tmp_path / "a", policy=replace(FAST, max_bytes=len(CONTENT)))


def test_a_server_that_trickles_is_given_up(server, tmp_path, monkeypatch):
    """By a clock that goes on by 25 seconds whenever it is looked at; a server may be silent for 60."""
    moments = itertools.count(0, 25)
    monkeypatch.setattr("pecl.data.fetching.fetch.time", SimpleNamespace(monotonic=lambda: next(moments)))
    server.faults[PATH] = [trickle] * 2
    with pytest.raises(FetchError, match="less than 1,024 bytes a second"):
        fetch(server, tmp_path / "a", policy=replace(FAST, attempts=2))
    assert len(server.seen(PATH)) == 2


@pytest.mark.parametrize("validator", [b"\xff\xfe", b'"a\r\nHost: b"', b"x" * 5000], ids=["bytes", "lines", "long"])
def test_a_damaged_validator_begins_anew(server, tmp_path, validator):
    (tmp_path / "a.part").write_bytes(b"wrong")
    (tmp_path / "a.part.validator").write_bytes(validator)
    fetch(server, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT


@pytest.mark.parametrize("header", ["\xb2", "9" * 5000, "Mon, 99 Foo 99999 99:99:99 GMT", "x"])
def test_a_retry_after_that_makes_no_sense_is_passed_over(server, tmp_path, header):
    server.faults[PATH] = [status(503, Retry_After=header)]
    fetch(server, tmp_path / "a")
