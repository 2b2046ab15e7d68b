"""`pecl export` on tiny towers: what each format's tests check is written by the command too."""

import pytest
import torch
from helpers.adapter_towers import TEXTS
from helpers.exporting import export_towers, write_adapters

from pecl.cli import main
from pecl.commands import export
from pecl.export import onnx


@pytest.fixture
def pecl(monkeypatch, capsys, tmp_path):
    """Run `pecl export` on tiny towers, next to adapters of German and Czech; return status, output and error."""
    monkeypatch.setattr(export, "load_towers", export_towers)
    monkeypatch.chdir(tmp_path)

    def run(line):
        status = main(["export", *line.split()])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def test_sentence_transformers_whole_and_adapter_alone(pecl, tmp_path):
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not there")
    write_adapters(tmp_path)
    assert pecl("sentence-transformers base")[1].startswith(
        "base: tiny-xlm-roberta; adapter: none (no language is named"
    )
    status, out, _ = pecl("sentence-transformers de --adapter de.safetensors")
    assert (status, out) == (0, "de: tiny-xlm-roberta with lora+head; adapter: de.safetensors\n")
    assert pecl("sentence-transformers text --adapter de.safetensors --text-only")[0] == 0
    assert pecl("sentence-transformers only --adapter de.safetensors --adapter-only --base base")[0] == 0
    models = [library.SentenceTransformer(name, device="cpu") for name in ("de", "text", "only")]
    first, *others = (model.encode(TEXTS, convert_to_tensor=True) for model in models)
    for other in others:
        torch.testing.assert_close(other, first, rtol=0, atol=1e-5)
    assert "image" in models[0].modalities
    assert "image" not in models[1].modalities


def test_onnx_of_a_bank_names_its_slots(pecl, tmp_path, monkeypatch):
    """What is in the file is tested in tests/export; here only that the command hands it the bank."""
    written = {}

    def write(text, image, target, int8):
        written.update(languages=text.languages, image=image, int8=int8)
        return target

    monkeypatch.setattr(onnx, "export_onnx", write)
    write_adapters(tmp_path)
    status, out, _ = pecl("onnx o --slots --adapter cs.safetensors --adapter de.safetensors --int8 --text-only")
    assert (status, out) == (0, "o: tiny-xlm-roberta with lora+head, slots: cs 0, de 1\n")
    assert written == {"languages": ["cs", "de"], "image": None, "int8": True}
