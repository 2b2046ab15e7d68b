"""Folders for immich, fed as its machine learning service feeds them."""

import json
import shutil
import string

import numpy as np
import pytest
import torch
from helpers.adapter_towers import states
from helpers.checkpoints import write_clip, write_siglip
from helpers.contract import source
from helpers.exporting import image_tower, pictures
from helpers.family_towers import WRITERS
from open_clip.transform import PreprocessCfg, image_transform_v2

from pecl.adapters.formats.files import load_adapter_file, merge_adapter, save_adapter
from pecl.adapters.spec import parse_adapter
from pecl.apps.export import immich, onnx
from pecl.cli import main
from pecl.encoders.image import ImageEncoder
from pecl.encoders.towers import Towers, load_image_encoder, load_text_encoder

runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not there")
pytest.importorskip("onnxscript", reason="onnxscript is not there")
from tokenizers import Tokenizer  # noqa: E402

NAME = "XLM-Roberta-Large-Vit-B-32"
TEXTS = ["ein Hund", "A dog and two cats", "a", "Dva psi běží po sněhu", "犬が走る"]
FAMILIES = ["mclip", "open-clip-xlm-r", "siglip", "open-clip-siglip", "nllb"]


def merged_tower(family, folder):
    """A tower of the family, and one with a Czech adapter in its weights."""
    tower = load_text_encoder(source(family))
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
    expected = merged.encode_text(TEXTS, language="cs")
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
    from pecl.apps.commands import export

    monkeypatch.setattr(export, "load_towers", lambda *_: Towers(lambda: model[0], image_tower))

    def run(*words):
        status = main(["export", "immich", *map(str, words)])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


@pytest.mark.parametrize(
    ("write", "edge", "mode"),
    [
        (lambda _: None, 32, "squash"),  # timm
        (write_clip, 32, "shortest"),
        pytest.param(write_siglip, 32, "squash", marks=pytest.mark.slow),
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


def test_the_textual_folder_takes_the_place_of_immichs(model, pecl, monkeypatch, tmp_path):
    """As docs/immich.md copies it; weights in a second file come along."""
    _, merged, original = model
    cache = tmp_path / "cache"
    shutil.copytree(original, cache)
    monkeypatch.setattr(onnx, "_ONE_FILE", 1)  # as of models above 1 GiB
    given = ["--tower", NAME, "--adapter", original.parents[2] / "cs.safetensors", "--out", tmp_path / "out"]
    status, out, _ = pecl(*given, "--language", "Czech", "--text-only")
    assert (status, out.startswith(f"{tmp_path}/out: {NAME} with lora of Czech")) == (0, True)
    shutil.rmtree(cache / "textual")
    shutil.copytree(tmp_path / "out" / "textual", cache / "textual")
    row = torch.tensor(predict(cache, TEXTS[3]))
    torch.testing.assert_close(row, merged.encode_text(TEXTS[3])[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--tower XLM-Roberta-Large-Vit-B-33 --language cs", "did you mean 'XLM-Roberta-Large-Vit-B-32'?"),
        (f"--tower {NAME} --language cs --adapter none", "expected one with an adapter for"),
        (f"--tower {NAME} --language de", "is for Czech (cs), expected de"),
        ("damaged", "differently from the tower"),
    ],
)
def test_bad_input_writes_nothing(model, pecl, tmp_path, monkeypatch, words, sentence):
    if words == "damaged":
        graph = model[2] / "textual" / "model.onnx"
        monkeypatch.setattr(immich, "write_textual", lambda _, path, *args, **options: shutil.copyfile(graph, path))
        words = f"--tower {NAME} --language cs"
    adapter = ["--adapter", model[2].parents[2] / "cs.safetensors"] * ("--adapter" not in words)
    status, out, error = pecl(*words.split(), *adapter, "--out", tmp_path / "out")
    assert (status, out, error.count("\n")) == (1 if "differently" in sentence else 2, "", 1)
    assert sentence in error
    assert list(tmp_path.iterdir()) == []
