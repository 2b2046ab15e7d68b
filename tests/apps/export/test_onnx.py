"""What pecl writes as ONNX, run by onnxruntime."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.adapter_towers import TEXTS, states
from helpers.checkpoints import write_siglip
from helpers.exporting import LANGUAGES, image_tower, pictures, text_tower, write_adapters
from transformers import AutoTokenizer

import pecl
from pecl.adapters.bank import AdapterBank
from pecl.adapters.formats.files import merge_adapter
from pecl.apps.export.immich import export_immich
from pecl.apps.export.onnx import INT8_FILE, TEXT_FILE, VISION_FILE, ImageModule, export_onnx
from pecl.encoders.towers import load_image_encoder
from pecl.errors import ConfigError, RunError

runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not there")
pytest.importorskip("onnxscript", reason="onnxscript is not there")


def run(folder, texts, slots=None, file=TEXT_FILE):
    """As somebody without pecl would: onnxruntime, and the tokenizer of the folder."""
    tokens = AutoTokenizer.from_pretrained(folder)(texts, padding=True, truncation=True, return_tensors="np")
    feed = {name: tokens[name] for name in ("input_ids", "attention_mask")}
    if slots is not None:
        feed["slots"] = np.array(slots)
    (embeddings,) = runtime.InferenceSession(folder / file).run(["sentence_embedding"], feed)
    return torch.tensor(embeddings)


def test_one_language_and_pictures_and_eight_bits(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("pecl.apps.export.contract.LEAST_COSINE", 1.0)  # which eight bits do not reach
    merged, image = merge_adapter(write_adapters(tmp_path)["de"], text_tower()), image_tower()
    folder = export_onnx(merged, image, tmp_path / "onnx", int8=True)
    warning = r"model_int8.onnx embeds the text '.*' \(.*\) with a cosine of 0\.9\d+ with the tower's embedding"
    assert re.search(warning, caplog.text)
    check_no_folders_of_this_machine(folder)

    expected = merged.encode_text(TEXTS)
    for count in (1, 5, len(TEXTS)):  # any number of texts, of any length
        torch.testing.assert_close(run(folder, TEXTS[:count]), expected[:count], rtol=0, atol=1e-5)
    coarse = run(folder, TEXTS, file=INT8_FILE)
    assert torch.cosine_similarity(coarse, expected).min() > 0.99
    assert (coarse - expected).abs().max() > 1e-5  # it is another file
    assert (folder / INT8_FILE).stat().st_size < 0.8 * (folder / TEXT_FILE).stat().st_size
    write_siglip(tmp_path / "siglip")
    other = load_image_encoder(tmp_path / "siglip")
    for tower, made in ((image, folder), (other, export_onnx(merged, other, tmp_path / "other"))):
        pixels = torch.stack([tower.preprocess(picture) for picture in pictures()]).numpy()
        (seen,) = runtime.InferenceSession(made / VISION_FILE).run(None, {"pixel_values": pixels})
        torch.testing.assert_close(torch.tensor(seen), tower.encode_image(pictures()), rtol=0, atol=1e-5)


@pytest.mark.parametrize("export", [pytest.param(export_onnx, marks=pytest.mark.slow), export_immich])
def test_a_graph_of_pictures_that_differs_is_refused_and_leaves_nothing(export, tmp_path, monkeypatch):
    monkeypatch.setattr(ImageModule, "forward", lambda self, pixels: self.image(pixels) / 2)  # of another length
    with pytest.raises(RunError, match=r"onnxruntime would embed a picture differently from the tower, .*nothing was"):
        export(text_tower(), image_tower(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def check_no_folders_of_this_machine(folder):
    """torch notes for each node in which file of Python it was made."""
    packages = str(Path(torch.__file__).parents[1]).encode()
    written = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {Path(TEXT_FILE).name, Path(VISION_FILE).name} <= written.keys()
    for name, content in written.items():
        for machine in (packages, str(Path(pecl.__file__).parent).encode(), str(folder.parent).encode()):
            assert machine not in content, name


def check_bank(spec, folder, architecture="xlm-roberta"):
    """Write a bank of `spec` and compare a batch of mixed languages with the bank's own."""
    tower = text_tower(architecture)
    bank = AdapterBank(tower, spec)
    for language, state in zip(LANGUAGES, states(text_tower(architecture), spec, len(LANGUAGES)), strict=True):
        bank.add(language, state)
    export_onnx(bank, None, folder)
    languages = [LANGUAGES[i % 2] for i in (0, 0, 1, 0, 1, 1, 0, 1, 0, 1, 1, 1)]
    expected = bank.encode_text(TEXTS, languages)
    slots = json.loads((folder / "pecl_onnx.json").read_text())["slots"]
    assert slots == {"de": 0, "cs": 1}
    own = run(folder, TEXTS, [slots[language] for language in languages])
    torch.testing.assert_close(own, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(run(folder, TEXTS[:1], [1]), bank.encode_text(TEXTS[:1], "cs"), rtol=0, atol=1e-5)
    assert (own - run(folder, TEXTS, [1] * len(TEXTS))).abs().max() > 1e-4  # the slot matters
    bank.add("fr", bank.single().adapter.slot_state(0))  # the bank itself is as before
    torch.testing.assert_close(bank.encode_text(TEXTS, languages), expected)


@pytest.mark.parametrize(
    ("architecture", "spec"), [("xlm-roberta", "soft_prompt+lora+head"), ("mini", "layernorm+word_embeddings:rank=3")]
)
def test_one_file_serves_all_languages_of_a_bank(architecture, spec, tmp_path):
    check_bank(spec, tmp_path / "bank", architecture)


def test_missing_packages_are_said(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ConfigError, match=r"needs more packages: pip install -e '.\[export\]' .*onnxscript"):
        export_onnx(text_tower(), None, tmp_path / "onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "spec", [*("bottleneck", "compacter:reduction_factor=4", "prefix", "bitfit"), "lora+head:rank=2"]
)
def test_every_kind_of_adapter_goes_into_a_bank(spec, tmp_path):
    check_bank(spec, tmp_path / "bank")
