"""Connections: whoever keeps the server waiting is cut off, by the loop's own clock; too many lock nobody out."""

import asyncio
import contextlib
import functools
import socket

import httpx
import pytest
from helpers.loop_clock import run_by_its_clock
from helpers.serving import make_service, running, server_process
from uvicorn.server import ServerState

from pecl.errors import ConfigError
from pecl.serving.limits import Limits
from pecl.serving.server import Connection, make_config

HEAD = b"GET /health HTTP/1.1\r\nhost: localhost\r\n"
ANSWER = 300_000  # bytes


class Transport(asyncio.Transport):
    """A transport to a client that reads a large answer only when it is told to."""

    def __init__(self):
        super().__init__()
        self.unsent = 0
        self.ended = None  # "closed" or "aborted", and when

    def write(self, data):
        self.unsent += len(data) if len(data) > 1000 else 0  # the system takes small ones off it
        if self.unsent > 65536:
            self.protocol.pause_writing()

    def read(self, number):
        """Let the client read so many bytes of its answer."""
        self.unsent -= number
        if self.unsent < 16384:
            self.protocol.resume_writing()

    def get_write_buffer_size(self):
        return self.unsent

    def is_closing(self):
        return self.ended is not None

    def close(self):
        self._end("closed")

    def abort(self):
        self._end("aborted")
        asyncio.get_running_loop().call_soon(self.protocol.connection_lost, ConnectionAbortedError())

    def _end(self, how):
        if self.ended is None or how == "aborted":
            self.ended = how, asyncio.get_running_loop().time()

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


async def slow(scope, receive, send):
    """Answer a request after 100 seconds."""
    await asyncio.sleep(100)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x" * ANSWER if scope["path"] == "/large" else b""})


def connect(state=None, most=10, app=slow):
    """Return a connection of a server whose clients may take 30 seconds."""
    config = make_config(app, Limits(idle=30, connections=most))
    config.lifespan = "off"
    transport = Transport()
    transport.protocol = Connection(config, state or ServerState(), {}, asyncio.get_running_loop())
    transport.protocol.connection_made(transport)
    return transport


async def send_slowly(transport, content):
    """Send a byte a second until the connection is closed."""
    for byte in content:
        await asyncio.sleep(1)
        if not transport.is_closing():
            transport.protocol.data_received(bytes([byte]))


def by_its_clock(test):
    """Run a test in a loop with a clock of its own."""

    @functools.wraps(test)
    def run(**arguments):
        run_by_its_clock(test(**arguments))

    return run


@pytest.mark.parametrize("sent", [b"", HEAD + b"x" * 1000])
@by_its_clock
async def test_a_client_that_sends_nothing_or_a_byte_a_second_is_closed(sent):
    transport = connect()
    await send_slowly(transport, sent)
    await asyncio.sleep(1000)
    assert transport.ended == ("closed", 30)


@by_its_clock
async def test_the_second_head_has_its_own_time_which_a_request_under_way_has_not():
    transport = connect()
    await asyncio.sleep(29)
    transport.protocol.data_received(HEAD + b"\r\n")
    await asyncio.sleep(99)  # the answer comes in a second
    assert transport.ended is None
    await asyncio.sleep(20)
    await send_slowly(transport, HEAD * 30)
    assert transport.ended == ("closed", 29 + 100 + 30)


@by_its_clock
async def test_two_requests_at_once_are_both_answered():
    transport = connect()
    transport.protocol.data_received((HEAD + b"\r\n") * 2)
    await asyncio.sleep(190)
    assert transport.ended is None
    await asyncio.sleep(100)
    assert transport.ended == ("closed", 200 + 30)


LARGE = b"GET /large HTTP/1.1\r\nhost: localhost\r\n"


@pytest.mark.parametrize("head", [LARGE + b"\r\n", (LARGE + b"\r\n") * 2, LARGE + b"connection: close\r\n\r\n"])
@by_its_clock
async def test_a_client_that_does_not_read_its_answer_is_cut_off(head):
    """Also one that asks twice, and one whose connection is to close once all is read."""
    transport = connect()
    transport.protocol.data_received(head)
    await asyncio.sleep(1000)
    assert transport.ended == ("aborted", 100 + 30)


@by_its_clock
async def test_a_client_that_reads_slowly_gets_its_answer():
    transport = connect()
    transport.protocol.data_received(LARGE + b"\r\n")
    await asyncio.sleep(101)
    while transport.unsent > 1000:
        transport.read(1000)
        await asyncio.sleep(10)
        assert transport.ended is None
    transport.read(transport.unsent)
    await asyncio.sleep(100)
    assert transport.ended[0] == "closed"


@by_its_clock
async def test_the_longest_idle_connection_makes_room_and_none_that_is_answered():
    state = ServerState()
    busy = connect(state)
    busy.protocol.data_received(HEAD + b"\r\n")
    idle = []
    for _ in range(10):
        await asyncio.sleep(1)
        idle.append(connect(state))
    assert [one.ended for one in idle] == [("aborted", 10)] + [None] * 9
    idle[1].protocol.data_received(HEAD + b"\r\n")
    await asyncio.sleep(1)
    new = connect(state)
    assert [one.ended for one in (busy, idle[1], idle[2], new)] == [None, None, ("aborted", 11), None]
    await asyncio.sleep(200)  # the answers


@by_its_clock
async def test_where_all_are_answered_the_new_connection_goes():
    state = ServerState()
    busy = [connect(state) for _ in range(10)]
    for one in busy:
        one.protocol.data_received(HEAD + b"\r\n")
    new = connect(state)
    assert [one.ended for one in (*busy, new)] == [None] * 10 + [("aborted", 0)]
    await asyncio.sleep(200)  # the answers


def test_limits_leave_room_for_files():
    limits = Limits(connections=1000, open_requests=500)
    assert limits.within(20_000) == limits
    small = limits.within(200)
    assert (small.connections, small.open_requests) == (136, 102)
    with pytest.raises(ConfigError, match="open files: expected room for at least 72 more, got 71: raise `ulimit -n`"):
        limits.within(71)


def test_a_head_that_does_not_come_is_given_up_by_a_real_server():
    with running(make_service(limits=Limits(idle=1))) as address:
        port = int(address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=120) as silent:
            with socket.create_connection(("127.0.0.1", port), timeout=120) as slow:
                slow.sendall(HEAD)
                assert slow.recv(1000) == b""
            assert silent.recv(1000) == b""


OF_256_FILES = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
service = make_service()
"""


def test_260_idle_connections_lock_nobody_out_of_a_server_of_256_files():
    with server_process(OF_256_FILES) as (server, port), contextlib.ExitStack() as stack:
        idle = []
        for i in range(260):
            idle.append(stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=120)))
            idle[-1].sendall(HEAD if i % 2 else b"")
        document = {"model": "tiny:cs", "input": "a"}
        for _ in range(3):  # each over a connection of its own
            answer = httpx.post(f"http://127.0.0.1:{port}/v1/embeddings", json=document, timeout=120, trust_env=False)
            assert answer.status_code == 200
        assert idle[0].recv(1000) == b""  # which was idle for longest
        server.terminate()
        assert server.wait(120) == 0
        assert "out of system resource" not in server.stderr.read()  # what the loop says when it may open no more
