"""What PEFT's format cannot hold, and the bases that it can name; test_contract.py opens what is written."""

import pytest
from helpers.adapter_towers import states
from helpers.exporting import text_tower

from pecl.adapters.formats.files import load_adapter_file, save_adapter
from pecl.adapters.spec import parse_adapter
from pecl.errors import ConfigError, WeightsError
from pecl.export.peft import base_encoder, export_peft
from pecl.export.sentence_transformers import export_towers


@pytest.fixture
def base(tmp_path):
    return export_towers(text_tower(), None, tmp_path / "base")


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("lora+head", "head"),
        ("lora+soft_prompt", "soft_prompt"),
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
