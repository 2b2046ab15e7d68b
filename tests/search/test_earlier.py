"""Indexes of the form before are read once, and moved; written here by hand, as pecl wrote them."""

import json
import os

import numpy as np
import pytest
from helpers.small_experiment import tiny_towers
from helpers.small_index import COUNT, by_hand
from helpers.tiny import tiny_tower
from safetensors.numpy import save_file

import pecl
from pecl.data.custom.photographs import find_photographs
from pecl.files import sha256_file
from pecl.search.build import build_index
from pecl.search.catalogue import FILE, index_folder, read_thumbnail

GENERATION = "0123456789abcdef"


def write_earlier(photographs, place, **change):
    """Write an index of the form before, with a small picture, and return the fingerprint of that."""
    found = find_photographs(photographs).photographs
    fingerprints = [sha256_file(photographs / one.name) for one in found]
    place.mkdir()
    lines = [json.dumps([one.name, *one.stamp, print_]) for one, print_ in zip(found, fingerprints, strict=True)]
    (place / f"photographs-{GENERATION}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    matrix = np.array([by_hand(photographs / one.name) for one in found], np.float32)
    save_file({"embeddings": matrix}, place / f"embeddings-{GENERATION}.safetensors")
    small = place / "thumbnails" / fingerprints[0][:2] / f"{fingerprints[0]}.jpg"
    small.parent.mkdir(parents=True)
    small.write_bytes(b"a small picture" + bytes(32))
    towers = {"image": tiny_towers().image, "text": tiny_tower()}
    head = {
        "root": os.path.relpath(photographs, place),
        "profile": "mini",
        "towers": {name: {"name": tower.name, "fingerprint": tower.fingerprint} for name, tower in towers.items()},
        **{"width": 8, "count": COUNT, "engine": "store", "collection": "", "thumbnails": True, "salt": "0" * 32},
        **{"decoders": "", "generation": GENERATION, "files": {}, "unreadable": [], "references": "", "languages": []},
    }
    (place / "pecl-index.json").write_text(json.dumps({"format": "pecl-index", "version": 3, **head, **change}))
    return fingerprints[0]


@pytest.mark.parametrize("first", ["search", "index"])
@pytest.mark.parametrize("where", [".pecl-index", "../elsewhere"])
def test_an_index_of_the_form_before_is_moved_without_embedding_anything(photographs, towers, first, where):
    place = photographs / where
    small = write_earlier(photographs, place)
    (place / "notes.txt").write_text("mine")
    is_hidden = where == ".pecl-index"
    named = photographs if is_hidden else place
    if first == "index":
        report = build_index(photographs, None if is_hidden else place)
        assert (report.new, report.changed, report.removed) == (0, 0, 0)
    index = pecl.ImageIndex.open(named)
    assert index.folder == (index_folder(photographs) if is_hidden else place)
    assert index.root == photographs
    np.testing.assert_allclose(index.embeddings, [by_hand(path) for path in index.paths], atol=1e-6)
    assert read_thumbnail(index.folder, small) == b"a small picture"
    assert towers.pictures == 0
    assert {path.name for path in place.iterdir()} <= {"notes.txt", FILE}


@pytest.mark.parametrize("damage", ["cut", "leads out", "qdrant"])
def test_a_damaged_one_is_left_aside_and_made_again(photographs, towers, caplog, damage):
    place = photographs / ".pecl-index"
    write_earlier(photographs, place, **({"engine": "qdrant"} if damage == "qdrant" else {}))
    listed, matrix = (next(place.glob(pattern)) for pattern in ("*.jsonl", "*.safetensors"))
    if damage == "cut":
        os.truncate(matrix, 4100)
    elif damage == "leads out":
        listed.write_text(listed.read_text().replace("00.png", "../00.png"))
    assert build_index(photographs).new == COUNT
    assert str(place) in caplog.text
    assert (place / "pecl-index.json").exists()
