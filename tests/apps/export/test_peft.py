"""The bases that an adapter in PEFT's format can name; test_contract.py opens what is written."""

import pytest
from helpers.exporting import text_tower

from pecl.apps.export.peft import base_encoder
from pecl.apps.export.sentence_transformers import export_towers
from pecl.errors import ConfigError, WeightsError


def test_the_base_is_one_that_others_can_load(tmp_path):
    tower, base = text_tower(), export_towers(text_tower(), None, tmp_path / "base")
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
