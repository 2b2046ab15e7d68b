"""Embedding in bulk gives what the towers give, in parquet files that a killed command keeps."""

import gzip
import json
import os
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.adapter_towers import filled
from helpers.family_towers import WRITERS
from helpers.small_experiment import tiny_towers
from helpers.tiny import sentences
from PIL import Image
from pyarrow import parquet

import pecl
from pecl.adapters.adapter import attach
from pecl.adapters.formats.files import save_adapter
from pecl.adapters.spec import parse_adapter
from pecl.apps.bulk.job import Embedder
from pecl.cli import main
from pecl.encoders.towers import Towers, load_text_encoder
from pecl.errors import ConfigError, DataError, OutputError

TEXTS = sentences(11)


@pytest.fixture(autouse=True)
def tiny(monkeypatch, tmp_path):
    monkeypatch.setattr("pecl.encoders.towers.load_towers", lambda **_: tiny_towers())
    monkeypatch.setattr("pecl.apps.bulk.job.ROWS", 4)
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


def files(out="out"):
    return {path.name: path.read_bytes() for path in Path(out).iterdir()}


def embedded(source, out="out", **options):
    pecl.embed(source, out, **options)
    return pecl.open_embeddings(out)


def test_lines_are_embedded_in_their_order(capsys):
    Path("lines.txt").write_bytes(("\ufeff" + "\r\n".join(TEXTS)).encode())
    assert main(["embed", "lines.txt", "--out", "out", "--json"]) == 0
    expected = tiny_towers().text.encode_text(TEXTS)
    close(pecl.open_embeddings("out"), expected)
    assert pecl.read_ids("out") == [str(i) for i in range(1, 12)]
    paths = [f"out/embeddings-{i:05}.parquet" for i in range(3)]
    assert json.loads(capsys.readouterr().out) == {"files": paths, "rows": 11, "adapter": "none", "normalize": True}
    assert sorted(files()) == [Path(path).name for path in paths]
    table = pd.read_parquet("out")  # as other packages read it
    assert np.array_equal(np.stack(table["embedding"]), pecl.open_embeddings("out").numpy())
    assert table["id"].tolist() == pecl.read_ids("out")
    schema = parquet.read_schema(paths[0])
    assert [str(field.type) for field in schema] == ["string", "fixed_size_list<element: float>[8]"]
    metadata = {name.decode(): value.decode() for name, value in schema.metadata.items()}
    tower = tiny_towers().text
    expected = {"tower": tower.name, "tower_sha256": tower.fingerprint, "precision": "fp32", "adapter": "none"}
    assert metadata.items() >= {**expected, "source": "lines.txt", "kind": "texts", "rows": "11"}.items()


def test_images_are_named_by_their_paths_within_the_folder():
    names = ["0.png", "2.png", "4.png", "6.png", "below/1.png", "below/3.png", "below/5.png"]
    close(embedded(pictures()), tiny_towers().image.encode_image(Path("pictures", name) for name in names))
    assert pecl.read_ids("out") == names


def test_no_text_gives_no_row():
    assert embedded([], "none").shape == (0, 8)
    assert pecl.read_ids("none") == []


def test_a_table_gives_its_captions_or_its_images(small):
    table, towers = small["dataset"], tiny_towers()
    captions = pecl.load_dataset(table, "de", need=("english_to_target",))
    expected = {"target": captions.target, "english": captions.english, "english_to_target": captions.english_to_target}
    for column, texts in expected.items():
        close(embedded(table, column, column=column), towers.text.encode_text(texts))
    Path("ZIPPED.CSV.GZ").write_bytes(gzip.compress(Path(table).read_bytes()))
    close(embedded("ZIPPED.CSV.GZ", "zipped"), towers.text.encode_text(captions.target))
    pixels = [captions.images.load(i) for i in range(len(captions.images))]
    assert torch.equal(embedded(table, "pictures", kind="images"), towers.image.encode_image(pixels))
    assert pecl.read_ids("pictures") == list(captions.images.ids)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_adapter_and_lengths_are_those_that_are_asked_for(dtype):
    tower = tiny_towers().text
    adapter = attach(tower, parse_adapter("lora:r=2"), seeds=[1])
    state = {name: (value + 0.3).to(dtype) for name, value in adapter.slot_state(0).items()}
    adapter.load_slot_state(0, state)
    expected, configs = tower.encode_text(TEXTS), adapter.configs
    adapter.remove()
    save_adapter("de.safetensors", state, configs, "de", tower)
    close(embedded(TEXTS, adapter="de.safetensors"), expected)
    assert (expected - tower.encode_text(TEXTS)).abs().max() > 0.01
    raw = embedded(TEXTS, "raw", adapter="de.safetensors", normalize=False)
    close(raw / raw.norm(dim=1, keepdim=True), expected)
    assert (raw.norm(dim=1) - 1).abs().min() > 0.01


def test_towers_are_told_the_language(monkeypatch, tmp_path):
    WRITERS["nllb"](tmp_path)
    monkeypatch.setattr(
        "pecl.encoders.towers.load_towers", lambda **_: Towers(partial(load_text_encoder, tmp_path), None)
    )
    bank = pecl.AdapterBank(load_text_encoder(tmp_path), plain=None)
    french = embedded(TEXTS, language="French")
    close(french, bank.encode_text(TEXTS, "fr"))
    assert not torch.allclose(french, bank.encode_text(TEXTS, "en"))
    with pytest.raises(OutputError, match=r"other embeddings \(language: fr, not de\)"):
        pecl.embed(TEXTS, "out", language="de")


@pytest.fixture
def shipped(monkeypatch):
    """A Czech adapter that ships with pecl, and the embeddings of TEXTS with it."""
    tower = tiny_towers().text
    adapter = filled(tower, "lora+head")
    expected = tower.encode_text(TEXTS)
    save_adapter("shipped.safetensors", adapter.slot_state(0), adapter.configs, "cs", tower)
    found = {"cs": Path("shipped.safetensors").absolute()}
    monkeypatch.setattr("pecl.adapters.ready.ready_adapters", lambda profile: found if profile == "mini" else {})
    return expected


@pytest.mark.parametrize(
    ("flags", "adapter"),
    [
        ("--language Czech", "mini:cs"),
        ("--language de --adapter cs", "mini:cs"),
        ("--adapter ./shipped.safetensors", "shipped.safetensors"),
        ("--language cs --adapter none", "none"),
        ("--language fi", "none"),
        ("--language cs --profile paper", "none"),
    ],
)
def test_the_language_decides_the_adapter_and_metadata_and_line_name_it(shipped, flags, adapter, capsys, caplog):
    assert main(["embed", lines(), "--out", "out", "--json", *flags.split()]) == 0
    close(pecl.open_embeddings("out"), tiny_towers().text.encode_text(TEXTS) if adapter == "none" else shipped)
    assert json.loads(capsys.readouterr().out)["adapter"] == adapter
    (line,) = [message for message in caplog.messages if message.startswith("adapter: ")]
    assert line.startswith(f"adapter: {adapter}")


# Shards that are there


def test_shards_that_are_there_are_kept(monkeypatch):
    lines()
    plain, written = Embedder.write, []

    def write(embedder, shard, progress):
        written.append(shard)
        if len(written) == 2:
            raise KeyboardInterrupt
        plain(embedder, shard, progress)

    monkeypatch.setattr(Embedder, "write", write)
    command = ["embed", "lines.txt", "--out", "out"]
    assert main(command) == 130
    with pytest.raises(DataError, match="out is not finished: 4 of 11 rows are there"):
        pecl.open_embeddings("out")
    before = Path("out/embeddings-00000.parquet").stat().st_mtime_ns
    Path("moved").mkdir()
    Path("lines.txt").rename("moved/texts.txt")
    assert main(["embed", "moved/texts.txt", "--out", "out"]) == 0
    assert written == [0, 1, 1, 2]
    assert Path("out/embeddings-00000.parquet").stat().st_mtime_ns == before
    close(pecl.open_embeddings("out"), tiny_towers().text.encode_text(TEXTS))


def test_other_embeddings_are_not_overwritten(shipped, monkeypatch):
    pecl.embed(lines(), "out")
    before = files()
    changed = lines("changed.txt", [*TEXTS[:-1], "another"])
    for source, options, said in (
        ("lines.txt", {"normalize": False}, "normalize: True, not False"),
        ("lines.txt", {"adapter": "cs"}, "adapter sha256: None, not"),
        (changed, {}, "source sha256: "),
        (pictures(), {}, "kind: texts, not images"),
    ):
        with pytest.raises(OutputError, match=rf"out/embeddings-00000.parquet holds other embeddings \({said}"):
            pecl.embed(source, "out", **options)
    with monkeypatch.context() as patch:
        patch.setattr("pecl.encoders.towers.load_towers", lambda **_: tiny_towers("bf16"))
        with pytest.raises(OutputError, match=r"other embeddings \(precision: fp32, not bf16\)"):
            pecl.embed("lines.txt", "out")
    assert files() == before
    Path("out/embeddings-00001.parquet").write_bytes(b"my own")
    with pytest.raises(OutputError, match=r"00001.parquet: expected embeddings that pecl embed wrote .*, or move"):
        pecl.embed("lines.txt", "out")
    assert files()["embeddings-00001.parquet"] == b"my own"
    with pytest.raises(ConfigError, match="out: expected a path, got ''"):
        pecl.embed("lines.txt", "")


def test_embeddings_of_two_commands_that_wrote_at_the_same_time_are_not_mixed(monkeypatch):
    """Each found an empty folder."""
    pecl.embed(lines(), "out")
    with monkeypatch.context() as patch:
        patch.setattr(Embedder, "missing", lambda _: [1])
        pecl.embed("lines.txt", "out", normalize=False)
    with pytest.raises(
        DataError, match=r"00001.parquet holds other embeddings than .*00000.parquet \(normalize: False"
    ):
        pecl.open_embeddings("out")


def test_damage_is_one_sentence():
    pecl.embed(lines(), "out")
    path = Path("out/embeddings-00001.parquet")
    content = bytearray(path.read_bytes())
    sound = pecl.open_embeddings("out")
    place = content.find(sound[5].numpy().tobytes()[:8])
    assert place > 0
    for damaged in (content[:place] + b"x" + content[place + 1 :], content[:-9], b""):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"embeddings-00001.parquet: expected"):
            pecl.open_embeddings("out")
    with pytest.raises(DataError, match="nowhere holds no embeddings"):
        pecl.open_embeddings("nowhere")


# What fails


def test_a_failed_command_keeps_whole_shards_and_no_others(capsys):
    broken = Path(pictures(), "below", "5.png")
    broken.write_bytes(b"no picture")
    assert main(["embed", "pictures", "--out", "new/out"]) == 2
    assert "5.png" in capsys.readouterr().err
    assert list(files("new/out")) == ["embeddings-00000.parquet"]
    broken.rename("pictures/0.png")
    assert main(["embed", "pictures", "--out", "other/out"]) == 2
    assert not Path("other").exists()
    Image.new("RGB", (2, 2)).save(os.fsencode("pictures/") + b"\xe9.png", format="png")
    with pytest.raises(DataError, match=r"image '\\udce9.png': expected a name in UTF-8"):
        pecl.embed("pictures", "other")


def test_embeddings_that_are_no_numbers_are_refused_with_their_rows(monkeypatch):
    def broken(embedder, rows):
        batch = torch.ones(len(rows), 8)
        batch[2, 2] = torch.nan if rows.start else 0
        yield batch

    monkeypatch.setattr(Embedder, "_batches", broken)
    with pytest.raises(DataError, match=r"lines.txt: .* 1 of rows 4 to 7, the first 6 hold NaN") as refused:
        pecl.embed(lines(), "out")
    assert tiny_towers().text.name in str(refused.value)
    assert list(files()) == ["embeddings-00000.parquet"]


# Ray


def test_what_ray_cannot_do_is_said(monkeypatch):
    with pytest.raises(ConfigError, match="expected a source that other processes can open"):
        pecl.embed(TEXTS, "texts", ray_workers=2)
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(ConfigError, match=r"needs ray: pip install -e '.\[ray\]'"):
        pecl.embed(lines(), "lost", ray_workers=1)


@pytest.mark.slow
@pytest.mark.weights
def test_a_real_ray_gives_what_this_process_gives_and_reads_it(monkeypatch, tmp_path, capsys):
    ray = pytest.importorskip("ray")
    monkeypatch.undo()  # the workers load the mini pair
    monkeypatch.chdir(tmp_path)
    here, there = (embedded(lines(), f"rows{n}", adapter="cs", ray_workers=n) for n in (None, 2))
    close(there, here)
    ray.init(num_cpus=2, ignore_reinit_error=True)
    rows = ray.data.read_parquet(str(tmp_path / "rows2")).take_all()
    close(torch.tensor(np.stack([row["embedding"] for row in rows]), dtype=torch.float32), here)
    Path(pictures(), "broken.png").write_bytes(b"no picture")
    assert main(["embed", "pictures", "--out", "images", "--ray", "2"]) == 2
    assert "cannot read image" in capsys.readouterr().err
