"""What pecl writes for PEFT, opened by PEFT on the base that the folder itself names."""

import json

import pytest
import torch
from helpers.adapter_towers import TEXTS, states
from helpers.exporting import text_tower, write_adapters
from transformers import AutoModel

from pecl.adapters.adapter import attach
from pecl.adapters.formats.files import load_adapter_file, save_adapter
from pecl.adapters.spec import parse_adapter
from pecl.errors import ConfigError, WeightsError
from pecl.export.peft import base_encoder, export_peft
from pecl.export.sentence_transformers import export_towers

peft = pytest.importorskip("peft", reason="PEFT is not there")


@pytest.fixture
def base(tmp_path):
    return export_towers(text_tower(), None, tmp_path / "base")


@pytest.mark.parametrize("spec", ["lora", "layernorm+word_embeddings:tokens=9,rank=3", "lora+word_embeddings:rank=5"])
def test_peft_opens_the_adapter_on_the_base_that_it_names(spec, base, tmp_path):
    tower, file = text_tower(), write_adapters(tmp_path, spec)["cs"]
    adapter = attach(tower, file.configs)
    adapter.load_slot_state(0, file.state)
    expected = tower.encode_text(TEXTS)
    adapter.remove()
    export_peft(file, tower, tmp_path / "peft", str(base))
    named = json.loads((tmp_path / "peft" / "adapter_config.json").read_text())["base_model_name_or_path"]
    encoder = AutoModel.from_pretrained(named, add_pooling_layer=False)
    tower.backbone = peft.PeftModel.from_pretrained(encoder, tmp_path / "peft").eval()
    torch.testing.assert_close(tower.encode_text(TEXTS), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("lora+head", "head"),
        ("bottleneck-only", "bottleneck"),
        ("lora+soft_prompt", "soft_prompt"),
        ("lora-only+bitfit", "bitfit"),
        ("layernorm", "an adapter without lora or word_embeddings"),
    ],
)
def test_what_cannot_go_is_named(spec, parts, base, tmp_path):
    tower = text_tower()
    path = save_adapter(tmp_path / "a.safetensors", states(tower, spec)[0], parse_adapter(spec), "de", tower)
    with pytest.raises(ConfigError, match=f"of which {parts} cannot go into PEFT's format: expected lora"):
        export_peft(load_adapter_file(path), tower, tmp_path / "peft", str(base))
    assert not (tmp_path / "peft").exists()


def test_the_base_is_one_that_others_can_load(base, tmp_path):
    tower = text_tower()
    tower.name = "mini"
    with pytest.raises(ConfigError, match="mini is not a checkpoint that PEFT can load: write it once"):
        base_encoder(None, tower)
    tower.name = str(base)
    assert base_encoder(None, tower) == str(base)
    with pytest.raises(WeightsError, match="there is no folder"):
        base_encoder("./nowhere", tower)
    (tmp_path / "mclip").mkdir()
    (tmp_path / "mclip" / "config.json").write_text('{"model_type": "M-CLIP"}')
    with pytest.raises(ConfigError, match="is in M-CLIP's format, which PEFT cannot load"):
        base_encoder(tmp_path / "mclip", tower)
