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


def fingerprint_of(place):
    (path,) = place.glob("photographs-*.jsonl")
    return json.loads(path.read_text().splitlines()[0])[-1]


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


def _version_1(place, change):
    """Write a head as the first version had it, without a digest."""
    document = json.loads((place / "pecl-index.json").read_text())
    kept = {key: document[key] for key in ("format", "profile", "width", "count", "generation", "root")}
    kept |= {"version": 1, "engine": "store", "place": {}, "thumbnails": False, "unreadable": []}
    kept |= {"tower": document["towers"]["image"], "sha256": document["files"]}
    (place / "pecl-index.json").write_text(json.dumps(kept | change))


def pickled_points_of_version_1(place, outside, url):
    _local_qdrant(place, outside)
    _version_1(place, {"engine": "qdrant", "place": {"collection": COLLECTION}})


def pickled_points(place, outside, url):
    _local_qdrant(place, outside)
    edit_head(place, {"engine": "qdrant", "collection": COLLECTION})


def points_elsewhere(place, outside, url):
    _version_1(place, {"engine": "qdrant", "place": {"collection": COLLECTION, "path": str(outside / "points")}})


def server_of_version_1(place, outside, url):
    _version_1(place, {"engine": "qdrant", "place": {"collection": COLLECTION, "url": url}})


def server_in_the_head(place, outside, url):
    edit_head(place, {"engine": "qdrant", "collection": COLLECTION, "url": url})


def server_as_collection(place, outside, url):
    edit_head(place, {"engine": "qdrant", "collection": url})


def unknown_engine(place, outside, url):
    edit_head(place, {"engine": "os:system"})


def linked_thumbnails(place, outside, url):
    edit_head(place, {"thumbnails": True})
    _link(place / "thumbnails", "../../outside")


def linked_thumbnails_that_are_not_kept(place, outside, url):
    _link(place / "thumbnails", "../../outside")


def linked_folder_of_thumbnails(place, outside, url):
    edit_head(place, {"thumbnails": True})
    (place / "thumbnails").mkdir()
    for first in range(256):
        _link(place / "thumbnails" / f"{first:02x}", outside / "ab")


def linked_thumbnail(place, outside, url):
    edit_head(place, {"thumbnails": True})
    fingerprint = fingerprint_of(place)
    (place / "thumbnails" / fingerprint[:2]).mkdir(parents=True)
    _link(place / "thumbnails" / fingerprint[:2] / f"{fingerprint}.jpg", outside / "private.png")


def linked_lock(place, outside, url):
    _link(place / ".lock", outside / "notes.txt")
    _link(place / ".pecl-lock", outside / "notes.txt")


def name_that_climbs(place, outside, url):
    edit_entries(place, lambda line: ["../outside/private.png", *line[1:]] if line[0] == "00.png" else line)


def name_that_is_absolute(place, outside, url):
    edit_entries(place, lambda line: [str(outside / "private.png"), *line[1:]] if line[0] == "00.png" else line)


def fingerprint_that_is_a_path(place, outside, url):
    edit_head(place, {"thumbnails": True})
    target = os.path.relpath(outside / "mine", place / "thumbnails" / "..")
    edit_entries(place, lambda line: [*line[:-1], target] if line[0] == "00.png" else line)


def root_elsewhere(place, outside, url):
    edit_head(place, {"root": str(outside)})
    edit_entries(place, lambda line: ["private.png", *line[1:]] if line[0] == "00.png" else line)


def root_that_climbs(place, outside, url):
    edit_head(place, {"root": "../../outside"})


def root_above(place, outside, url):
    edit_head(place, {"root": "../.."})
    edit_entries(place, lambda line: ["outside/private.png", *line[1:]] if line[0] == "00.png" else line)


def profile_of_a_hub(place, outside, url):
    edit_head(place, {"profile": "somebody/weights"})


def profile_in_a_folder(place, outside, url):
    edit_head(place, {"profile": str(outside)})


def generation_that_is_a_path(place, outside, url):
    edit_head(place, {"generation": "../../outside/x"})


def linked_head(place, outside, url):
    (place / "pecl-index.json").rename(outside / "head.json")
    _link(place / "pecl-index.json", outside / "head.json")


def linked_list(place, outside, url):
    path = _one(place, "photographs-*.jsonl")
    path.rename(outside / "list.jsonl")
    _link(path, outside / "list.jsonl")


def linked_matrix(place, outside, url):
    path = _one(place, "embeddings-*.safetensors")
    path.rename(outside / "matrix.safetensors")
    _link(path, outside / "matrix.safetensors")


def linked_index(place, outside, url):
    place.rename(outside / "index")
    _link(place, outside / "index")


def pickled_matrix(place, outside, url):
    path = _one(place, "embeddings-*.safetensors")
    with path.open("wb") as file:
        np.save(file, np.array([Run(outside / "mark")] * 12, object), allow_pickle=True)


def tensor_of_another_name(place, outside, url):
    digest = write_rows(_one(place, "embeddings-*.safetensors"), ("x",), [{"x": np.ones((12, 8), np.float32)}], {})
    files = json.loads((place / "pecl-index.json").read_text())["files"]
    edit_head(place, {"files": files | {"embeddings": digest}})


def pipes(place, outside, url):
    for name in ("pecl-index.json", _one(place, "embeddings-*.safetensors").name):
        (place / name).unlink()
        os.mkfifo(place / name)


def linked_temporary_file(place, outside, url):
    _link(place / ".pecl-index.json.0123456789abcdef.tmp", outside / "notes.txt")


def linked_old_generation(place, outside, url):
    _link(place / STALE, outside / "notes.txt")
    _link(place / "photographs-00000000000000aa.jsonl", outside)


def linked_photograph(place, outside, url):
    """A photograph of the list is a link by now."""
    _link(place.parent / "00.png", outside / "private.png")


FORMS = (
    *(pickled_points_of_version_1, pickled_points, points_elsewhere, server_of_version_1, server_in_the_head),
    *(server_as_collection, unknown_engine, linked_thumbnails, linked_thumbnails_that_are_not_kept),
    *(linked_folder_of_thumbnails, linked_thumbnail, linked_lock, name_that_climbs, name_that_is_absolute),
    *(fingerprint_that_is_a_path, root_elsewhere, root_that_climbs, root_above, profile_of_a_hub),
    *(profile_in_a_folder, generation_that_is_a_path, linked_head, linked_list, linked_matrix, linked_index),
    *(pickled_matrix, tensor_of_another_name, pipes, linked_temporary_file, linked_old_generation, linked_photograph),
)
