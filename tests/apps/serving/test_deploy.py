"""deploy/: nginx in front of a server as configured there, and files that name flags, paths and images that exist."""

import contextlib
import re
import shlex
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest
import yaml
from helpers.project import ROOT
from helpers.serving import client_of, make_service, running
from helpers.small_experiment import tiny_towers
from helpers.waiting import wait_until

import pecl.adapters.ready
import pecl.apps.serving.server
import pecl.encoders.towers
from pecl.cli import build_parser, main

DEPLOY = ROOT / "deploy"
KEY = b"a-key-of-this-server"
RECIPES = sorted(path.name for path in DEPLOY.iterdir() if path.name != "key")  # which a recipe makes


def steps(name):
    """Return the commands in the comment that a file of deploy/ begins with, in their order."""
    return re.findall("^#   (.*)$", (DEPLOY / name).read_text(), re.MULTILINE)


def parse(words):
    """Parse a command as `pecl` does; it exits with status 2 for flags that are not there."""
    return build_parser(words[:1]).parse_args(words)


def setting(name, text):
    """Return the value of a setting of a unit."""
    return re.search(f"^{name}=(.*)$", text, re.MULTILINE)[1]


def commands_of(name):
    """Return the environment, and the words of `pecl index` and `pecl serve`, of a recipe."""
    if name == "pecl.service":
        unit = (DEPLOY / name).read_text()
        words = [setting(kind, unit).split() for kind in ("ExecStartPre", "ExecStart")]
        assert {command.pop(0) for command in words} == {"/opt/pecl/.venv/bin/pecl"}
        return dict(item.split("=") for item in setting("Environment", unit).split()), *words
    text = (DEPLOY / "Dockerfile").read_text()
    environment = dict(item.split("=") for item in re.search("^ENV (.*)$", text, re.MULTILINE)[1].split())
    if name == "compose.yaml":
        services = yaml.safe_load((DEPLOY / name).read_text())["services"]
        return environment, services["index"]["command"], services["serve"]["command"]
    runs = [shlex.split(step) for step in steps(name) if step.startswith("docker run")]
    return environment, *(words[words.index("pecl") + 1 :] for words in runs)


@pytest.mark.parametrize("name", RECIPES)
def test_the_steps_of_a_recipe_name_what_is_there_or_what_an_earlier_step_makes(name):
    made = {"deploy/key": False}
    for step in steps(name):
        assert subprocess.run(["bash", "-n", "-c", step]).returncode == 0, step
        for path in re.findall(r"(?<![\w~])(?:/opt/pecl/)?((?:deploy|scripts)/[\w.-]+)", step):
            made |= {path: True} if f"> {path}" in step else {}
            assert made.get(path, (ROOT / path).is_file()), path
        words = shlex.split(step.replace("(", " ").replace(")", " "))
        if words[:2] == ["docker", "compose"]:
            files = [DEPLOY / Path(words[i + 1]).name for i, word in enumerate(words) if word == "-f"]
            services = [yaml.safe_load(file.read_text())["services"] for file in files if file.is_file()]
            assert services, step
            assert set(words) & {"exec", "run"} <= {"exec"}
            assert "exec" not in words or words[words.index("exec") + 1] in services[0]
    assert steps(name)


@pytest.mark.usefixtures("towers")
@pytest.mark.parametrize("name", ["pecl.service", "compose.yaml", "Dockerfile"])
def test_a_recipe_goes_from_nothing_to_an_answer(name, photographs, tmp_path, monkeypatch):
    """The index is where the server looks for it, and the key is one that it takes."""
    environment, index, serve = commands_of(name)
    places = {"%C": "cache", "%S": "state", "%d": "credentials", "/data": "data", "/run/secrets": "secrets"}

    def here(word):
        word = re.sub("^(/srv)?/photographs$", str(photographs), word)
        for place, folder in places.items():
            word = word.replace(place, str(tmp_path / folder))
        return word.replace("0.0.0.0", "127.0.0.1").replace("8000", "0")

    index, serve = ([here(word) for word in words] for words in (index, serve))
    for variable, value in environment.items():
        monkeypatch.setenv(variable, here(value))
    monkeypatch.delenv("PECL_INDEX_DIR")
    key = parse(serve).api_key_file
    if key is not None:
        Path(key).parent.mkdir()
        (step,) = (step for step in steps(name) if "urandom" in step)
        subprocess.run(["bash", "-c", re.sub("> .*[)]", f"> {key})", step)], check=True)

    def ask(service, listening, host, key, access_log):
        with client_of(service, key=key) as client:
            auth = None if key is None else ("me", key.decode())
            answers.append(client.get("/search", auth=auth).json()["photographs"])

    answers = []
    monkeypatch.setattr(pecl.apps.serving.server, "serve", ask)
    monkeypatch.setattr(pecl.encoders.towers, "load_towers", lambda *_, **__: tiny_towers())
    monkeypatch.setattr(pecl.adapters.ready, "ready_adapters", lambda *_: {})
    assert main(index) == 0
    assert main(["--quiet", *serve, *([] if "--port" in serve else ["--port", "0"])]) == 0
    assert answers == [12]
    (file,) = tmp_path.rglob("pecl-index.sqlite")
    assert file.is_relative_to(here(environment["XDG_DATA_HOME"]))


def test_the_image_has_all_files_of_the_package():
    text = (DEPLOY / "Dockerfile").read_text()
    copied = {word for line in re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE) for word in line.split()}
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)
    linked = [path.resolve() for path in (ROOT / "pecl").rglob("*") if path.is_symlink()]
    assert {path.relative_to(ROOT).parts[0] for path in linked} == {"configs"} < copied


def test_the_containers_run_commands_that_exist():
    text = (DEPLOY / "Dockerfile").read_text()
    assert parse(re.findall(r'"([^"]+)"', text.splitlines()[-1])).host == "0.0.0.0"
    port = re.search(r"^EXPOSE (\d+)$", text, re.MULTILINE)[1]
    assert f"127.0.0.1:{port}/health" in text
    assert parse(["serve"]).port == port
    for name in ("compose.yaml", "immich.yaml"):
        document = yaml.safe_load((DEPLOY / name).read_text())
        for service in document["services"].values():
            assert getattr(parse(service["command"]), "port", port) == port
            assert service["image"] == "pecl"
            volumes = [volume.removesuffix(":ro").rpartition(":/") for volume in service["volumes"]]
            assert {source for source, *_ in volumes if not source.startswith("${")} <= {*document["volumes"]}
            assert {f"/{folder}" for *_, folder in volumes} <= set(re.findall(r"/\w+", text))
        for secret in document.get("secrets", {}).values():
            assert f"> {(DEPLOY / secret['file']).relative_to(ROOT)}" in " ".join(steps(name))


def test_the_unit_is_one_of_systemd(tmp_path):
    unit = (DEPLOY / "pecl.service").read_text()
    _, index, serve = commands_of("pecl.service")
    assert parse(index).folder == parse(serve).index == "/srv/photographs"
    name, path = setting("LoadCredential", unit).split(":")
    assert parse(serve).api_key_file == f"%d/{name}"
    assert f"> {path})" in " ".join(steps("pecl.service"))
    if (analyze := shutil.which("systemd-analyze")) is None:
        pytest.skip("systemd-analyze is not there")
    (tmp_path / "pecl.service").write_text(unit.replace("/opt/pecl/.venv/bin/pecl", "/bin/true"))
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
