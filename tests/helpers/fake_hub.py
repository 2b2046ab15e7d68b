"""A model hub on the loopback: the few addresses that huggingface_hub asks for, and refusals on demand."""

import contextlib
import functools
import io
import json
import re
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

from huggingface_hub import HfApi, constants

import pecl.apps.export.hub
import pecl.encoders.loading.hub
from helpers.loopback import LoopbackServer, QuietHandler, served
from pecl.files.digests import sha256_bytes, sha256_file

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(LoopbackServer):
    """Serves `models` (id -> {file name: bytes, or the path of a file}).

    `refusals` (id -> (status, X-Error-Code)); `silent` never answers; `cuts` (file name -> bytes): it hangs up once
    after so many bytes of a file, and refuses the model from then on. `commits` (id -> {revision: commit}) are the
    revisions of a model next to `main`; all hold the same files.
    """

    def __init__(self):
        super().__init__(Handler)
        self.models = {}
        self.commits = {}
        self.refusals = {}
        self.silent = False
        self.cuts = {}
        self.downloads = []  # (id, file name)
        self.starts = []  # (file name, first byte that was asked for)


def _size(content):
    return len(content) if isinstance(content, bytes) else content.stat().st_size


@functools.cache
def _tag(content):
    """The SHA-256 of a file, as the hub has it of large ones."""
    return sha256_bytes(content) if isinstance(content, bytes) else sha256_file(content)


class Handler(QuietHandler):
    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        if self.server.silent:
            self.server.closing.wait(120)
            return
        parts = urlsplit(self.path).path.strip("/").split("/")
        about_model = parts[:2] == ["api", "models"]
        model = "/".join(parts[2:4] if about_model else parts[:2])
        if model in self.server.refusals:
            status, code = self.server.refusals[model]
            self.give({}, status, x_error_code=code)
        elif model not in self.server.models:
            self.give({}, 404, x_error_code="RepoNotFound")
        elif self.commit(model, parts) is None:
            self.give({}, 404, x_error_code="RevisionNotFound")
        elif about_model:
            self.describe(self.commit(model, parts), model, self.server.models[model], parts[4:])
        else:
            self.send_file(self.commit(model, parts), model, "/".join(parts[4:]))

    def commit(self, model, parts):
        """Return the commit of an address: api/models/ID/(revision|tree)/REVISION or ID/resolve/REVISION/..."""
        place = 5 if parts[:2] == ["api", "models"] else 3
        revision = parts[place] if len(parts) > place else "main"
        known = {"main": COMMIT, **self.server.commits.get(model, {})}
        return known.get(revision, revision if revision in known.values() else None)

    def describe(self, commit, model, files, rest):
        if rest[:1] == ["tree"]:
            entries = [
                {"type": "file", "path": name, "size": _size(content), "oid": _tag(content)}
                for name, content in files.items()
            ]
            self.give(entries)
        else:
            siblings = [{"rfilename": name, "size": _size(content)} for name, content in files.items()]
            self.give({"id": model, "sha": commit, "siblings": siblings})

    def send_file(self, commit, model, name):
        content = self.server.models[model][name]
        size, start = _size(content), 0
        if asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start = int(asked[1])
        if self.command == "GET":
            self.server.downloads.append((model, name))
            self.server.starts.append((name, start))
        self.send_response(206 if asked else 200)
        for key, value in {
            "Content-Type": "application/octet-stream",
            "Content-Length": size - start,
            "ETag": f'"{_tag(content)}"',
            "X-Repo-Commit": commit,
            **({"Content-Range": f"bytes {start}-{size - 1}/{size}"} if asked else {}),
        }.items():
            self.send_header(key, str(value))
        self.end_headers()
        if self.command == "GET":
            cut = self.server.cuts.pop(name, None)
            left = size if cut is None else cut
            if cut is not None:
                self.server.refusals[model] = (503, "")
                self.close_connection = True
            with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
                file.seek(start)
                while left > 0 and (part := file.read(min(left, 1 << 20))):
                    self.wfile.write(part)
                    left -= len(part)

    def give(self, document, status=200, **headers):
        self.answer(status, json.dumps(document).encode(), content_type="application/json", **headers)


@contextlib.contextmanager
def running_hub(monkeypatch, cache):
    """Run a hub that huggingface_hub asks, and waits for next to much other work; files are kept in `cache`."""
    with served(Hub()) as server:
        template = server.url + constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
        values = {"HUGGINGFACE_CO_URL_TEMPLATE": template, "ENDPOINT": server.url, "HF_HUB_OFFLINE": False}
        for name, value in (values | {"HF_HUB_CACHE": str(cache), "HF_HUB_DOWNLOAD_TIMEOUT": 120}).items():
            monkeypatch.setattr(constants, name, value)
        for module in (pecl.encoders.loading.hub, pecl.apps.export.hub):
            monkeypatch.setattr(module, "TIMEOUT_SECONDS", 120.0)
        yield server


def take_uploads(monkeypatch, server):
    """Let a hub take new models, or refuse them; `uploads` (id -> {file name: bytes}) is what it was given."""
    server.uploads = {}

    def create_repo(api, model, **_):
        if model in server.refusals:
            raise OSError(f"{server.refusals[model][0]} not yours")

    def upload_folder(api, repo_id, folder_path, **_):
        server.uploads[repo_id] = server.models[repo_id] = {
            path.name: path.read_bytes() for path in Path(folder_path).iterdir()
        }
        return SimpleNamespace(oid=COMMIT)

    monkeypatch.setattr(HfApi, "create_repo", create_repo)
    monkeypatch.setattr(HfApi, "upload_folder", upload_folder)
