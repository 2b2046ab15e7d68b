"""`pecl export` on tiny towers: what each format's tests check is written by the command too."""

import pytest
import torch
from helpers.adapter_towers import TEXTS
from helpers.exporting import export_towers, image_tower, text_tower, write_adapters
from helpers.small_experiment import use_towers

from pecl.adapters.formats.files import merge_adapter
from pecl.apps.commands import export
from pecl.apps.export import immich, onnx
from pecl.cli import main


@pytest.fixture
def pecl(monkeypatch, capsys, tmp_path, tiny_weights):
    """Run `pecl export` on tiny towers, next to adapters of German and Czech; return status, output and error."""
    use_towers(text_tower, image_tower)
    monkeypatch.chdir(tmp_path)

    def run(line):
        status = main(["export", *line.split()])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def test_onnx_of_one_language_or_of_a_bank_whose_slots_are_named(pecl, tmp_path, monkeypatch):
    """What is in the file is tested in tests/apps/export; here only that the command hands it the tower or the bank."""
    written = {}

    def write(text, image, target, int8):
        written.update(text=text, image=image, int8=int8)
        return target

    monkeypatch.setattr(onnx, "export_onnx", write)
    merged = merge_adapter(write_adapters(tmp_path)["cs"], text_tower())
    status, out, _ = pecl("onnx o --adapter cs.safetensors")
    assert (status, out) == (0, "o: tiny-xlm-roberta with lora+head; adapter: cs.safetensors\n")
    assert torch.equal(written["text"].encode_text(TEXTS), merged.encode_text(TEXTS))
    assert (written["image"].name, written["int8"]) == ("tiny-timm", False)
    status, out, _ = pecl("onnx o --slots --adapter cs.safetensors --adapter de.safetensors --int8 --text-only")
    assert (status, out) == (0, "o: tiny-xlm-roberta with lora+head, slots: cs 0, de 1\n")
    assert (written["text"].languages, written["image"], written["int8"]) == (["cs", "de"], None, True)


@pytest.mark.parametrize(
    ("name", "loaded", "is_mclip"),
    [
        ("XLM-Roberta-Large-Vit-B-32", ("vit-b-32", None, None), True),
        ("ViT-B-32-SigLIP2-256__webli", ("mini", *["open_clip:ViT-B-32-SigLIP2-256/webli"] * 2), False),
    ],
)
def test_immich_gets_the_towers_of_its_model(pecl, tmp_path, monkeypatch, name, loaded, is_mclip):
    """What is in the folder is tested in tests/apps/export, as for ONNX."""
    asked, written = [], []
    monkeypatch.setattr(export, "load_towers", lambda *names: asked.append(names) or export_towers())
    monkeypatch.setattr(
        immich, "export_immich", lambda text, image, out, **options: written.append((text, image, options)) or out
    )
    merged = merge_adapter(write_adapters(tmp_path)["cs"], text_tower())
    for flag, image_name in (("", "tiny-timm"), (" --text-only", None)):
        status, out, _ = pecl(f"immich --tower {name} --language Czech --adapter cs.safetensors --out o{flag}")
        said = f"o: {name} with lora+head of Czech (cs); adapter: cs.safetensors\n"
        assert (status, out, asked.pop()) == (0, said, loaded)
        text, image, options = written.pop()
        assert torch.equal(text.encode_text(TEXTS), merged.encode_text(TEXTS))
        assert (getattr(image, "name", None), options) == (image_name, {"language": "cs", "is_mclip": is_mclip})


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "immich --tower XLM-Roberta-Large-Vit-B-32 --language Czech --adapter de.safetensors --out o",
            "de.safetensors is for German (de), expected Czech",
        ),
        ("onnx o --adapter de.safetensors --adapter cs.safetensors", "--adapter: expected one without --slots, got 2"),
        ("onnx o --slots", "--slots: expected --adapter ADAPTER, once per language"),
        ("peft o --adapter none", "--adapter: expected an adapter, got none"),
    ],
)
def test_adapters_that_do_not_fit_the_command_are_refused(pecl, tmp_path, line, sentence):
    write_adapters(tmp_path)
    status, out, error = pecl(line)
    assert (status, out) == (2, "")
    assert sentence in error
    assert not (tmp_path / "o").exists()
