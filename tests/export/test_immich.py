"""Folders for immich, fed as its machine learning service feeds them."""

import errno
import json
import os
import shutil
import string
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.adapter_towers import states
from helpers.checkpoints import write_clip, write_mclip, write_siglip, xlm_roberta_config
from helpers.exporting import image_tower, pictures
from helpers.family_towers import WRITERS
from open_clip.transform import PreprocessCfg, image_transform_v2

from pecl.adapters.formats.convert import merge_adapter
from pecl.adapters.formats.files import load_adapter_file, save_adapter
from pecl.adapters.spec import parse_adapter
from pecl.cli import main
from pecl.encoders.image import ImageEncoder
from pecl.encoders.towers import Towers, load_image_encoder, load_text_encoder
from pecl.errors import ConfigError
from pecl.export import immich, immich_cache, onnx
from pecl.files import folders

runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not there")
pytest.importorskip("onnxscript", reason="onnxscript is not there")
from tokenizers import Tokenizer  # noqa: E402

NAME = "XLM-Roberta-Large-Vit-B-32"
TEXTS = ["ein Hund", "A dog and two cats", "a", "Dva psi běží po sněhu", "犬が走る"]
FAMILIES = ["mclip", "open-clip-xlm-r", "siglip", "open-clip-siglip", "nllb"]


def write_checkpoint(family, folder):
    if family == "mclip":
        base = folder / "base"
        base.mkdir(parents=True)
        xlm_roberta_config().save_pretrained(base)
        write_mclip(folder / "mclip", base)
        return folder / "mclip"
    folder.mkdir(exist_ok=True)
    WRITERS[family](folder)
    return folder


def merged_tower(family, folder):
    """A tower of the family, and one with a Czech adapter in its weights."""
    tower = load_text_encoder(write_checkpoint(family, folder))
    (state,) = states(tower, "lora", 1)
    path = save_adapter(folder / "cs.safetensors", state, parse_adapter("lora"), "cs", tower)
    return tower, merge_adapter(load_adapter_file(path), tower)


def predict(folder, text, language=None):
    """What immich does with a text: one row, int32, padded and cut to the config's length."""
    settings = json.loads((folder / "config.json").read_text())["text_cfg"]
    length = settings.get("context_length", 77)
    padding = json.loads((folder / "textual" / "tokenizer_config.json").read_text())["pad_token"]
    tokenizer = Tokenizer.from_file(str(folder / "textual" / "tokenizer.json"))
    tokenizer.enable_padding(length=length, pad_token=padding, pad_id=tokenizer.token_to_id(padding))
    tokenizer.enable_truncation(max_length=length)
    text = " ".join(text.split())
    if settings.get("tokenizer_kwargs", {}).get("clean") == "canonicalize":
        text = text.translate(str.maketrans("", "", string.punctuation)).lower()
    encoded = tokenizer.encode(f"{language or ''}{text}")
    session = runtime.InferenceSession(folder / "textual" / "model.onnx")
    names = {one.name: one for one in session.get_inputs()}
    assert all((one.type, one.shape) == ("tensor(int32)", [1, length]) for one in names.values())
    ids = np.array([encoded.ids], dtype=np.int32)
    feed = {"text": ids} if "text" in names else {"input_ids": ids}
    if "text" not in names:
        feed["attention_mask"] = np.array([encoded.attention_mask], dtype=np.int32)
    out = session.run(None, feed)[0]
    assert out.dtype == np.float32
    return out[0]


@pytest.mark.parametrize(
    "family",
    [pytest.param(name, marks=() if name in ("nllb", "open-clip-siglip") else pytest.mark.slow) for name in FAMILIES],
)
def test_families_equal_the_merged_tower(family, tmp_path):
    tower, merged = merged_tower(family, tmp_path / "tower")
    folder = immich.export_immich(merged, None, tmp_path / "out", language="cs", is_mclip=family == "mclip")
    with merged.speaking("cs"):
        expected = merged.encode_text(TEXTS)
    rows = torch.tensor(np.stack([predict(folder, text) for text in TEXTS]))
    torch.testing.assert_close(rows, expected, rtol=0, atol=1e-4)
    assert (rows - tower.encode_text(TEXTS)).abs().max() > 1e-3  # the adapter is in it
    if family == "nllb":  # immich puts the language of its pages in front of the text
        rows = torch.tensor(np.stack([predict(folder, text, "deu_Latn") for text in TEXTS]))
        torch.testing.assert_close(rows, expected, rtol=0, atol=1e-4)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An M-CLIP tower, the same with Czech merged, and the folder of the plain one in the cache of immich."""
    folder = tmp_path_factory.mktemp("immich")
    plain, merged = merged_tower("mclip", folder)
    cache = immich.export_immich(plain, None, folder / "clip" / NAME / "main", is_mclip=True)
    return plain, merged, cache


@pytest.fixture
def pecl(model, monkeypatch, capsys):
    """Run `pecl export immich` on the tower; return status, output and error."""
    from pecl.commands import export

    monkeypatch.setattr(export, "load_towers", lambda *_: Towers(lambda: model[0], image_tower))

    def run(*words):
        status = main(["export", "immich", *map(str, words)])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def bytes_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("write", "edge", "mode"),
    [
        (lambda _: None, 32, "squash"),  # timm
        (write_clip, 32, "shortest"),
        (write_siglip, 32, "squash"),
        (WRITERS["open-clip-siglip"], 8, "shortest"),
    ],
)
def test_pictures_of_a_folder(model, tmp_path, monkeypatch, write, edge, mode):
    """A tower that looks at every pixel, with the preparation of a checkpoint, which open_clip reads in the folder."""
    source = load_image_encoder(tmp_path) if write(tmp_path) else image_tower()
    graph = model[2] / "textual" / "model.onnx"  # which takes a second to write
    monkeypatch.setattr(immich, "write_textual", lambda _, path, *args, **options: shutil.copyfile(graph, path))
    layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * edge * edge, 8))
    tower = ImageEncoder(layers, None, source.preprocess, name=source.name, preprocessing=source.preprocessing)
    cache = immich.export_immich(model[0], tower, tmp_path / "out", is_mclip=True)
    settings = json.loads((cache / "visual" / "preprocess_cfg.json").read_text())
    assert (settings["size"], settings["resize_mode"], settings["interpolation"]) == ([edge, edge], mode, "bicubic")
    assert json.loads((cache / "config.json").read_text())["vision_cfg"] == {"image_size": edge}
    prepare = image_transform_v2(PreprocessCfg(**settings), is_train=False)
    session = runtime.InferenceSession(cache / "visual" / "model.onnx")
    for one in pictures(2):
        (row,) = session.run(None, {"image": prepare(one)[None].numpy()})[0]
        torch.testing.assert_close(torch.tensor(row), tower.encode_image([one])[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "settings", [{"size": {"shortest_edge": 32}, "crop_size": {"height": 24, "width": 24}}, {"size": {}}]
)
def test_pictures_that_immich_cannot_prepare(model, tmp_path, settings):
    tower = image_tower()
    tower.preprocessing = settings
    with pytest.raises(ConfigError, match=r"tiny-timm cannot be written for immich: .*--text-only leaves them out"):
        immich.export_immich(model[0], tower, tmp_path / "out", is_mclip=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("has_links", [True, False])
def test_replaced_and_restored(model, pecl, monkeypatch, has_links):
    _, merged, cache = model
    before = bytes_of(cache)
    monkeypatch.setattr(onnx, "_ONE_FILE", 1)  # weights in a second file, as of models above 2 GB
    if not has_links:
        monkeypatch.setattr(immich_cache.os, "link", refuse)
    adapter = cache.parents[2] / "cs.safetensors"
    status, out, _ = pecl("--tower", NAME, "--language", "Czech", "--adapter", adapter, "--replace", cache)
    assert (status, out.startswith(f"{cache}/textual/model.onnx: {NAME} with lora of Czech")) == (0, True)
    row = torch.tensor(predict(cache, TEXTS[3]))
    torch.testing.assert_close(row, merged.encode_text(TEXTS[3])[0], rtol=0, atol=1e-4)
    names = {path.name for path in (cache / "textual").iterdir()}
    (weights,) = names - {path.name for path in before if path.parent.name == "textual"} - {"model.onnx.before-pecl"}
    assert weights.startswith("pecl-")
    now = bytes_of(cache)
    changed = {path for path in before if before[path] != now[path]}
    assert {path.as_posix() for path in changed} == {"textual/model.onnx"}
    with monkeypatch.context() as patch:
        patch.setattr(immich_cache.os, "replace", refuse)
        sentence = f"cannot write {cache}/textual/model.onnx: Operation not permitted; it is as it was"
        assert sentence in pecl("--restore", cache)[2]
    assert bytes_of(cache) == now
    assert pecl("--restore", cache)[0] == 0
    assert bytes_of(cache) == before
    assert "model.onnx.before-pecl is missing" in pecl("--restore", cache)[2]


def refuse(*_):
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


def break_nothing(cache):
    return cache


def other_tower(cache):
    """A model of the same shape, whose linear layer has another bias."""
    package = pytest.importorskip("onnx", reason="onnx is not there")
    found = package.load(cache / "textual" / "model.onnx")
    (bias,) = (one for one in found.graph.initializer if one.name.endswith("head.bias"))
    bias.CopyFrom(package.numpy_helper.from_array(np.linspace(-1, 1, 8, dtype=np.float32), bias.name))
    package.save(found, cache / "textual" / "model.onnx")
    return cache


def other_width(cache):
    """A model of a constant embedding of nine numbers."""
    package = pytest.importorskip("onnx", reason="onnx is not there")
    graph = "g (int32[1, 77] input_ids, int32[1, 77] attention_mask) => (float[1, 9] y)"
    body = "y = Constant <value = float[1, 9] {0, 0, 0, 0, 0, 0, 0, 0, 1}> ()"
    found = package.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {graph} {{ {body} }}')
    package.save(found, cache / "textual" / "model.onnx")
    return cache


def written(name, content):
    """Return a change of a model in the cache: a file with other content."""

    def change(cache):
        (cache / name).write_text(content)
        return cache

    return change


def link(cache):
    path = cache / "textual" / "model.onnx"
    blob = path.rename(cache / "blob")
    path.symlink_to(blob)
    return cache


@pytest.mark.parametrize(
    ("change", "words", "sentence"),
    [
        (lambda cache: cache.parent, "", "such as {cache}, one of 1 models or revisions below it"),
        (lambda cache: cache / "nothing", "", "expected the folder of a model in immich's cache"),
        (link, "", "is a link into a cache of the model hub"),
        (other_tower, "", "holds another tower than " + NAME),
        (other_width, "", "holds another tower than " + NAME),
        (written("textual/model.onnx", "x"), "", "onnxruntime cannot open {cache}/textual/model.onnx"),
        (written("textual/tokenizer.json", "x"), "", "{cache}/textual: cannot read its tokenizer"),
        (written("config.json", "x"), "", "{cache}/config.json: expected immich's file of settings"),
        (
            written("config.json", '{"text_cfg": {"context_length": 0}}'),
            "",
            "{cache}/config.json: context_length: expected a number of tokens, got 0",
        ),
        (break_nothing, "--tower XLM-Roberta-Large-Vit-B-33", "did you mean 'XLM-Roberta-Large-Vit-B-32'?"),
        (break_nothing, "--adapter none", "expected one with an adapter for"),
        (break_nothing, "--language de", "is for Czech (cs), expected de"),
        (break_nothing, "full", "no room in"),
        (break_nothing, "locked", "no permission to write in {cache}/textual"),
        (break_nothing, "damaged", "onnxruntime's embeddings differ by"),
    ],
)
def test_bad_input_replaces_nothing(model, pecl, tmp_path, monkeypatch, change, words, sentence):
    cache = tmp_path / "clip" / NAME / "main"
    shutil.copytree(model[2], cache)
    named = change(cache)
    before = bytes_of(cache)
    if words == "full":
        monkeypatch.setattr(immich_cache.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    if words == "locked":
        monkeypatch.setattr(folders.os, "access", lambda *_: False)  # which permissions do to anyone but root
    if words == "damaged":
        monkeypatch.setattr(
            immich_cache,
            "write_textual",
            lambda _, made, *args, **options: made.write_bytes((cache / "textual" / "model.onnx").read_bytes()),
        )
    adapter = model[2].parents[2] / "cs.safetensors"
    given = ["--tower", NAME, "--language", "cs", "--adapter", adapter, "--replace", named]
    status, out, error = pecl(*given, *(words.split() if words.startswith("--") else []))
    assert (status, out, error.count("\n")) == (2, "", 1)
    assert sentence.format(cache=cache) in error
    assert bytes_of(cache) == before
