import json

import pytest
import torch
from helpers.checkpoints import TEXTS, write_base
from helpers.family_towers import WRITERS
from torch import nn

from pecl.apps.export.folders import save_text_encoder
from pecl.encoders.loading.text import load_text_checkpoint
from pecl.errors import WeightsError

load = load_text_checkpoint


def write_folder(folder, pooling, tail=(), prompts=None):
    """A folder as sentence-transformers 2 wrote it, which most published models are; `tail`: (class, settings)."""
    write_base(folder)
    modules = [("", "Transformer", None), ("1_Pooling", "Pooling", pooling)]
    modules += [(f"{i}_{kind}", kind, settings) for i, (kind, settings) in enumerate(tail, 2)]
    entries = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind, _ in modules]
    entries = [{"idx": i, "name": str(i), **entry} for i, entry in enumerate(entries)]
    (folder / "modules.json").write_text(json.dumps(entries))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 20, "do_lower_case": false}')
    if prompts:
        (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    for i, (path, kind, settings) in enumerate(modules[1:], 1):
        (folder / path).mkdir()
        if settings is not None:
            (folder / path / "config.json").write_text(json.dumps(settings))
        if kind == "Dense":
            torch.manual_seed(i)
            linear = nn.Linear(settings["in_features"], settings["out_features"], bias=settings["bias"])
            state = {f"linear.{name}": tensor for name, tensor in linear.state_dict().items()}
            torch.save(state, folder / path / "pytorch_model.bin")


def pooling(mode):
    flags = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
    return {"word_embedding_dimension": 32} | {f"pooling_mode_{flag}": flag == mode for flag in flags}


def dense(inputs, outputs, activation="linear.Identity", bias=True):
    name = f"torch.nn.modules.{activation}"
    return ("Dense", {"in_features": inputs, "out_features": outputs, "bias": bias, "activation_function": name})


TANH = "activation.Tanh"
LAYOUTS = {
    "mean": (pooling("mean_tokens"), []),
    "cls, new settings": ({"embedding_dimension": 32, "pooling_mode": "cls", "include_prompt": True}, []),
    "lasttoken": ({"embedding_dimension": 32, "pooling_mode": "lasttoken"}, []),
    "linear": (pooling("mean_tokens"), [dense(32, 12)]),
    "as LaBSE": (pooling("cls_token"), [dense(32, 32, TANH), ("Normalize", None)]),
    "two layers": (pooling("mean_tokens"), [dense(32, 64, bias=False), dense(64, 10, bias=False), ("Normalize", None)]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_gives_what_the_library_gives(tmp_path, layout):
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not there")
    write_folder(tmp_path, *LAYOUTS[layout])
    expected = library.SentenceTransformer(str(tmp_path), device="cpu").encode(TEXTS, convert_to_tensor=True)
    tower = load(tmp_path)
    assert tower.max_length == 20
    assert tower.embedding_dim == expected.shape[1]
    assert torch.allclose(tower.encode_text(TEXTS, normalize=False), expected, atol=1e-6)
    assert isinstance(tower.head, nn.Linear) == (layout == "linear")  # adapters of the head look for a linear layer
    again = load(save_text_encoder(tower, tmp_path / "again"))
    assert torch.allclose(again.encode_text(TEXTS, normalize=False), expected, atol=1e-6)


def test_the_default_prompt_is_put_before_every_text(tmp_path):
    prompts = {"prompts": {"query": "query: ", "passage": "passage: "}, "default_prompt_name": "query"}
    write_folder(tmp_path / "with", *LAYOUTS["mean"], prompts=prompts)
    write_folder(tmp_path / "without", *LAYOUTS["mean"])
    expected = load(tmp_path / "without").encode_text([f"query: {text}" for text in TEXTS])
    assert torch.equal(load(tmp_path / "with").encode_text(TEXTS), expected)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ((pooling("max_tokens"), []), r"1_Pooling.config.json: unknown pooling 'max': expected one of cls, lasttok"),
        ((pooling("mean_tokens"), [], {"truncate_dim": 8}), r"config_sentence_\w+.json: truncate_dim is not supported"),
        ((pooling("mean_tokens"), [("LSTM", {})]), r"modules.json: unknown module 'LSTM'"),
        ((pooling("mean_tokens"), [dense(32, 8, "activation.Tan")]), "unknown activation_function 'Tan'.*mean 'Tanh'"),
    ],
)
def test_what_is_not_supported_is_named(tmp_path, layout, message):
    write_folder(tmp_path, *layout)
    with pytest.raises(WeightsError, match=message):
        load(tmp_path)


def test_a_layer_after_a_whole_model_is_refused(tmp_path):
    """The text half of such a model is pooled and projected already."""
    WRITERS["siglip"](tmp_path)
    folder = save_text_encoder(load(tmp_path), tmp_path / "whole")
    listed = json.loads((folder / "modules.json").read_text())
    listed.insert(1, {"path": "1_Dense", "type": "sentence_transformers.models.Dense"})
    (folder / "modules.json").write_text(json.dumps(listed))
    with pytest.raises(WeightsError, match="lists Transformer, Dense, Normalize: expected a Transformer, then a Pool"):
        load(folder)
