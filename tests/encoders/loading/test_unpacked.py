"""The unpacked weights of mini in the cache: written once, checked at each start, and written again if damaged."""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from helpers.tiny_e5 import write_tiny
from safetensors.torch import load_file

from pecl.encoders.loading import unpacked as module
from pecl.encoders.loading.e5 import read_e5
from pecl.encoders.loading.unpacked import is_sound, unpacked, unpacked_path
from pecl.files import locked

WORDS = "embeddings.word_embeddings.weight"
SHA256 = "ab" * 32


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """The tensors of a tiny file, and a function that returns unpacked ones and counts how often they were unpacked."""
    write_tiny(tmp_path / "tiny.bin")
    file, times = read_e5(tmp_path / "tiny.bin"), []
    whole = file.read_tensors()
    file = file._replace(read_tensors=lambda: times.append(1) or whole)
    monkeypatch.setenv("PECL_WEIGHTS_DIR", str(tmp_path / "weights"))

    def read(expected, **options):
        found = unpacked(file, SHA256, **options)
        assert len(times) == expected
        assert found.keys() == whole.keys()
        assert all(torch.equal(found[name], whole[name]) for name in whole)

    return read


def flip(name, keep_time=False):
    """Flip one bit of a tensor in the cached file."""
    path = unpacked_path(SHA256)
    content, state = bytearray(path.read_bytes()), path.stat()
    size = int.from_bytes(content[:8], "little")
    start, end = json.loads(content[8 : 8 + size])[name]["data_offsets"]
    content[8 + size + (start + end) // 2] ^= 1
    with open(path, "r+b") as file:  # in place: the same file, as on a bad disk
        file.write(content)
    if keep_time:
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_the_record_has_the_hashes_of_the_two_parts(weights):
    weights(1)
    path = unpacked_path(SHA256)
    record, content = json.loads(path.with_suffix(".json").read_text()), path.read_bytes()
    words = load_file(path)[WORDS].numpy().tobytes()
    before, after = content.split(words)
    assert record["words"] == hashlib.sha256(words).hexdigest()
    assert record["others"] == hashlib.sha256(before + after).hexdigest()
    assert record["size"] == len(content)


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("name", [WORDS, "encoder.layer.0.output.dense.weight", "embeddings.LayerNorm.bias"])
def test_a_flipped_bit_drops_the_file_which_is_named(weights, caplog, name, quick):
    weights(1, quick=quick)
    weights(1, quick=quick)
    flip(name)
    weights(2, quick=quick)
    assert f"dropping damaged weights {unpacked_path(SHA256)}: they are unpacked again" in caplog.text
    weights(2)


def test_a_quick_start_reads_the_word_embeddings_only_if_the_time_of_the_file_changed(weights, monkeypatch):
    weights(1)
    flip(WORDS, keep_time=True)
    assert is_sound(unpacked_path(SHA256), quick=True)
    assert not is_sound(unpacked_path(SHA256))
    weights(2)
    flip("encoder.layer.0.output.dense.weight", keep_time=True)
    assert not is_sound(unpacked_path(SHA256), quick=True)
    weights(3, quick=True)


def test_a_copied_cache_is_sound(weights):
    weights(1)
    path = unpacked_path(SHA256)
    os.utime(path, ns=(1, 1))
    assert is_sound(path, quick=True)
    weights(1, quick=True)


@pytest.mark.parametrize("damage", ["cut", "no record", "damaged record", "record of another file"])
def test_other_damage_is_written_again(weights, damage):
    weights(1)
    path = unpacked_path(SHA256)
    record = path.with_suffix(".json")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-4])
    elif damage == "no record":
        record.unlink()
    elif damage == "damaged record":
        record.write_text("{")
    else:
        record.write_text(json.dumps({**json.loads(record.read_text()), "others": "0" * 64}))
    weights(2)
    weights(2)


def test_a_start_waits_for_another_one_that_has_not_written_its_record_yet(weights, caplog):
    weights(1)
    path = unpacked_path(SHA256)
    record = path.with_suffix(".json")
    content = record.read_text()
    record.unlink()
    with ThreadPoolExecutor(1) as thread:
        with locked(path.with_suffix(".lock"), "another process writes"):
            start = thread.submit(weights, 1)
            with pytest.raises(TimeoutError):
                start.result(timeout=0.3)
            record.write_text(content)
        start.result()
    assert "damaged" not in caplog.text


def test_without_a_writable_folder_every_start_unpacks(weights, monkeypatch, caplog):
    monkeypatch.setenv("PECL_WEIGHTS_DIR", "/dev/null/weights")
    weights(1)
    weights(2)
    assert "unpacked at every start" in caplog.text


def test_a_process_reads_the_file_once(weights, monkeypatch):
    weights(1)
    monkeypatch.setattr(module, "open_regular", lambda path: pytest.fail("read again"))
    weights(1)
    weights(1)
