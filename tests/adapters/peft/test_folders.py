"""Folders that PEFT wrote, of each of its methods, give the embeddings here that they give in PEFT."""

import json
import re

import pytest
import torch
from helpers.tiny import sentences, tiny_tower
from safetensors.torch import load_file, save_file

from pecl.adapters.adapter import attach
from pecl.adapters.formats.files import read_adapter
from pecl.adapters.formats.peft import CONFIG_FILE, WEIGHTS_FILE
from pecl.adapters.peft.methods import TRIED, config_classes
from pecl.adapters.peft.spec import parse_adapter
from pecl.adapters.spec import describe
from pecl.errors import ConfigError, WeightsError

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore")

TEXTS = sentences(5, seed=3)
# Options of PEFT that fit a tower of width 32; all other methods have PEFT's own defaults
OPTIONS = {
    "adalora": {"total_step": 10},
    "adamss": {"r": 8},
    "c3a": {"block_size": 8},
    "fourierft": {"n_frequency": 50},
    "gralora": {"r": 4},
    "hira": {"r": 4},
    "ia3": {"target_modules": ["query", "output.dense"], "feedforward_modules": ["output.dense"]},
    "ln_tuning": {"target_modules": ["output.LayerNorm"]},
    "miss": {"r": 4},
    "pvera": {"r": 8},
    "road": {"group_size": 8},
    "shira": {"r": 4},
    "supertuning": {"sparsity": 0.9},
    "trainable_tokens": {"target_modules": ["word_embeddings"], "token_indices": list(range(2, 60, 2))},
    "vblora": {"vector_length": 8},
    "vera": {"r": 8},
    "waveft": {"n_frequency": 50},
}


def embed(tower):
    with torch.no_grad():
        return tower.encode_token_ids(tower.tokenize(TEXTS), batch_size=2)


def written_by_peft(folder, method, **options):
    """Write a folder with random parameters; return its embeddings in PEFT, and how many parameters PEFT trains."""
    tower = tiny_tower()
    config = config_classes()[method](**{"target_modules": ["query", "value"], **OPTIONS.get(method, {}), **options})
    torch.manual_seed(3)
    wrapped = peft.get_peft_model(tower.backbone, config)
    for parameter in wrapped.parameters():
        if parameter.requires_grad:
            parameter.data += torch.randn(parameter.shape) / 4
    trained, _ = wrapped.get_nb_trainable_parameters()
    wrapped.save_pretrained(folder)
    tower.backbone = wrapped.eval().get_base_model()
    return embed(tower), trained


def embed_read(folder):
    """Return the embeddings of a folder that pecl reads, and its adapter."""
    tower = tiny_tower()
    file = read_adapter(folder, tower)
    adapter = attach(tower, file.configs, seeds=[7])
    adapter.load_slot_state(0, file.state)
    return embed(tower), file


@pytest.mark.parametrize("method", sorted(TRIED))
def test_a_folder_gives_the_embeddings_that_it_gives_in_peft(method, tmp_path):
    expected, trained = written_by_peft(tmp_path, method)
    assert not torch.allclose(embed(tiny_tower()), expected, atol=1e-3)
    embeddings, file = embed_read(tmp_path)
    torch.testing.assert_close(embeddings, expected, rtol=0, atol=1e-5)
    assert file.trainable in (None, trained)  # None: all tensors of the file
    assert file.trainable or sum(value.numel() for value in file.state.values()) == trained


@pytest.mark.parametrize(
    ("options", "spec"),
    [
        ({"use_dora": True, "r": 4}, "lora:r=4,use_dora=true"),
        ({"init_lora_weights": "pissa"}, "lora:init_lora_weights=pissa"),
        (
            {"rank_pattern": {"value": 3}, "layers_to_transform": [1], "use_dora": True},
            'lora:rank_pattern="{\\"value\\": 3}",use_dora=true,layers=top-1',
        ),
        (
            {"target_modules": ["layer.1.output.dense"], "modules_to_save": ["1.output.LayerNorm"], "use_dora": True},
            "lora:modules_to_save=output_norm,target_modules=output,use_dora=true,layers=top-1",
        ),
        (
            {"target_modules": ["key", "value"], "exclude_modules": ["value"], "use_dora": True},
            "lora:target_modules=key,use_dora=true",
        ),
    ],
)
def test_options_are_those_of_the_folder(options, spec, tmp_path):
    expected, _ = written_by_peft(tmp_path, "lora", **options)
    embeddings, file = embed_read(tmp_path)
    assert describe(file.configs) == spec
    torch.testing.assert_close(embeddings, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"use_dora": True}])
def test_a_folder_of_alora_is_refused(options, tmp_path):
    """Its LoRA works only behind the invocation tokens; its tensors are those of plain LoRA."""
    tower = tiny_tower()
    config = peft.LoraConfig(target_modules=["query", "value"], alora_invocation_tokens=[7, 8])
    peft.get_peft_model(tower.backbone, config).save_pretrained(tmp_path)
    rewrite_config(tmp_path, **options)
    with pytest.raises(WeightsError, match=r"alora_invocation_tokens: pecl computes none, got \[7, 8\]"):
        read_adapter(tmp_path, tiny_tower())


def adalora_with_cut_ranks(cut):
    """Return a tower with AdaLoRA, random factors and these ranks of each layer cut, and the adapter."""
    tower = tiny_tower()
    adapter = attach(tower, parse_adapter("adalora:init_r=4,target_r=2"), seeds=[1])
    generator = torch.Generator().manual_seed(0)
    for name, parameter in adapter.own_parameters():
        parameter.data += torch.randn(parameter.shape, generator=generator)
        if "lora_E" in name:
            parameter.data[cut] = 0
    return tower, adapter


@pytest.mark.parametrize("cut", [[], [1, 2], [0, 1, 2, 3]])
def test_ranks_that_adalora_cut_are_zero_again(cut, tmp_path):
    """PEFT's file holds only the ranks that are left."""
    tower, adapter = adalora_with_cut_ranks(cut)
    adapter.config.rank_pattern = {"of": "a later step"}
    adapter.write_folder(tmp_path)
    assert adapter.config.rank_pattern == {"of": "a later step"}
    embeddings, _ = embed_read(tmp_path)
    torch.testing.assert_close(embeddings, embed(tower), rtol=0, atol=1e-5)

    in_peft = tiny_tower()
    in_peft.backbone = peft.PeftModel.from_pretrained(in_peft.backbone, tmp_path).eval().get_base_model()
    torch.testing.assert_close(embed(in_peft), embed(tower), rtol=0, atol=1e-5)


def test_a_pattern_of_other_weights_is_refused(tmp_path):
    _, adapter = adalora_with_cut_ranks([1, 2])
    adapter.write_folder(tmp_path)
    document = json.loads((tmp_path / CONFIG_FILE).read_text("utf-8"))
    name = min(document["rank_pattern"])
    for pattern in ({name: [True] * 4}, {name: "x"}, {"other.lora_E.default": [True]}):
        (tmp_path / CONFIG_FILE).write_text(json.dumps({**document, "rank_pattern": pattern}), "utf-8")
        with pytest.raises(WeightsError, match="rank_pattern does not fit the weights"):
            read_adapter(tmp_path, tiny_tower())


def test_names_of_a_model_around_the_encoder_are_left_out(tmp_path):
    """A classifier of transformers holds the encoder as `roberta`."""
    expected, _ = written_by_peft(tmp_path, "hra")
    path = tmp_path / WEIGHTS_FILE
    prefix = "base_model.model."
    save_file({name.replace(prefix, f"{prefix}roberta."): value for name, value in load_file(path).items()}, path)
    torch.testing.assert_close(embed_read(tmp_path)[0], expected, rtol=0, atol=1e-5)


def rewrite_config(folder, **options):
    path = folder / CONFIG_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **options}))


def rewrite_tensors(folder, change):
    path = folder / WEIGHTS_FILE
    save_file(change(load_file(path)), path)


PROBLEMS = {
    "a tensor is missing": (
        lambda folder: rewrite_tensors(folder, lambda tensors: dict(sorted(tensors.items())[1:])),
        "has no base_model.model.encoder.layer.0.attention.self.query.hra_u",
    ),
    "a tensor of no module": (
        lambda folder: rewrite_tensors(folder, lambda tensors: tensors | {"base_model.model.x": torch.ones(1)}),
        "base_model.model.x is of no module of the text tower",
    ),
    "another shape": (
        lambda folder: rewrite_config(folder, r=2),
        "does not fit its config",
    ),
    "not finite": (
        lambda folder: rewrite_tensors(folder, lambda tensors: {name: value / 0 for name, value in tensors.items()}),
        "NaN or infinity",
    ),
    "no such modules": (lambda folder: rewrite_config(folder, target_modules=["c_attn"]), "changes no module"),
    "some layers": (
        lambda folder: rewrite_config(folder, layers_to_transform=[0]),
        "adapts query in some layers only",
    ),
    "a bias": (lambda folder: rewrite_config(folder, bias="all"), 'bias: pecl computes none, got "all"'),
    "a wrong option": (
        lambda folder: rewrite_config(folder, r=-1),
        "hra: r: expected a whole number from 0 to 4096, got -1",
    ),
    "an unknown method": (lambda folder: rewrite_config(folder, peft_type="NEW"), "unknown method 'new'"),
    "a refused method": (lambda folder: rewrite_config(folder, peft_type="XLORA"), "so it does not work here"),
    "no config": (lambda folder: (folder / CONFIG_FILE).write_text("[]"), "expected"),
}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_wrong_folder_is_refused_in_one_sentence(problem, tmp_path):
    written_by_peft(tmp_path, "hra")
    change, message = PROBLEMS[problem]
    change(tmp_path)
    tower = tiny_tower()
    plain = embed(tower)
    with pytest.raises((WeightsError, ConfigError), match=re.escape(message)) as error:
        read_adapter(tmp_path, tower)
    assert "\n" not in str(error.value)
    assert torch.equal(embed(tower), plain)
