"""Distillation from end to end on a tower of each family: the closed form, the gradient, a trimmed vocabulary."""

import pytest
import torch
from helpers.family_towers import WIDTH, WRITERS
from helpers.small_experiment import Colours, _pixels
from helpers.small_text import DISTILLATION, write_text

import pecl
import pecl.experiment.run
from pecl.adapters.adapter import attach
from pecl.adapters.formats.files import load_adapter_file
from pecl.encoders.image import ImageEncoder
from pecl.encoders.towers import Towers, load_text_encoder
from pecl.experiment.prepared import prepare_training


@pytest.mark.parametrize("name", ["open-clip-xlm-r", "distilbert", "metaclip-mt5", "siglip", "nllb"])
def test_a_language_is_distilled_onto_every_family(name, small, tmp_path, monkeypatch):
    (tmp_path / "tower").mkdir()
    WRITERS[name](tmp_path / "tower")

    def towers(*_):
        image = ImageEncoder(Colours(), torch.nn.Linear(8, WIDTH), _pixels, name="colours", preprocessing={})
        return Towers(lambda: load_text_encoder(tmp_path / "tower"), lambda: image)

    monkeypatch.setattr(pecl.experiment.run, "load_towers", towers)
    kept = {field: small[field] for field in ("dataset", "out")}
    settings = {"adapter": "lora:r=2,layers=top-1+head:rank=3", "trim_vocabulary": True}
    result = pecl.distil(**DISTILLATION | kept | settings, text=write_text(tmp_path / "text.tsv"))
    tower = towers().text
    prepared = prepare_training(result.config, Towers(lambda: tower, lambda: None))
    file = load_adapter_file(result.adapter_path, tower)
    before = prepared.held_out_anchor
    attach(tower, file.configs).load_slot_state(0, file.state)
    after = tower.encode_token_ids(prepared.held_out_tokens)
    tower.adapter.remove()
    with tower.speaking(result.config.language):
        plain = tower.encode_token_ids(prepared.held_out_tokens)
    assert (after - before).square().mean() < (plain - before).square().mean()
