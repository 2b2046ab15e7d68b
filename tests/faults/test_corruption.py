"""Every kind of damage to every kind of file: what is read is what was written, or one sentence names the file."""

import random
import shutil
from pathlib import Path

import pytest
import torch
from helpers.interrupted import interrupted_after
from helpers.small_experiment import tiny_towers

from pecl.adapters.formats.files import load_adapter_file
from pecl.adapters.formats.peft import read_peft, write_peft
from pecl.adapters.spec import parse_adapter
from pecl.config import make_config
from pecl.data.fetching.download import MANIFEST, read_download_records
from pecl.data.provenance import provenance_file, read_provenance, write_with_provenance
from pecl.data.registry import load_dataset
from pecl.encoders.export import save_text_encoder
from pecl.encoders.store import EmbeddingStore, image_embeddings
from pecl.encoders.towers import load_text_encoder
from pecl.errors import PeclError
from pecl.experiment.run import evaluate, train
from pecl.files import write_json
from pecl.results.result import read_result
from pecl.results.side_files import manifest_path, read_manifest, read_retrieved

RANDOM = random.Random(5)


def one_bit(place):
    """Return the damage that flips a bit at `place`, 0 to 1, of a file."""

    def damage(content):
        at = int(place * (len(content) - 1))
        return content[:at] + bytes([content[at] ^ 1 << RANDOM.randrange(7)]) + content[at + 1 :]

    return damage


CUTS = {
    "empty": lambda content: b"",
    "cut to a byte": lambda content: content[:1],
    "cut in half": lambda content: content[: len(content) // 2],
    "cut at the end": lambda content: content[:-3],
    "noise": lambda content: RANDOM.randbytes(len(content)),
    "zeros": lambda content: bytes(len(content)),
    "text": lambda content: b"this is not what was here\n" * 20,
    "other JSON": lambda content: b'{"a": [1, "b", null]}\n',
    "a list": lambda content: b"[]\n",
    "a number": lambda content: b"7\n",
    "not UTF-8": lambda content: b"\xff\xfe" + content,
    "zeros in the middle": lambda content: content[: len(content) // 2] + bytes(40) + content[len(content) // 2 + 40 :],
}
# Some JSON has no digest, so that one may edit it: another digit in it is another number.
BITS = {f"a bit at {place}": one_bit(place) for place in (0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999, 1)}


class Kind:
    """A file, and what reads it.

    Attributes:
        path: of the file.
        read: returns what can be compared by ==.
        has_digest: whether a flipped bit must be seen.
        rebuilds: whether it is made again instead of an error.
    """

    def __init__(self, path, read, has_digest=False, rebuilds=False):
        self.path, self.read, self.has_digest, self.rebuilds = Path(path), read, has_digest, rebuilds


def bits(tensors):
    return {name: (str(t.dtype), tuple(t.shape), t.numpy().tobytes()) for name, t in tensors.items()}


def result(small):
    path = train(make_config(small)).path
    return Kind(path, lambda: read_result(path).to_json(), has_digest=True)


def manifest(small):
    trained = train(make_config(small))
    return Kind(manifest_path(small["out"], trained.data.manifest), lambda: read_manifest(trained))


def retrieved(small):
    trained = train(make_config(small))
    path = Path(small["out"]) / "retrieved" / trained.path.name
    return Kind(path, lambda: read_retrieved(trained))


def merged_tower(small):
    folder = save_text_encoder(tiny_towers().text, Path(small["out"]).parent / "merged")
    path = folder / "model.safetensors"
    return Kind(path, lambda: load_text_encoder(str(folder)).encode_text(["ka lopi"]).numpy().tobytes(), True)


def adapter(small):
    path = train(make_config(small)).adapter_path
    weights = make_config({name: small[name] for name in ("dataset", "language", "out")} | {"weights": str(path)})
    return Kind(path, lambda: (bits(load_adapter_file(path).state), evaluate(weights).all_ranks), has_digest=True)


def peft_adapter(small):
    tower, trained = tiny_towers().text, train(make_config(small))
    folder = write_peft(
        Path(small["out"]) / "peft", load_adapter_file(trained.adapter_path).state, parse_adapter("lora", 2), tower
    )
    return Kind(folder / "adapter_model.safetensors", lambda: bits(read_peft(folder, tower)[1]), has_digest=True)


def state(small):
    with interrupted_after(3):
        train(make_config(small))
    (path,) = Path(small["out"]).glob(".state/*.safetensors")
    whole = path.read_bytes()

    def go_on():
        """Train from the state in a folder of its own, where it lies as it does here."""
        content = path.read_bytes()
        try:
            trained = train(make_config(small))
            return trained.curve, trained.all_ranks, Path(trained.adapter_path).read_bytes()
        finally:
            shutil.rmtree(small["out"])
            path.parent.mkdir(parents=True)
            path.write_bytes(content)

    go_on()
    assert path.read_bytes() == whole
    return Kind(path, go_on, has_digest=True)


def shard(small):
    images = load_dataset(small["dataset"], "de").images
    tower, folder = tiny_towers().image, Path(small["out"]).parent / "shards"

    def embed():
        return image_embeddings(tower, images, EmbeddingStore(tower.fingerprint, folder)).numpy().tobytes()

    embed()
    (path,) = folder.rglob("*.safetensors")
    return Kind(path, embed, has_digest=True, rebuilds=True)


def download_record(small):
    folder = Path(small["out"]).parent
    write_json(folder / "xtd10" / MANIFEST, {"files": {"xtd10/a": {"url": "x", "sha256": "y"}}})
    return Kind(folder / "xtd10" / MANIFEST, lambda: read_download_records(folder, "xtd10"))


def provenance(small):
    path = Path(small["out"]).parent / "de.txt"
    write_with_provenance(path, b"ein Hund\n", {"translator": "test"})
    return Kind(provenance_file(path), lambda: read_provenance(path))


KINDS = (
    result, manifest, retrieved, adapter, merged_tower, peft_adapter, state, shard, download_record,
    provenance,
)  # fmt: skip


def read(kind):
    """Return what a kind's file gives and None, or None and the error's sentence."""
    try:
        return kind.read(), None
    except PeclError as error:
        return None, str(error)


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_damage_is_seen_and_named(make, small):
    torch.set_num_threads(1)
    kind = make(small)
    whole, expected = kind.path.read_bytes(), kind.read()
    seen = 0
    for name, damage in (CUTS | (BITS if kind.has_digest else {})).items():
        kind.path.parent.mkdir(parents=True, exist_ok=True)
        kind.path.write_bytes(damage(whole))
        changed = kind.path.read_bytes() != whole
        found, error = read(kind)
        if error is None:
            assert found == expected, name
        else:
            assert changed, name
            assert not kind.rebuilds, f"{name}: {error}"
            assert str(kind.path) in error, name
            assert "\n" not in error, name
            seen += 1
        if not kind.rebuilds:
            kind.path.write_bytes(whole)
            assert kind.read() == expected
    assert kind.rebuilds or seen >= 6


def test_a_rebuilt_shard_is_said_once(small, caplog):
    kind = shard(small)
    kind.path.write_bytes(kind.path.read_bytes()[:-9] + bytes(9))
    kind.read()
    kind.read()
    assert caplog.text.count("dropping damaged cache file") == 1
