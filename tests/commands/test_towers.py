"""`pecl towers`: the list of pairs, and what a check says of folders that fit and of those that do not."""

import json
import logging
import shutil

import pytest
import torch
from helpers.family_towers import WRITERS, ending_tokenizer
from helpers.tiny import tiny_tokenizer
from PIL import Image
from transformers import (
    AutoImageProcessor,
    CLIPImageProcessor,
    MetaClip2Model,
    Siglip2Config,
    Siglip2ImageProcessor,
    Siglip2Model,
)

import pecl.encoders.memory
import pecl.encoders.towers
from pecl.cli import main
from pecl.encoders.loading.text import known_tower
from pecl.encoders.pairs import PAIRS
from pecl.encoders.towers import load_image_encoder, load_text_encoder
from pecl.errors import WeightsError

PICTURES = [Image.effect_noise((40, 24), 90).convert("RGB"), Image.new("RGB", (16, 30), "olive")]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folders of a few forms, to be copied before they are changed."""
    folder = tmp_path_factory.mktemp("towers")
    for name in ("metaclip", "siglip"):
        (folder / name).mkdir()
        WRITERS[name](folder / name)
    CLIPImageProcessor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8}).save_pretrained(
        folder / "metaclip"
    )
    return folder


def checked(capsys, path):
    status = main(["towers", "check", str(path), "--json"])
    return status, {half["half"]: half for half in json.loads(capsys.readouterr().out)}


def test_the_list_has_every_pair(capsys):
    assert main(["towers", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows.keys() == PAIRS.keys()
    counts = {name: round(row["text_parameters"] / 1e6) for name, row in rows.items()}
    # as their cards and papers count them
    published = {"siglip2-b16": 282, "siglip2-so400m": 708, "metaclip2-mt5-s16": 118, "metaclip2-h14": 1227}
    published |= {"nllb-base": 414, "nllb-large": 767, "xlm-r-b32": 279, "xlm-r-h14": 562, "clip-b32-multilingual": 135}
    assert published.items() <= counts.items()
    for name, row in rows.items():
        tower = load_text_encoder("mini") if name == "mini" else known_tower(PAIRS[name].text)
        parameters = sum(parameter.numel() for parameter in tower.parameters())
        assert (row["text_parameters"], row["width"]) == (parameters, tower.embedding_dim), name
        assert row["text_bytes"] == sum(parameter.numel() * 4 for parameter in tower.parameters()), name  # of fp32


@pytest.mark.parametrize(("name", "fits"), [("metaclip", True), ("siglip", False)])
def test_a_folder_of_both_halves_fits_and_an_image_half_that_is_not_there_is_told(capsys, made, name, fits):
    status, halves = checked(capsys, made / name)
    assert status == 0
    assert {name: half["fits"] for name, half in halves.items()} == {"text tower": True, "image tower": fits}
    assert "pooling " in halves["text tower"]["detail"]
    assert ("preprocessor_config.json" in halves["image tower"]["detail"]) is not fits


def _without_end(folder):
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.post_processor = None
    tokenizer.save_pretrained(folder)


def _on_the_left(folder):
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"padding_side": "left"}))


def _unknown(folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "vit"}))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_on_the_left, "pads on the left"),
        (_without_end, "expected the end of text, 2"),
        (_unknown, "expected a text tower: bert, roberta, xlm-roberta, distilbert, m2m_100, metaclip_2_text_model"),
    ],
    ids=["left", "end", "unknown"],
)
def test_a_folder_that_cannot_be_used_is_refused_in_one_sentence(capsys, made, tmp_path, spoil, sentence):
    folder = shutil.copytree(made / "siglip", tmp_path / "siglip")
    spoil(folder)
    status, halves = checked(capsys, folder)
    assert status == 2
    assert not halves["text tower"]["fits"]
    assert sentence in halves["text tower"]["detail"]
    assert "\n" not in halves["text tower"]["detail"]
    with pytest.raises(WeightsError):
        load_text_encoder(folder)


def test_a_tower_that_does_not_fit_into_memory_is_refused(capsys, made, monkeypatch):
    needed = sum(tensor.numel() for tensor in load_text_encoder(made / "metaclip").backbone.state_dict().values()) * 4
    monkeypatch.setattr(pecl.encoders.memory, "available_memory", lambda: needed)
    assert checked(capsys, made / "metaclip")[0] == 0
    monkeypatch.setattr(pecl.encoders.memory, "available_memory", lambda: needed - 1)
    status, halves = checked(capsys, made / "metaclip")
    assert status == 2
    assert "needs 0.0 GiB of memory, and 0.0 GiB are available" in halves["text tower"]["detail"]


def test_a_licence_that_forbids_commercial_use_is_told(caplog):
    with caplog.at_level(logging.WARNING), pytest.raises(WeightsError):
        load_text_encoder("facebook/metaclip-2-mt5-worldwide-s16")
    assert "no commercial use" in caplog.text


def test_image_towers_equal_their_own_package(made, tmp_path):
    model = MetaClip2Model.from_pretrained(made / "metaclip")
    processor = AutoImageProcessor.from_pretrained(made / "metaclip", backend="pil")
    pixels = processor(images=PICTURES, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        expected = model.get_image_features(pixels).pooler_output
    found = load_image_encoder(made / "metaclip").encode_image(PICTURES, normalize=False)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)

    half = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = half | {"patch_size": 4, "num_patches": 16}
    torch.manual_seed(2)
    naflex = Siglip2Model(Siglip2Config(vision_config=vision, text_config=half | {"vocab_size": 260})).eval()
    naflex.save_pretrained(tmp_path)
    Siglip2ImageProcessor(patch_size=4, max_num_patches=16).save_pretrained(tmp_path)
    found = load_image_encoder(tmp_path)
    batch = found.preprocess.processor(images=PICTURES, return_tensors="pt")
    with torch.no_grad():
        expected = naflex.get_image_features(**batch).pooler_output
    torch.testing.assert_close(found.encode_image(PICTURES, normalize=False), expected, rtol=0, atol=1e-5)
    ending_tokenizer().save_pretrained(tmp_path)
    assert load_text_encoder(tmp_path).embedding_dim == found.embedding_dim  # the text half is a SigLIP's
