"""Folders of photographs whose hidden index was made to reach out of them; each form is a function of the album."""

import json
import os
import pickle
import sqlite3

import numpy as np

from helpers.small_index import edit_entries, edit_head
from pecl.files.rows import write_rows

COLLECTION = "pecl-0123456789abcdef"
STALE = "embeddings-00000000000000aa.safetensors"


class Run:
    """A pickle that runs a command when it is read."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def _link(path, target):
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _one(place, pattern):
    (path,) = place.glob(pattern)
    return path


def _local_qdrant(place, outside):
    """Write a folder of Qdrant's local mode whose points are code."""
    folder = place / "qdrant" / "collection" / COLLECTION
    folder.mkdir(parents=True)
    vectors = {"size": 8, "distance": "Dot"}
    meta = {"collections": {COLLECTION: {"vectors": vectors}}, "aliases": {}}
    (place / "qdrant" / "meta.json").write_text(json.dumps(meta))
    with sqlite3.connect(folder / "storage.sqlite") as storage:
        storage.execute("CREATE TABLE points (id TEXT PRIMARY KEY, point BLOB)")
        storage.execute("INSERT INTO points VALUES ('a', ?)", (pickle.dumps(Run(outside / "mark")),))
    storage.close()


def pickled_points(place, outside, url):
    _local_qdrant(place, outside)
    edit_head(place, {"engine": "qdrant", "collection": COLLECTION})


def pickled_points_of_version_1(place, outside, url):
    """A head as the first version had it, without a digest."""
    _local_qdrant(place, outside)
    document = json.loads((place / "pecl-index.json").read_text())
    kept = {key: document[key] for key in ("format", "profile", "width", "count", "generation", "root")}
    kept |= {"version": 1, "engine": "qdrant", "place": {"collection": COLLECTION, "url": url}, "thumbnails": False}
    kept |= {"tower": document["towers"]["image"], "sha256": document["files"], "unreadable": []}
    (place / "pecl-index.json").write_text(json.dumps(kept))


def head(change):
    """Return the form whose head was changed: fields -> values, or a function of (outside, url) that gives them."""
    return lambda place, outside, url: edit_head(place, change(outside, url) if callable(change) else change)


def first_entry(change, **fields):
    """Return the form whose first photograph was changed by `change(entry, place, outside)`, and fields of the head."""

    def form(place, outside, url):
        edit_head(place, fields)
        edit_entries(place, lambda line: change(line, place, outside) if line[0] == "00.png" else line)

    return form


def linked_folder_of_thumbnails(place, outside, url):
    edit_head(place, {"thumbnails": True})
    (place / "thumbnails").mkdir()
    for first in range(256):
        _link(place / "thumbnails" / f"{first:02x}", outside / "ab")


def linked_thumbnail(place, outside, url):
    edit_head(place, {"thumbnails": True})
    fingerprint = json.loads(_one(place, "photographs-*.jsonl").read_text().splitlines()[0])[-1]
    (place / "thumbnails" / fingerprint[:2]).mkdir(parents=True)
    _link(place / "thumbnails" / fingerprint[:2] / f"{fingerprint}.jpg", outside / "private.png")


def linked_thumbnails(place, outside, url):
    edit_head(place, {"thumbnails": True})
    _link(place / "thumbnails", "../../outside")


def linked_lock(place, outside, url):
    _link(place / ".lock", outside / "notes.txt")
    _link(place / ".pecl-lock", outside / "notes.txt")


def moved_and_linked(pattern):
    """Return the form in which a file of the index lies outside, and a link in its place."""

    def form(place, outside, url):
        path = _one(place, pattern)
        path.rename(outside / path.name)
        _link(path, outside / path.name)

    return form


def linked_index(place, outside, url):
    place.rename(outside / "index")
    _link(place, outside / "index")


def pickled_matrix(place, outside, url):
    with _one(place, "embeddings-*.safetensors").open("wb") as file:
        np.save(file, np.array([Run(outside / "mark")] * 12, object), allow_pickle=True)


def tensor_of_another_name(place, outside, url):
    digest = write_rows(_one(place, "embeddings-*.safetensors"), ("x",), [{"x": np.ones((12, 8), np.float32)}], {})
    files = json.loads((place / "pecl-index.json").read_text())["files"]
    edit_head(place, {"files": files | {"embeddings": digest}})


def pipes(place, outside, url):
    for name in ("pecl-index.json", _one(place, "embeddings-*.safetensors").name):
        (place / name).unlink()
        os.mkfifo(place / name)


def linked_old_generation(place, outside, url):
    _link(place / STALE, outside / "notes.txt")
    _link(place / "photographs-00000000000000aa.jsonl", outside)


FORMS = {
    "pickled points of version 1": pickled_points_of_version_1,
    "pickled points": pickled_points,
    "server in the head": head(lambda outside, url: {"engine": "qdrant", "collection": COLLECTION, "url": url}),
    "server as collection": head(lambda outside, url: {"engine": "qdrant", "collection": url}),
    "unknown engine": head({"engine": "os:system"}),
    "linked thumbnails": linked_thumbnails,
    "linked thumbnails that are not kept": lambda place, *_: _link(place / "thumbnails", "../../outside"),
    "linked folder of thumbnails": linked_folder_of_thumbnails,
    "linked thumbnail": linked_thumbnail,
    "linked lock": linked_lock,
    "name that climbs": first_entry(lambda line, *_: ["../outside/private.png", *line[1:]]),
    "name that is absolute": first_entry(lambda line, place, outside: [str(outside / "private.png"), *line[1:]]),
    "fingerprint that is a path": first_entry(
        lambda line, place, outside: [*line[:-1], os.path.relpath(outside / "mine", place)], thumbnails=True
    ),
    "root elsewhere": lambda place, outside, url: first_entry(
        lambda line, *_: ["private.png", *line[1:]], root=str(outside)
    )(place, outside, url),
    "root that climbs": head({"root": "../../outside"}),
    "root above": first_entry(lambda line, *_: ["outside/private.png", *line[1:]], root="../.."),
    "profile of a hub": head({"profile": "somebody/weights"}),
    "profile in a folder": head(lambda outside, url: {"profile": str(outside)}),
    "generation that is a path": head({"generation": "../../outside/x"}),
    "linked head": moved_and_linked("pecl-index.json"),
    "linked list": moved_and_linked("photographs-*.jsonl"),
    "linked matrix": moved_and_linked("embeddings-*.safetensors"),
    "linked index": linked_index,
    "pickled matrix": pickled_matrix,
    "tensor of another name": tensor_of_another_name,
    "pipes": pipes,
    "linked temporary file": lambda place, outside, _: _link(
        place / ".pecl-index.json.0123456789abcdef.tmp", outside / "notes.txt"
    ),
    "linked old generation": linked_old_generation,
    "linked photograph": lambda place, outside, _: _link(place.parent / "00.png", outside / "private.png"),
}
