"""`pecl export` of adapters that the engine peft trained, opened by sentence-transformers and onnxruntime."""

import json

import numpy as np
import pytest
import torch
from helpers.adapter_towers import TEXTS
from helpers.exporting import export_towers, text_tower
from transformers import AutoTokenizer

import pecl.apps.commands.adapters
import pecl.apps.commands.export
from pecl.adapters.adapter import attach
from pecl.adapters.formats.files import save_adapter
from pecl.adapters.peft.spec import parse_adapter
from pecl.cli import main

pytest.importorskip("peft")
pytest.importorskip("sentence_transformers")
runtime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

SPECS = ("vera:r=8", "boft", "lora:r=4,use_dora=true+head", "trainable_tokens:tokens=20")


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setattr(pecl.apps.commands.export, "load_towers", export_towers)


def trained(spec, path, language="de"):
    """Write an adapter whose parameters are not the initial ones; return its file and what its modules embed."""
    tower, generator = text_tower(), torch.Generator().manual_seed(5)
    adapter = attach(tower, parse_adapter(spec), seeds=[1])
    adapter.choose(0, [tower.tokenize(TEXTS)])
    for parameter in adapter.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    path = save_adapter(
        path, adapter.slot_state(0), adapter.configs, language, tower, trainable=adapter.num_parameters()
    )
    return path, tower.encode_text(TEXTS), adapter.num_parameters()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("spec", SPECS)
def test_an_adapter_of_peft_is_exported_merged(spec, tmp_path, capsys):
    from sentence_transformers import SentenceTransformer

    path, expected, count = trained(spec, tmp_path / "de.safetensors")
    assert not torch.allclose(expected, text_tower().encode_text(TEXTS), atol=1e-4)
    for name in ("sentence-transformers", "onnx"):
        assert main(["export", name, str(tmp_path / name), "--adapter", str(path), "--text-only"]) == 0
    model = SentenceTransformer(str(tmp_path / "sentence-transformers"), device="cpu")
    torch.testing.assert_close(model.encode(TEXTS, convert_to_tensor=True), expected, rtol=0, atol=1e-5)
    tokens = AutoTokenizer.from_pretrained(tmp_path / "onnx")(TEXTS, padding=True, return_tensors="np")
    session = runtime.InferenceSession(tmp_path / "onnx" / "onnx" / "model.onnx")
    feed = {name: np.asarray(tokens[name]) for name in ("input_ids", "attention_mask")}
    (embeddings,) = session.run(["sentence_embedding"], feed)
    torch.testing.assert_close(torch.tensor(embeddings), expected, rtol=0, atol=1e-5)

    capsys.readouterr()
    assert main(["adapters", "show", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == count


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("spec", ["vera:r=8", "boft"])
def test_an_adapter_of_peft_alone_is_loaded_with_its_base(spec, tmp_path, capsys):
    """transformers, which loads it there, refuses methods with a state that all layers share, such as VeRA."""
    from sentence_transformers import SentenceTransformer

    path, expected, _ = trained(spec, tmp_path / "de.safetensors")
    assert main(["export", "sentence-transformers", str(tmp_path / "base"), "--text-only"]) == 0
    capsys.readouterr()
    arguments = ["--adapter", str(path), "--adapter-only", "--base", str(tmp_path / "base")]
    status = main(["export", "sentence-transformers", str(tmp_path / "de"), *arguments])
    if spec != "boft":
        assert status == 1
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith("pecl: sentence-transformers cannot open the export (")
        assert "shared state" in last
        assert not (tmp_path / "de").exists()
        return
    assert status == 0
    model = SentenceTransformer(str(tmp_path / "de"), device="cpu")
    torch.testing.assert_close(model.encode(TEXTS, convert_to_tensor=True), expected, rtol=0, atol=1e-5)


def test_a_method_that_does_not_merge_and_several_languages_in_one_file_are_refused(tmp_path, monkeypatch, capsys):
    path, *_ = trained("vera:r=8", tmp_path / "de.safetensors")
    other, *_ = trained("vera:r=8", tmp_path / "cs.safetensors", "cs")
    arguments = ["export", "onnx", str(tmp_path / "onnx"), "--slots", "--adapter", str(path), "--adapter", str(other)]
    assert main(arguments) == 2
    assert "vera" in capsys.readouterr().err.splitlines()[-1]

    def unmergeable(*_, **__):
        raise NotImplementedError("VeRA cannot be merged here")

    monkeypatch.setattr("peft.tuners.vera.VeraModel.merge_and_unload", unmergeable)
    for name in ("sentence-transformers", "onnx", "open-clip"):
        assert main(["export", name, str(tmp_path / name), "--adapter", str(path)]) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert last == "pecl: this adapter cannot be merged into the tower: VeRA cannot be merged here"
        assert not (tmp_path / name).exists()
