"""A folder of embeddings holds together: its parts name their whole, and what is not its own is never replaced."""

import json
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.adapter_towers import states
from helpers.folders import exchange, without_digest
from helpers.small_experiment import tiny_towers
from helpers.tiny import sentences
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import pecl
from pecl.adapters.formats.files import save_adapter
from pecl.adapters.spec import parse_adapter
from pecl.bulk.folder import IDS, PLAN, read_ids
from pecl.bulk.job import Worker
from pecl.bulk.sources import SourceSpec
from pecl.cli import main
from pecl.errors import ConfigError, DataError, OutputError, PeclError
from pecl.files import LOCK, sha256_json
from pecl.files.images import ImageFiles

TEXTS = sentences(11)
SHARDS = [f"shard-{number:05}-of-00003.safetensors" for number in range(3)]
RANDOM = random.Random(3)


@pytest.fixture(autouse=True)
def tiny(monkeypatch, tmp_path):
    monkeypatch.setattr("pecl.bulk.job.load_towers", lambda **_: tiny_towers())
    monkeypatch.chdir(tmp_path)


def lines(name="lines.txt", texts=TEXTS):
    Path(name).write_text("".join(f"{text}\n" for text in texts), "utf-8")
    return name


def embed(out="out", texts=TEXTS, **options):
    return pecl.embed(lines(f"{out}.txt", texts), out, shards=3, **options)


def whole(out="out"):
    """Everything that a folder gives: rows and their names."""
    found = pecl.open_embeddings(out)
    return found[:].numpy().tobytes(), read_ids(out)


def files(out="out"):
    return {path.name: path.read_bytes() for path in Path(out).iterdir()}


def save_lora():
    """Write a Czech adapter of the tiny tower, and return its file."""
    tower = tiny_towers().text
    save_adapter("cs.safetensors", states(tower)[0], parse_adapter("lora"), "cs", tower)
    return "cs.safetensors"


def edit(path, **fields):
    """Change fields of a plan, and sign it again."""
    document = without_digest(path) | fields
    path.write_text(json.dumps({**document, "sha256": sha256_json(document)}), "utf-8")


# Damage


def flips(content):
    for at in sorted({*range(0, len(content), max(len(content) // 40, 1)), len(content) - 1}):
        yield content[:at] + bytes([content[at] ^ 1 << RANDOM.randrange(7)]) + content[at + 1 :]


def damages(content):
    yield from flips(content)
    yield from (b"", content[:1], content[: len(content) // 2], content[:-3], content + b"x", content * 2)
    yield from (RANDOM.randbytes(len(content)), bytes(len(content)), b"[]\n", b"{}\n", b"\xff" + content)


@pytest.mark.parametrize("name", [PLAN, IDS, *SHARDS])
def test_damage_to_any_file_is_refused_and_named_or_mended(name):
    embed()
    expected, path = whole(), Path("out", name)
    sound = path.read_bytes()
    for number, content in enumerate(damages(sound)):
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf"out/{name}") as refused:
            whole()
        assert "\n" not in str(refused.value)
        if number % 8:
            path.write_bytes(sound)
            continue
        if name == PLAN:
            with pytest.raises(DataError, match=rf"out/{PLAN} .*choose another folder, or delete the file and run"):
                embed()
            path.unlink()
        embed()
        assert (path.read_bytes(), whole()) == (sound, expected)


def test_ids_that_are_cut_or_gone_are_refused():
    embed()
    path = Path("out", IDS)
    sound = path.read_bytes()
    for content in (b"".join(sound.splitlines(True)[:-1]), None):
        path.unlink() if content is None else path.write_bytes(content)
        for read in (read_ids, pecl.open_embeddings):
            with pytest.raises(DataError, match=r"ids.jsonl"):
                read("out")
        embed()
        assert path.read_bytes() == sound


@pytest.mark.parametrize("check", [True, False])
def test_shards_that_change_places_are_refused(check):
    embed()
    expected = whole()
    for one, other in ((0, 1), (1, 2), (0, 2)):  # the first has 3 rows, the others 4
        exchange(Path("out", SHARDS[one]), Path("out", SHARDS[other]))
        with pytest.raises(DataError, match=rf"out/{SHARDS[one]} is shard {other} with . rows, expected shard {one}"):
            pecl.open_embeddings("out", check)
        assert embed().shape == (11, 8)
        assert whole() == expected


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("name", [PLAN, IDS, SHARDS[1]])
def test_files_of_two_folders_that_change_places_are_refused(name, check):
    embed()
    embed("other", TEXTS[1:] + TEXTS[:1])
    edit(Path("other", PLAN), ids_sha256="0" * 64)
    Path("other", IDS).write_text("other", "utf-8")
    expected = whole()
    exchange(Path("out", name), Path("other", name))
    with pytest.raises(DataError, match=r"belongs to other embeddings|ids.jsonl is"):
        read_ids("out") if name == IDS else pecl.open_embeddings("out", check)
    if name == PLAN:
        with pytest.raises(OutputError, match=r"out holds other embeddings .source digest"):
            embed()
    else:
        embed()
        assert whole() == expected


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"normalize": False}, "normalize: False, not True"),
        ({"rows": 12}, "rows: 12, not 11"),
        ({"source_digest": "0" * 64}, "source digest"),
        ({"tower": {"name": "another", "fingerprint": "0" * 64, "precision": "fp32"}}, "name of the tower: another"),
        ({"adapter": {"adapter": "lora", "language": "de", "digest": "0" * 64}}, "adapter: "),
        ({"ids_sha256": "0" * 64}, "ids sha256"),
        ({"kind": "images"}, "kind: images, not texts"),
    ],
)
def test_an_edited_plan_is_refused(fields, said):
    """Also one whose checksum is made again."""
    embed()
    path = Path("out", PLAN)
    sound = path.read_text("utf-8")
    path.write_text(json.dumps({**json.loads(sound), **fields}), "utf-8")
    for use in (pecl.open_embeddings, read_ids, lambda _: embed()):
        with pytest.raises(DataError, match=f"out/{PLAN} is damaged, edited or another program's"):
            use("out")
    edit(path, **fields)
    with pytest.raises(DataError, match=f"{SHARDS[0]} (belongs to other embeddings|is shard)"):
        pecl.open_embeddings("out", check=False)
    with pytest.raises(OutputError, match=f"out holds other embeddings .{said}"):
        embed()


def test_a_plan_of_more_shards_than_rows_is_refused():
    embed()
    edit(Path("out", PLAN), shards=12)
    with pytest.raises(DataError, match="12 shards of 11 rows"):
        pecl.open_embeddings("out")


def test_the_language_of_an_adapter_cannot_be_edited():
    embed(adapter=save_lora())
    path = Path("out", PLAN)
    edit(path, adapter={**json.loads(path.read_text("utf-8"))["adapter"], "language": "de"})
    with pytest.raises(DataError, match="belongs to other embeddings"):
        pecl.open_embeddings("out")
    with pytest.raises(OutputError, match="language of the adapter: de, not cs"):
        embed(adapter="cs.safetensors")


def test_the_source_may_be_moved():
    embed()
    before = files()
    Path("new").mkdir()
    shutil.move("out.txt", "new/lines.txt")
    pecl.embed("new/lines.txt", "out", shards=3)
    assert files() == before


@pytest.mark.parametrize("name", [PLAN, IDS, SHARDS[2]])
def test_a_link_gives_its_own_content_or_nothing(name):
    """A link to the same bytes, as in a hub's cache, is read; another file is refused, and stays as it is."""
    embed()
    expected, path = whole(), Path("out", name)
    path.rename("moved")
    path.symlink_to(Path("moved").absolute())
    assert whole() == expected
    Path("moved").write_bytes(b"my own")
    with pytest.raises(DataError, match=name):
        whole()
    if name != PLAN:
        embed()
        assert whole() == expected
        assert not path.is_symlink()
    assert Path("moved").read_bytes() == b"my own"
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(DataError, match="expected a regular file, got a pipe or a device"):
        whole()


# What is not ours


@pytest.mark.parametrize("name", [PLAN, IDS, SHARDS[1]])
def test_a_file_of_another_program_stays(name):
    Path("out").mkdir()
    Path("out", name).write_text("my own\n", "utf-8")
    save_file({"embeddings": torch.zeros(2, 2)}, "out/model.safetensors")
    before = files()
    with pytest.raises(PeclError, match=f"out/{name} .*choose another folder"):
        embed()
    assert files() == before


def test_a_lock_of_another_program_stays():
    Path("out").mkdir()
    for name in (".lock", ".pub.0123456789abcdef.tmp"):
        Path("out", name).write_text("my own\n", "utf-8")
    embed()
    assert Path("out", ".lock").read_text("utf-8") == "my own\n"
    assert Path("out", ".pub.0123456789abcdef.tmp").read_text("utf-8") == "my own\n"
    assert not Path("out", LOCK).exists()


@pytest.mark.parametrize(
    ("source", "out", "field"), [("lines.txt", "", "out"), ("", "o", "source"), ("a\0", "o", "source")]
)
def test_an_empty_path_is_refused(source, out, field):
    lines()
    Image.new("RGB", (2, 2)).save("mine.png")  # the current folder would be a source
    before = files(".")
    with pytest.raises(ConfigError, match=f"{field}: expected a path, got '"):
        pecl.embed(source, out)
    assert files(".") == before


# What fails


@pytest.fixture
def pictures():
    for i in range(5):
        path = Path("pictures", f"{i}.png")
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (6, 6), (30 * i, 200, 50)).save(path)
    return "pictures"


@pytest.mark.parametrize("there", [True, False])
def test_a_failed_first_command_leaves_nothing(pictures, there, capsys):
    Path(pictures, "0.png").write_bytes(b"no picture")
    if there:
        Path("new/out").mkdir(parents=True)
        Path("new/out/mine.txt").write_text("mine")
    assert main(["embed", pictures, "--out", "new/out", "--shards", "2"]) == 2
    assert "0.png" in capsys.readouterr().err
    assert Path("new").exists() == there
    assert not there or [path.name for path in Path("new/out").iterdir()] == ["mine.txt"]
    assert pecl.embed(lines(), "new/out").shape == (11, 8)


def test_a_command_that_fails_later_keeps_its_shards(pictures):
    content = Path(pictures, "4.png").read_bytes()
    before = os.stat(f"{pictures}/4.png")
    Path(pictures, "4.png").write_bytes(bytes(len(content)))
    os.utime(f"{pictures}/4.png", ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(DataError, match=r"cannot read image pictures/4.png"):
        pecl.embed(pictures, "out", shards=2)
    assert sorted(files()) == [PLAN, IDS, "shard-00000-of-00002.safetensors"]
    with pytest.raises(OutputError, match="out holds other embeddings"):
        pecl.embed(lines(), "out")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_embeddings_that_are_no_numbers_are_refused_with_their_rows(monkeypatch, value):
    plain = Worker._embed

    def broken(worker, start, stop):
        for batch in plain(worker, start, stop):
            batch[stop - start - 1, 2] = value if stop == 7 else 0
            yield batch

    monkeypatch.setattr(Worker, "_embed", broken)
    with pytest.raises(DataError, match=r"out.txt: .* 1 of rows 3 to 6, the first 6 .shard 1. hold NaN") as refused:
        embed()
    assert tiny_towers().text.name in str(refused.value)
    assert sorted(files()) == [PLAN, IDS, SHARDS[0]]


def test_an_adapter_that_gives_no_numbers_is_named(monkeypatch):
    monkeypatch.setattr(Worker, "_embed", lambda *_: iter([torch.full((3, 8), torch.nan)]))
    with pytest.raises(DataError, match=r"3 of rows 0 to 2, the first 0 .shard 0.*the adapter cs.safetensors"):
        embed(adapter=save_lora())
    assert not Path("out").exists()


# Sources that change meanwhile


def test_lines_that_change_after_they_were_opened_are_seen():
    texts = sentences(2100)
    source = SourceSpec(lines(texts=texts)).open()
    assert source.load(1020, 1030) == texts[1020:1030]
    content = Path("lines.txt").read_bytes()
    lines(texts=[*texts[:-1], "x" * len(texts[-1].encode())])
    assert source.load(0, 1024) == texts[:1024]
    with pytest.raises(DataError, match=r"lines.txt changed while it was embedded"):
        source.load(2000, 2060)
    Path("lines.txt").write_bytes(content)
    assert source.load(2000, 2100) == texts[2000:]
    Path("lines.txt").write_bytes(content[:99])
    with pytest.raises(DataError, match=r"lines.txt changed while it was embedded"):
        source.load(2099, 2100)
    Path("lines.txt").unlink()
    with pytest.raises(DataError, match=r"cannot read .*lines.txt: No such file"):
        source.load(0, 1)


def test_pictures_that_change_after_they_were_opened_are_seen(pictures, small):
    source = SourceSpec(pictures).open()
    assert len(list(source.load(0, 5))) == 5
    Image.new("RGB", (7, 7)).save(f"{pictures}/3.png")
    assert len(list(source.load(0, 3))) == 3
    with pytest.raises(DataError, match=r"3.png changed while its folder was embedded"):
        list(source.load(0, 5))
    Path(pictures, "3.png").unlink()
    Path(pictures, "3.png").symlink_to("nowhere")
    with pytest.raises(DataError, match=r"cannot read pictures/3.png: a link that leads to no file \(1 in all\)"):
        SourceSpec(pictures).open()
    table = SourceSpec(small["dataset"], kind="images").open()
    changed = Path(small["dataset"]).parent / table.names[2]
    Image.new("RGB", (7, 7)).save(changed)
    with pytest.raises(DataError, match=f"{table.names[2]}: it changed while it was read"):
        list(table.load(0, 5))


@pytest.mark.parametrize("kind", ["folder", "table"])
def test_pictures_that_are_others_just_while_they_are_read_are_seen(pictures, small, monkeypatch, kind):
    """Their content, size and time are then as they were."""
    source = SourceSpec(pictures if kind == "folder" else small["dataset"], kind="images").open()
    plain = ImageFiles.load

    def load(images, index, expected=None):
        path, state = images.paths[index], images.paths[index].stat()
        content = path.read_bytes()
        Image.new("RGB", (7, 7)).save(path)
        try:
            return plain(images, index, expected)
        finally:
            while path.stat().st_ctime_ns == state.st_ctime_ns or path.read_bytes() != content:
                path.write_bytes(content)
                os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))

    monkeypatch.setattr(ImageFiles, "load", load)
    with pytest.raises(DataError, match="changed while"):
        next(source.load(0, 5))


def test_the_file_is_what_safetensors_reads():
    """By the library's own reader: the metadata that each shard has, and its rows."""
    found, first = embed(), 0
    for number, name in enumerate(SHARDS):
        with safe_open(f"out/{name}", "np") as shard:
            said = shard.metadata()
        rows = load_file(f"out/{name}")["embeddings"]
        assert (said["shard"], said["first_row"], said["rows"]) == (str(number), str(first), str(len(rows)))
        assert np.array_equal(rows, found[first : first + len(rows)])
        first += len(rows)
    assert first == 11
