"""Parameters of adapter files: finite everywhere."""

import pytest
import torch
from helpers.adapter_towers import states, tower_of

from pecl.adapters.bank import AdapterBank
from pecl.adapters.formats.files import AdapterFile, load_adapter_file, read_adapter, save_adapter
from pecl.adapters.formats.peft import read_peft, write_peft
from pecl.adapters.spec import parse_adapter
from pecl.errors import WeightsError

NOT_FINITE = "contains NaN or infinity"


@pytest.fixture
def damaged():
    """A tower, and the state of an adapter with a NaN in one parameter."""
    tower = tower_of("xlm-roberta", torch.float32)
    state = states(tower, "lora", 1)[0]
    state[sorted(state)[3]][0] = float("nan")
    return tower, state


def adapter_file(tower, state, path="a.safetensors"):
    return AdapterFile(path, "de", parse_adapter("lora"), state, tower.name, tower.fingerprint)


def test_files_of_every_format(damaged, tmp_path):
    tower, state = damaged
    configs = parse_adapter("lora")
    path = save_adapter(tmp_path / "de.safetensors", state, configs, "de", tower)
    write_peft(tmp_path / "peft", state, configs, tower)
    checkpoint = {name.replace(".lora_", ".lora.lora_").removeprefix("backbone."): t for name, t in state.items()}
    torch.save(checkpoint, tmp_path / "text_model_best.ckpt")
    for read in (
        lambda: load_adapter_file(path),
        lambda: AdapterBank.from_files(tower, [path]),
        lambda: read_adapter(path, tower),
        lambda: read_peft(tmp_path / "peft", tower),
        lambda: read_adapter(tmp_path / "peft", tower),
        lambda: read_adapter(tmp_path / "text_model_best.ckpt", tower),
    ):
        with pytest.raises(
            WeightsError, match=rf"adapter .*{tmp_path}.* cannot be used: adapter parameter '.*' {NOT_FINITE}"
        ):
            read()
    assert tower.adapter is None


@pytest.mark.parametrize(
    ("tokens", "message"),
    [(lambda own: own.flip(0), "holds descending numbers"), (lambda own: own.float(), "holds float32, expected int32")],
)
def test_token_ids_are_rising_whole_numbers(tokens, message):
    tower = tower_of("xlm-roberta", torch.float32)
    state = states(tower, "word_embeddings:tokens=5,rank=2", 1)[0]
    name = "backbone.embeddings.word_embeddings.tokens"
    bank = AdapterBank(tower, "word_embeddings:tokens=5,rank=2")
    with pytest.raises(WeightsError, match=message):
        bank.add("de", state | {name: tokens(state[name])})
    bank.add_files([])
    assert bank.languages == []
    bank.add("de", state)
    with pytest.raises(WeightsError, match=r"vectors' holds int32, expected floating-point numbers"):
        bank.add("cs", state | {name.replace("tokens", "vectors"): state[name].expand(2, 5).T})
