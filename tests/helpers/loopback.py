"""Web servers on the loopback, and one that misbehaves on demand, for the tests of downloading."""

import contextlib
import hashlib
import http.server
import threading

from pecl.data.download import FetchPolicy

FAST = FetchPolicy(timeout=60, attempts=3, backoff=0.01)


class LoopbackServer(http.server.ThreadingHTTPServer):
    """A server behind a free port; `closing` is set when it is to end."""

    daemon_threads = True

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.closing = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        pass  # a client that gives up is part of the tests


class QuietHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", length=None, **headers):
        """Answer with a body, which HEAD leaves out, and promise `length` bytes of it, by default all."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        if self.close_connection:  # else a client may send its next request as the connection closes
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            self.wfile.flush()


@contextlib.contextmanager
def served(server):
    """Let a thread answer what a server is asked, and wait for the thread at the end."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


class Server(LoopbackServer):
    """Serves `files` (path -> bytes). `faults` (path -> list) are met one a request, then none.

    A fault is a function of the request handler and the content; it answers in place of the server.
    """

    def __init__(self):
        super().__init__(Handler)
        self.files = {}
        self.faults = {}
        self.requests = []  # (path, headers)
        self.lock = threading.Lock()

    def seen(self, path):
        return [headers for asked, headers in self.requests if asked == path]


class Handler(QuietHandler):
    def do_GET(self):
        server = self.server
        self.close_connection = True
        with server.lock:
            server.requests.append((self.path, dict(self.headers)))
            faults = server.faults.get(self.path, [])
            fault = faults.pop(0) if faults else None
        content = server.files.get(self.path)
        if fault is not None:
            fault(self, content)
        elif content is None:
            self.answer(404)
        else:
            self.answer(200, content)


def status(code, **headers):
    """A fault: answer with a status."""
    return lambda handler, content: handler.answer(code, b"a page about the error", **headers)


def truncate(size):
    """A fault: promise all, and hang up after `size` bytes."""
    return lambda handler, content: handler.answer(200, content[:size], length=len(content))


def stall(size):
    """A fault: promise all, and fall silent after `size` bytes."""

    def fault(handler, content):
        truncate(size)(handler, content)
        handler.server.closing.wait(300)

    return fault


def wrong(body):
    """A fault: answer 200 with other bytes, as the sign-in page of a hotel's network does."""
    return lambda handler, content: handler.answer(200, body)


def hang_up(handler, content):
    """A fault: close the connection without an answer."""


def running_server():
    return served(Server())


def without_proxies(monkeypatch):
    """Forget the environment's proxies, which would hide the loopback."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def sha(content):
    return hashlib.sha256(content).hexdigest()


def files_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())
