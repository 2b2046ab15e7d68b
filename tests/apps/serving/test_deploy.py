"""deploy/: nginx in front of a server as configured there, and files that name flags, paths and images that exist."""

import contextlib
import re
import shutil
import socket
import ssl
import subprocess

import httpx
import pytest
import yaml
from helpers.project import ROOT
from helpers.serving import make_service, running
from helpers.waiting import wait_until

from pecl.cli import build_parser

DEPLOY = ROOT / "deploy"
KEY = b"a-key-of-this-server"


def parse(words):
    """Parse a command as `pecl` does; it exits with status 2 for flags that are not there."""
    return build_parser(words[:1]).parse_args(words)


def test_the_containers_run_commands_that_exist():
    text = (DEPLOY / "Dockerfile").read_text()
    assert parse(re.findall(r'"([^"]+)"', text.splitlines()[-1])).host == "0.0.0.0"
    copied = [word for line in re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE) for word in line.split()]
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {*copied} <= kept
    assert all((ROOT / name).exists() for name in kept)
    for name in ("compose.yaml", "immich.yaml"):
        document = yaml.safe_load((DEPLOY / name).read_text())
        for service in document["services"].values():
            assert parse(service["command"])
            assert service["image"] == "pecl"
            named = {volume.rpartition(":/")[0] for volume in service["volumes"]}
            assert {one for one in named if not one.startswith("${")} <= {*document["volumes"]}


def test_the_unit_is_one_of_systemd(tmp_path):
    unit = (DEPLOY / "pecl.service").read_text()
    command = re.search("ExecStart=(.*)", unit)[1].split()
    assert parse([word.replace("%d/", "/") for word in command[1:]]).index == "/srv/photographs"
    if (analyze := shutil.which("systemd-analyze")) is None:
        pytest.skip("systemd-analyze is not there")
    (tmp_path / "pecl.service").write_text(unit.replace(command[0], "/bin/true"))
    done = subprocess.run([analyze, "verify", tmp_path / "pecl.service"], capture_output=True, text=True)
    assert "pecl.service" not in done.stderr, done.stderr


def is_open(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def nginx(address, folder):
    """Yield the address of nginx with deploy/nginx.conf in front of a server, and smaller limits."""
    program = shutil.which("nginx") or pytest.skip("nginx is not there")
    certificate = ["-newkey", "rsa:2048", "-x509", "-nodes", "-subj", "/CN=localhost", "-days", "2"]
    command = ["openssl", "req", *certificate, "-keyout", folder / "privkey.pem", "-out", folder / "fullchain.pem"]
    subprocess.run(command, check=True, capture_output=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = (DEPLOY / "nginx.conf").read_text()
    for now, then in (
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("http://127.0.0.1:8000", address),
        ("/etc/letsencrypt/live/photographs.example.org", str(folder)),
        ("client_header_timeout 10s", "client_header_timeout 1s"),
        ("rate=20r/s", "rate=1r/s"),  # which a busy machine exceeds, too
        ("burst=200", "burst=20"),
    ):
        assert now in text
        text = text.replace(now, then)
    paths = "".join(f"{one}_temp_path {folder}/{one};" for one in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    head = f"daemon off; pid {folder}/pid; error_log {folder}/errors; events {{}} http {{ access_log off; {paths}"
    (folder / "nginx.conf").write_text(f"{head}\n{text}}}")
    with subprocess.Popen([program, "-c", folder / "nginx.conf", "-e", folder / "errors"]) as process:
        try:
            wait_until(lambda: is_open(port), 30, "nginx")
            yield port
        finally:
            process.terminate()


def test_nginx_limits_what_the_server_does_not(tmp_path):
    with running(make_service(), key=KEY) as address, nginx(address, tmp_path) as port:
        with httpx.Client(verify=False, base_url=f"https://localhost:{port}", trust_env=False, timeout=60) as client:
            assert client.get("/v1/models").status_code == 401
            client.headers["authorization"] = f"Bearer {KEY.decode()}"
            assert len(client.get("/v1/models").json()["data"]) == 13
            answer = client.post("/v1/embeddings", json={"model": "tiny", "input": ["pes", "Hund"], "language": "cs"})
            assert len(answer.json()["data"]) == 2
            assert client.get("/metrics").status_code == 404
            large = {"content-type": "application/json"}
            assert client.post("/v1/embeddings", content=b" " * (17 << 20), headers=large).status_code == 413
            found = {client.get("/health").status_code for _ in range(60)}
            assert found == {200, 429}
        context = ssl._create_unverified_context()
        with context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=30)) as slow:
            slow.sendall(b"GET /health HTTP/1.1\r\nhost: ")
            assert slow.recv(100) == b""  # it did not send its head in time
