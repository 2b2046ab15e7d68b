"""The examples of a table, a bank and a search run, on tiny towers, and give what the library gives."""

import torch
from helpers.adapter_towers import filled
from helpers.tiny import tiny_tower

import pecl
from pecl.adapters.formats.files import save_adapter
from pecl.search.build import build_index


def test_an_own_table_is_trained_on(example, small):
    table, language = small["dataset"], small["language"]
    rest = {name: value for name, value in small.items() if name not in ("dataset", "language")}
    result = example("own_table").main(table, language, **rest)
    assert (result.config.dataset, result.status) == (table, "complete")
    assert result.adapter_path.exists()


def test_a_bank_gives_each_text_the_adapter_of_its_language(example, tmp_path, monkeypatch):
    monkeypatch.setattr(pecl, "load_text_encoder", lambda name: tiny_tower().eval(), raising=False)
    paths = []
    for factor, language in enumerate(("de", "cs"), 1):
        tower = tiny_tower().eval()
        adapter = filled(tower, "lora:r=2")
        path = tmp_path / f"{language}.safetensors"
        state = {name: factor * value for name, value in adapter.slot_state(0).items()}
        paths.append(str(save_adapter(path, state, adapter.configs, language, tower)))
    found = example("bank").main(paths, ["ein Hund", "ein Hund"], ["de", "cs"])
    assert not torch.allclose(found[0], found[1], atol=1e-4)
    assert torch.allclose(found.norm(dim=1), torch.ones(2), atol=1e-5)


def test_a_search_gives_names_and_falling_scores(example, photographs):
    build_index(photographs)
    found = example("search").main(str(photographs), "ein Hund", "de", top=3)
    assert len(found) == 3
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
