"""Embedding in bulk gives what the towers give, in shards that a killed command keeps."""

import json
import os
import sys
import types
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from helpers.adapter_towers import filled, states
from helpers.small_experiment import tiny_towers
from helpers.tiny import sentences
from PIL import Image
from safetensors.torch import load_file

import pecl
from pecl.adapters.adapter import attach
from pecl.adapters.formats.files import save_adapter
from pecl.adapters.spec import parse_adapter
from pecl.bulk.folder import read_ids, read_plan
from pecl.bulk.job import Worker
from pecl.cli import main
from pecl.errors import ConfigError, DataError, OutputError, RunError

TEXTS = sentences(11)


@pytest.fixture(autouse=True)
def tiny(monkeypatch, tmp_path):
    monkeypatch.setattr("pecl.bulk.job.load_towers", lambda **_: tiny_towers())
    monkeypatch.setattr("pecl.adapters.ready.ready_adapters", lambda *_: {})  # which are for the profile's tower
    monkeypatch.chdir(tmp_path)


def lines(name="lines.txt", texts=TEXTS):
    Path(name).write_text("".join(f"{text}\n" for text in texts), "utf-8")
    return name


def pictures(count=7):
    for i in range(count):
        path = Path("pictures", "below" * (i % 2), f"{i}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 6), (30 * i, 200 - 20 * i, 50)).save(path)
    return "pictures"


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def everything(found):
    return found[range(len(found))]


@pytest.mark.parametrize("shards", [None, 1, 3, 11, 50])
def test_lines_are_embedded_in_their_order(shards, capsys):
    flags = [] if shards is None else ["--shards", str(shards)]
    assert main(["embed", lines(), "--out", "out", "--json", *flags]) == 0
    found = pecl.open_embeddings("out")
    close(everything(found), tiny_towers().text.encode_text(TEXTS))
    assert read_ids("out") == [str(i) for i in range(1, 12)]
    number = {None: 1, 50: 11}.get(shards, shards)
    document = {"folder": "out", "rows": 11, "width": 8, "shards": number, "adapter": "none", "normalize": True}
    assert json.loads(capsys.readouterr().out) == document
    files = sorted(Path("out").glob("shard-*"))
    assert len(files) == number
    assert torch.equal(torch.cat([load_file(path)["embeddings"] for path in files]), everything(found))
    assert {path.name for path in Path("out").iterdir()} == {"embeddings.json", "ids.jsonl", *(f.name for f in files)}


def test_a_folder_of_images_is_embedded_by_name():
    found = pecl.embed(pictures(), "out", shards=2)
    names = read_ids("out")
    assert names == ["0.png", "2.png", "4.png", "6.png", "below/1.png", "below/3.png", "below/5.png"]
    close(everything(found), tiny_towers().image.encode_image(Path("pictures", name) for name in names))


def test_a_table_gives_its_captions_or_its_images(small):
    table, towers = small["dataset"], tiny_towers()
    captions = pecl.load_dataset(table, "de", need=("english_to_target",))
    expected = {"target": captions.target, "english": captions.english, "english_to_target": captions.english_to_target}
    for column, texts in expected.items():
        close(everything(pecl.embed(table, column, column=column)), towers.text.encode_text(texts))
    assert torch.equal(
        everything(pecl.embed(table, "pictures", kind="images")),
        towers.image.encode_image(captions.images.load(i) for i in range(len(captions.images))),
    )
    assert read_ids("pictures") == list(captions.images.ids)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_adapter_and_lengths_are_those_that_are_asked_for(dtype):
    tower = tiny_towers().text
    adapter = attach(tower, parse_adapter("lora:r=2"), seeds=[1])
    state = {name: (value + 0.3).to(dtype) for name, value in adapter.slot_state(0).items()}
    adapter.load_slot_state(0, state)
    expected, configs = tower.encode_text(TEXTS), adapter.configs
    adapter.remove()
    save_adapter("de.safetensors", state, configs, "de", tower)
    close(everything(pecl.embed(TEXTS, "out", adapter="de.safetensors")), expected)
    assert read_plan("out").adapter["language"] == "de"
    assert (expected - tower.encode_text(TEXTS)).abs().max() > 0.01
    raw = everything(pecl.embed(TEXTS, "raw", adapter="de.safetensors", normalize=False))
    close(raw / raw.norm(dim=1, keepdim=True), expected)
    assert (raw.norm(dim=1) - 1).abs().min() > 0.01


@pytest.fixture
def shipped(monkeypatch):
    """A Czech adapter that ships with pecl, and the embeddings of TEXTS with it."""
    tower = tiny_towers().text
    adapter = filled(tower, "lora+head")
    expected = tower.encode_text(TEXTS)
    save_adapter("shipped.safetensors", adapter.slot_state(0), adapter.configs, "cs", tower)
    files = {"cs": Path("shipped.safetensors").absolute()}
    monkeypatch.setattr("pecl.adapters.ready.ready_adapters", lambda profile: files if profile == "mini" else {})
    return expected


@pytest.mark.parametrize(
    ("flags", "adapter"),
    [
        ("--language Czech", "mini:cs"),
        ("--language de --adapter cs", "mini:cs"),
        ("--adapter mini:cs", "mini:cs"),
        ("--adapter ./shipped.safetensors", "shipped.safetensors"),
        ("--language cs --adapter none", "none"),
        ("--language fi", "none"),
        ("--language en", "none"),
        ("", "none"),
        ("--language cs --profile paper", "none"),
    ],
)
def test_the_language_decides_the_adapter_and_the_folder_and_the_line_name_it(shipped, flags, adapter, capsys, caplog):
    assert main(["embed", lines(), "--out", "out", "--json", *flags.split()]) == 0
    close(
        everything(pecl.open_embeddings("out")), tiny_towers().text.encode_text(TEXTS) if adapter == "none" else shipped
    )
    assert json.loads(capsys.readouterr().out)["adapter"] == adapter
    recorded = read_plan("out").adapter
    assert recorded is None if adapter == "none" else (recorded["name"], recorded["language"]) == (adapter, "cs")
    (line,) = [message for message in caplog.messages if message.startswith("adapter: ")]
    assert line.startswith(f"adapter: {adapter}")


def test_the_columns_of_a_table_are_in_their_languages(shipped, small, capsys):
    for column, adapter in (("target", "mini:cs"), ("english", "none")):
        flags = ["--column", column, "--language", "cs", "--json"]
        with open(small["dataset"], encoding="utf-8") as file:
            Path("czech.csv").write_text(file.read().replace("de", "cs", 1), "utf-8")
        assert main(["embed", "czech.csv", "--out", column, *flags]) == 0
        assert json.loads(capsys.readouterr().out)["adapter"] == adapter


def test_an_adapter_that_was_moved_is_the_same(shipped):
    pecl.embed(TEXTS, "out", adapter="shipped.safetensors")
    Path("shipped.safetensors").rename("moved.safetensors")
    pecl.embed(TEXTS, "out", adapter="moved.safetensors")
    with pytest.raises(OutputError, match="out holds other embeddings"):
        pecl.embed(TEXTS, "out", adapter="none")


def test_images_have_no_adapter(shipped, capsys):
    assert main(["embed", pictures(), "--out", "out", "--json", "--language", "cs", "--adapter", "none"]) == 0
    assert json.loads(capsys.readouterr().out)["adapter"] is None


def test_a_killed_command_keeps_its_shards(monkeypatch):
    lines()
    plain, written = Worker.write, []

    def write(worker, shard, progress=None):
        written.append(shard)
        if len(written) == 3:
            raise KeyboardInterrupt
        plain(worker, shard, progress)

    monkeypatch.setattr(Worker, "write", write)
    command = ["embed", "lines.txt", "--out", "out", "--shards", "4"]
    assert main(command) == 130
    with pytest.raises(DataError, match="out is not finished: 2 of 4 shards are there"):
        pecl.open_embeddings("out")
    before = {path: path.stat().st_mtime_ns for path in Path("out").glob("shard-*")}
    assert main(command) == 0
    assert written == [0, 1, 2, 2, 3]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    close(everything(pecl.open_embeddings("out")), tiny_towers().text.encode_text(TEXTS))


def test_other_embeddings_are_not_overwritten():
    pecl.embed(lines(), "out", shards=2)
    before = {path: path.read_bytes() for path in Path("out").iterdir()}
    changed = lines("changed.txt", [*TEXTS[:-1], "another"])
    for source, options, said in (
        ("lines.txt", {"shards": 3}, "shards: 2, not 3"),
        ("lines.txt", {"shards": 2, "normalize": False}, "normalize: True, not False"),
        (changed, {"shards": 2}, "source digest"),
        (pictures(), {}, "kind: texts, not images"),
    ):
        with pytest.raises(OutputError, match=f"out holds other embeddings .{said}"):
            pecl.embed(source, "out", **options)
    assert {path: path.read_bytes() for path in Path("out").iterdir()} == before


def test_of_a_tower_what_differs_alone_is_named(monkeypatch):
    pecl.embed(lines(), "out")
    monkeypatch.setattr("pecl.bulk.job.load_towers", lambda **_: tiny_towers("bf16"))
    with pytest.raises(OutputError, match=r"out holds other embeddings \(precision of the tower: fp32, not bf16\)"):
        pecl.embed("lines.txt", "out")


def test_lines_of_any_size_are_read_where_they_lie():
    Path("lines.txt").write_bytes("\ufeffein Hund\r\nдва  \n最後".encode())
    source = pecl.bulk.sources.Lines("lines.txt")
    assert source.load(0, 3) == ["ein Hund", "два", "最後"]
    assert source.load(1, 2) == ["два"]
    for content, said in ((b"a\n\nb", "line 2: empty"), (b"a\n\xff\n", "line 2: not UTF-8"), (b"", "is empty")):
        Path("bad.txt").write_bytes(content)
        with pytest.raises(DataError, match=said):
            pecl.bulk.sources.Lines("bad.txt")


# Ray


def stand_in(monkeypatch):
    """A module `ray` whose Ray Data calls a worker here, block by block; each worker goes through JSON, as if sent."""
    asked = {}

    class Data:
        def __init__(self, rows):
            self.rows = rows

        def map_batches(self, kind, *, fn_constructor_args, batch_size, concurrency, num_gpus):
            asked.update(batch_size=batch_size, concurrency=concurrency, num_gpus=num_gpus)
            worker = kind(*json.loads(json.dumps(fn_constructor_args)))
            here = os.getcwd()
            os.chdir(os.sep)  # workers know nothing of the folder of the command
            try:
                blocks = [worker({"shard": np.array([row["shard"]])}) for row in self.rows]
            finally:
                os.chdir(here)
            return Data([{name: block[name][0] for name in block} for block in blocks])

        def iter_rows(self):
            return iter(self.rows)

    ray, data, exceptions = (types.ModuleType(name) for name in ("ray", "ray.data", "ray.exceptions"))
    ray.data, ray.exceptions, exceptions.RayError = data, exceptions, RuntimeError
    ray.is_initialized = lambda: True
    data.from_items = lambda rows, override_num_blocks: Data(rows)
    for module in (ray, data, exceptions):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return asked


def test_workers_of_ray_write_the_shards(monkeypatch, capsys):
    asked = stand_in(monkeypatch)
    assert main(["embed", lines(), "--out", "out", "--shards", "4", "--ray", "9"]) == 0
    assert asked == {"batch_size": 1, "concurrency": 4, "num_gpus": None}
    close(everything(pecl.open_embeddings("out")), tiny_towers().text.encode_text(TEXTS))
    with pytest.raises(ConfigError, match="expected a source that other processes can open"):
        pecl.embed(TEXTS, "texts", ray_workers=2)
    tower = tiny_towers().text
    adapter = str(save_adapter(Path("cs.safetensors"), states(tower)[0], parse_adapter("lora"), "cs", tower))
    there, here = (pecl.embed(lines(), f"cs{n}", adapter=adapter, ray_workers=n)[:] for n in (1, None))
    assert torch.equal(there, here)
    with monkeypatch.context() as patch:
        lost = Mock(side_effect=RuntimeError("log\nlost a node"))
        patch.setattr(sys.modules["ray"].data, "from_items", lost)
        with pytest.raises(RunError, match=r"Ray gave up \(RuntimeError: lost a node\); the same command goes on"):
            pecl.embed(lines(), "lost", ray_workers=1)
        patch.setitem(sys.modules, "ray.data", None)
        with pytest.raises(ConfigError, match=r"needs ray: pip install 'pecl\[ray\]'"):
            pecl.embed(lines(), "lost", ray_workers=1)
    Image.new("RGB", (2, 2)).save(Path(pictures(), "broken.png"))
    Path("pictures", "broken.png").write_bytes(b"no picture")
    assert main(["embed", "pictures", "--out", "images", "--ray", "2"]) == 2
    assert "cannot read image" in capsys.readouterr().err


@pytest.mark.parametrize("address", [None, "auto"])
def test_the_host_that_asks_a_cluster_needs_no_gpu(monkeypatch, address):
    asked, loaded = stand_in(monkeypatch), []
    monkeypatch.setattr("pecl.bulk.job.load_towers", lambda **given: loaded.append(given) or tiny_towers("bf16"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if address:
        monkeypatch.setenv("RAY_ADDRESS", address)
    pecl.embed(lines(), "out", device="cuda", precision="auto", ray_workers=2)
    assert asked["num_gpus"] == 1
    assert [given["device"] for given in loaded] == ["cpu" if address else "cuda", "cuda"]
    assert {given["precision"] for given in loaded} == {"bf16"}  # as the workers have it


@pytest.mark.slow
@pytest.mark.weights
def test_a_real_ray_gives_what_this_process_gives(monkeypatch, tmp_path):
    pytest.importorskip("ray")
    monkeypatch.undo()  # the workers load the mini pair
    monkeypatch.chdir(tmp_path)
    here = pecl.embed(lines(), "here", shards=3)
    there = pecl.embed("lines.txt", "there", shards=3, ray_workers=2)
    close(everything(there), everything(here))
