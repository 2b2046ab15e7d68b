import json
import logging

import open_clip
import pytest
import torch
from helpers.checkpoints import TEXTS, write_base, write_mclip, write_weights, xlm_roberta_config
from helpers.family_towers import WRITERS
from helpers.tiny import tiny_tokenizer
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    BertConfig,
    BertModel,
    CLIPTextConfig,
    CLIPTextModel,
    MPNetConfig,
    MPNetModel,
    XLMRobertaForMaskedLM,
)

from pecl.encoders.loading.text import base_config, load_text_checkpoint
from pecl.errors import ConfigError, WeightsError

LAYOUTS = ("bin", "safetensors", "sharded-bin", "sharded-safetensors")
load = load_text_checkpoint


@pytest.fixture
def mclip(tmp_path):
    """An M-CLIP checkpoint and its weights; the base model's folder holds a config and no weights."""
    (tmp_path / "base").mkdir()
    xlm_roberta_config().save_pretrained(tmp_path / "base")
    return tmp_path / "mclip", write_mclip(tmp_path / "mclip", tmp_path / "base")


def reference(folder, tmp_path):
    """The tower of the package multilingual-clip, which makes its encoder from the base model's weights first."""
    package = pytest.importorskip("multilingual_clip.pt_multilingual_clip", reason="multilingual-clip is not there")
    base = write_base(tmp_path / "reference-base", seed=7)
    config = package.MultilingualCLIP.config_class(
        modelBase=str(tmp_path / "reference-base"), transformerDimSize=base.config.hidden_size, imageDimSize=8
    )
    model = package.MultilingualCLIP(config).eval()
    model.load_state_dict(torch.load(folder / "pytorch_model.bin", weights_only=True))
    return model


def test_mclip_gives_what_the_package_gives(mclip, tmp_path):
    folder, _ = mclip
    with torch.no_grad():
        expected = reference(folder, tmp_path)(TEXTS, tiny_tokenizer())
    assert torch.allclose(load(folder).encode_text(TEXTS, normalize=False), expected, atol=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_mclip_in_every_layout(mclip, layout):
    folder, state = mclip
    expected = load(folder)
    write_weights(folder, state, layout)
    assert load(folder).fingerprint == expected.fingerprint


def test_mclip_ignores_position_ids_of_old_transformers_and_needs_no_pooler(mclip):
    folder, state = mclip
    expected = load(folder).encode_text(TEXTS)
    old = {name: tensor for name, tensor in state.items() if "pooler" not in name}
    old["transformer.embeddings.position_ids"] = torch.arange(114).unsqueeze(0)
    write_weights(folder, old, "bin")
    assert torch.equal(load(folder).encode_text(TEXTS), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("transformer.encoder.layer.1.output.dense.bias"), "lacks 1 weights .*layer.1.output.dense.b"),
        (lambda s: s.update({"LinearTransformation.bias": torch.ones(9)}), r"\(8, 32\) and \(9,\)"),
        (lambda s: s.update({"transformer.extra.weight": torch.ones(1)}), "1 weights too many .*transformer.extra.wei"),
        (lambda s: s.pop("LinearTransformation.weight"), "lacks the weight LinearTransformation.weight"),
        (
            lambda s: s.update({"transformer.embeddings.word_embeddings.weight": torch.ones(300, 32)}),
            r"word_embeddings.weight has shape \(300, 32\), expected \(260, 32\)",
        ),
    ],
)
def test_mclip_with_wrong_weights_is_refused_by_name(mclip, change, message):
    folder, state = mclip
    change(state)
    write_weights(folder, state, "bin")
    with pytest.raises(WeightsError, match=message) as caught:
        load(folder)
    assert str(folder) in str(caught.value)


# As their model cards count them
@pytest.mark.parametrize(
    ("name", "parameters"), [("xlm-roberta-large", 559_890_432), ("sentence-transformers/LaBSE", 470_926_848)]
)
def test_known_shapes(name, parameters):
    with torch.device("meta"):
        model = AutoModel.from_config(base_config(name))
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


# Encoders without a head of their own


def masked_mean(model, texts, tokenizer):
    """The mean over tokens, one text at a time, so that there is no padding to leave out."""
    rows = [torch.tensor([tokenizer(text)["input_ids"]]) for text in texts]
    with torch.no_grad():
        return torch.cat([model(input_ids=row).last_hidden_state.mean(1) for row in rows])


SMALL = {"vocab_size": 260, "hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2, "pad_token_id": 1}
OTHERS = {
    "bert": (BertModel, BertConfig(**SMALL, intermediate_size=48)),
    "mpnet": (MPNetModel, MPNetConfig(**SMALL, intermediate_size=48)),
    "clip": (CLIPTextModel, CLIPTextConfig(**SMALL, intermediate_size=48)),  # takes no word embeddings
}


@pytest.mark.parametrize("kind", OTHERS)
def test_plain_encoders(tmp_path, kind):
    model = write_base(tmp_path, 0, *OTHERS[kind])
    found, expected = load(tmp_path).encode_text(TEXTS, normalize=False), masked_mean(model, TEXTS, tiny_tokenizer())
    assert torch.allclose(found, expected, atol=1e-5)


def test_an_encoder_out_of_a_checkpoint_with_a_task_head(tmp_path):
    model = write_base(tmp_path, model_class=XLMRobertaForMaskedLM)
    expected = masked_mean(model.roberta, TEXTS, tiny_tokenizer())
    assert torch.allclose(load(tmp_path).encode_text(TEXTS, normalize=False), expected, atol=1e-6)


def test_settings(tmp_path):
    write_base(tmp_path)
    tower = load(tmp_path, dtype=torch.bfloat16, pooling="cls", max_length=9)
    assert tower.backbone.dtype == torch.bfloat16
    assert (tower.pooling, tower.max_length, tower.embedding_dim) == ("cls", 9, 32)
    assert tower.encode_text(TEXTS).dtype == torch.float32
    longest = load(tmp_path)
    assert longest.max_length == 112  # 114 positions, of which XLM-R leaves the first two unused
    assert longest.encode_text(["a" * 500]).isfinite().all()
    with pytest.raises(ConfigError, match="max_length: expected a whole number from 1 to 112, got 113"):
        load(tmp_path, max_length=113)


# open_clip


def config_of(folder):
    return json.loads((folder / "open_clip_config.json").read_text())


def test_an_open_clip_model_by_name_says_where_its_encoder_and_tokenizer_are(tmp_path, monkeypatch):
    folder, base = tmp_path / "folder", tmp_path / "base"
    for one in (folder, base):
        one.mkdir()
    WRITERS["open-clip-xlm-r"](folder)
    expected = load(folder)
    (folder / "config.json").rename(base / "config.json")
    config = config_of(folder)["model_cfg"]
    config["text_cfg"] |= {"hf_model_name": str(base)}
    (tmp_path / "Small-text.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "Small-text.json")
    name = f"open_clip:Small-text/{folder}/open_clip_model.safetensors"
    found = load(name)
    assert (found.name, found.fingerprint) == (name, expected.fingerprint)
    assert torch.equal(found.encode_text(TEXTS), expected.encode_text(TEXTS))
    with pytest.raises(WeightsError, match=f"have the SHA-256 [0-9a-f]*, expected {'0' * 64}"):
        load(f"{name}@{'0' * 64}")

    def download(_):
        raise OSError("no network")

    monkeypatch.setattr(open_clip, "download_pretrained", download)
    with pytest.raises(WeightsError, match="no network; open_clip:xlm-roberta-base-ViT-B-32/PATH names a local file"):
        load("open_clip:xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k")


def test_an_open_clip_encoder_without_a_projection(tmp_path):
    WRITERS["open-clip-xlm-r"](tmp_path)
    expected = load(tmp_path)
    expected.head, expected.embedding_dim = torch.nn.Identity(), 32
    path, config = tmp_path / "open_clip_model.safetensors", config_of(tmp_path)
    save_file({name: one for name, one in load_file(path).items() if "text.proj" not in name}, path)
    config["model_cfg"]["text_cfg"]["hf_proj_type"] = None
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    assert torch.equal(load(tmp_path).encode_text(TEXTS), expected.encode_text(TEXTS))
    (tmp_path / "open_clip_config.json").write_text('{"model_cfg": {"embed_dim": 32}}')
    with pytest.raises(WeightsError, match="expected the config of a model of open_clip"):
        load(tmp_path)


FUSED, POOLER = "text.transformer.resblocks.0.attn.in_proj_weight", "text.transformer.pooler.dense.weight"


@pytest.mark.parametrize(
    ("family", "settings", "weights", "message"),
    [
        ("xlm-r", {"hf_tokenizer_name": None}, {}, "names no hf_tokenizer_name: expected a multilingual text tower"),
        ("xlm-r", {"hf_pooler_type": "max_pooler"}, {}, "unknown hf_pooler_type 'max_pooler'"),
        ("siglip", {"pool_type": "argmax"}, {}, "with pool_type 'argmax' without a causal mask: expected SigLIP"),
        ("xlm-r", {}, {"text.extra": torch.ones(1)}, r"has the weight text\.extra, expected transformer\.… and proj"),
        ("xlm-r", {}, {"text.proj.0.weight": None}, r"lacks the weight proj\.0\.weight"),
        ("xlm-r", {"hf_pooler_type": "cls_pooler"}, {POOLER: torch.ones(1)}, "pools with the encoder's own pooler"),
        ("siglip", {}, {"text.text_projection.bias": None}, r"lacks 1 weights \(text_projection\.bias\)"),
        ("siglip", {}, {FUSED: torch.ones(95, 32)}, r"has shape \(31, 32\), expected \(32, 32\)"),
    ],
)
def test_open_clip_towers_that_are_none_of_ours_are_named(tmp_path, family, settings, weights, message):
    WRITERS[f"open-clip-{family}"](tmp_path)
    config, path = config_of(tmp_path), tmp_path / "open_clip_model.safetensors"
    text = config["model_cfg"]["text_cfg"]
    config["model_cfg"]["text_cfg"] = text | settings
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    save_file({name: one for name, one in (load_file(path) | weights).items() if one is not None}, path)
    if "hf_tokenizer_name" in settings:
        (tmp_path / "tokenizer_config.json").unlink()
    with pytest.raises(WeightsError, match=message) as caught:
        load(tmp_path)
    assert str(path) in str(caught.value)


# Damaged folders
@pytest.mark.parametrize("name", ["text_projection.weight", "text_model.head.bias"])
def test_a_text_half_without_its_projection_is_refused(tmp_path, name):
    WRITERS["siglip" if "head" in name else "metaclip"](tmp_path)
    write_weights(tmp_path, {k: v for k, v in load_file(tmp_path / "model.safetensors").items() if k != name}, "bin")
    with pytest.raises(WeightsError, match=f"lacks 1 weights .{name.removeprefix('text_model.')}"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "config.json").write_text('{"model_type": '), "config.json: expected JSON .*cut short"),
        (lambda f: (f / "config.json").write_text('{"model_type": "xlm-robrta"}'), "did you mean 'xlm-roberta'"),
        (lambda f: (f / "tokenizer.json").unlink(), "holds no tokenizer"),
        (lambda f: (f / "model.safetensors").unlink(), "holds no weights: expected model.safetensors or pytorch_model"),
        (
            lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-100]),
            "model.safetensors is damaged or cut short",
        ),
        (
            lambda f: (f / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid x"),
            "Git LFS pointer.*git lfs pull",
        ),
    ],
)
def test_damaged_folders_are_named(tmp_path, damage, message):
    write_base(tmp_path)
    damage(tmp_path)
    with pytest.raises(WeightsError, match=message) as caught:
        load(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_shard_and_a_foreign_pickle(mclip):
    folder, state = mclip
    path = folder / "pytorch_model.bin"
    torch.save({"run": logging.Formatter()}, path)
    with pytest.raises(WeightsError, match=r"pytorch_model.bin is damaged"):
        load(folder)
    write_weights(folder, state, "sharded-bin")
    (folder / "pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(WeightsError, match=r"lacks 1 of the 2 shards .*pytorch_model-00002-of-00002.bin"):
        load(folder)


def test_a_tokenizer_of_another_model(tmp_path):
    write_base(tmp_path, config=xlm_roberta_config(vocab_size=100))
    with pytest.raises(WeightsError, match=r"tokenizer .* has 260 entries and the encoder 100"):
        load(tmp_path)
