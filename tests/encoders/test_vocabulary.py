"""The rows of used tokens are enough; token ids and embeddings in files are what a list and a tensor give."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.adapter_towers import TEXTS, filled, tower_of
from helpers.small_experiment import tiny_towers
from safetensors.torch import load_file, save_file

import pecl.experiment.run
from pecl.config import make_config
from pecl.encoders.embeddings import Embeddings
from pecl.encoders.token_store import TokenStore
from pecl.encoders.vocabulary import kept_tokens, left_out, trim_vocabulary
from pecl.errors import ConfigError, DataError, OutputError
from pecl.experiment.run import evaluate, train, train_fleet


def used_by(tower, texts):
    return {token for row in tower.tokenize(texts) for token in row}


def trimmed(tower, texts):
    tower = copy.deepcopy(tower)
    trim_vocabulary(tower, used_by(tower, texts))
    return tower


def parameters(tower):
    return sum(parameter.numel() for parameter in tower.parameters())


def test_rows_that_nobody_uses_are_gone():
    plain = tower_of("xlm-roberta", torch.float32)
    small_one = trimmed(plain, TEXTS)
    kept = used_by(plain, TEXTS) | {plain.tokenizer.pad_token_id}
    gone = (260 - len(kept)) * 32
    assert left_out(small_one) == gone > 0 == left_out(plain)
    assert parameters(plain) - parameters(small_one) == gone
    words = small_one.backbone.get_input_embeddings()
    assert torch.equal(words.weight, plain.backbone.get_input_embeddings().weight[sorted(kept)])
    assert (kept_tokens(small_one), kept_tokens(plain)) == (sorted(kept), None)


def test_a_token_that_was_left_out_is_an_error():
    tower = trimmed(tower_of("bert", torch.float32), TEXTS)
    with pytest.raises(IndexError):
        tower.encode_text(["QQQ @@@"])


@pytest.mark.parametrize(
    "spec", ["lora", "soft_prompt:num_virtual_tokens=3", 'soft_prompt:init_text="ka vi"', "prefix"]
)
def test_adapters_know_nothing_of_it(spec):
    plain = tower_of("xlm-roberta", torch.float32)
    towers = plain, trimmed(plain, [*TEXTS, "ka vi"])
    adapters = [filled(tower, spec, slots=2, seed=1) for tower in towers]
    for one, other in zip(*(adapter.named_parameters() for adapter in adapters), strict=True):
        assert one[0] == other[0]
        assert torch.equal(one[1], other[1])
    slots = torch.tensor([0, 1] * 6)
    assert torch.equal(*(tower.encode_text(TEXTS, slots=slots) for tower in towers))


def test_a_tower_is_trimmed_once_and_without_adapter():
    tower = trimmed(tower_of("bert", torch.float32), TEXTS)
    with pytest.raises(ConfigError, match="expected a whole text tower"):
        trim_vocabulary(tower, [5])


def measured(result):
    return result.run_id, result.curve, result.metrics, result.adapter, result.towers, result.all_ranks


SPECS = [
    {},
    {"adapter": 'hard_prompt:text="%% "+lora'},
    {"adapter": 'soft_prompt:init_text="QZX"', "rank": "none"},
    {"route": "method3", "anchor": "frozen", "gallery": "english"},
    {"precision": "bf16", "joint": "de+fr"},
]


@pytest.mark.parametrize("values", SPECS)
def test_a_run_gives_the_same_bits(small, monkeypatch, tmp_path, values):
    found, files, towers = [], [], []
    monkeypatch.setattr(
        pecl.experiment.run, "load_towers", lambda *n: towers.append(tiny_towers(*n[4:5])) or towers[-1]
    )
    for trim in (False, True):
        out = str(tmp_path / f"trim-{trim}")
        configs = [
            make_config({**small, **values, "trim_vocabulary": trim, "out": out, "language": language})
            for language in (("de", "fr") if "joint" in values else ("de",))
        ]
        monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path / f"cache-{trim}"))
        results = train_fleet(configs)
        found.append([measured(result) for result in results])
        files.append([result.adapter_path.read_bytes() for result in results])
    assert found[0] == found[1]
    assert files[0] == files[1]
    assert [left_out(one.text) > 0 for one in towers] == [False, True]


def test_other_runs_get_whole_towers_again(small):
    values = {**small, "trim_vocabulary": True}
    german = train(make_config(values))
    french = train(make_config({**values, "language": "fr"}))
    assert Path(german.path).exists()
    assert Path(french.path).exists()
    weights = str(german.adapter_path)
    whole, trim = (evaluate(make_config({**small, "weights": weights, "trim_vocabulary": t})) for t in (False, True))
    assert measured(whole) == measured(trim)


def test_words_that_a_table_has_got_since_are_loaded_too(small):
    """As in a notebook: the same config again, after its table was changed."""
    values = {**small, "epochs": 1, "trim_vocabulary": True}
    before = train(make_config(values))
    table = Path(small["dataset"])
    table.write_text(table.read_text("utf-8").replace(" 3", " Ω 3"), "utf-8")
    after = train(make_config(values))
    whole = train(make_config({**values, "trim_vocabulary": False, "out": f"{small['out']}-whole"}))
    assert before.data != after.data == whole.data
    assert measured(after) == measured(whole)


IDS = [[5, 6, 7], [], [0, 2], [250_001]]


def test_a_store_is_the_list_that_was_written(tmp_path):
    store = TokenStore.write(tmp_path / "new" / "ids", iter(IDS))
    assert list(store) == IDS
    assert [store[i] for i in range(-4, 4)] == IDS * 2
    assert store[1:] == IDS[1:]
    assert store[::-2] == IDS[::-2]
    assert (len(store), store.tokens, store.lengths().tolist()) == (4, 6, [3, 0, 2, 1])
    with pytest.raises(IndexError):
        store[4]
    assert all(type(token) is int for row in store for token in row)  # not numpy's, which JSON has no word for


@pytest.mark.parametrize("count", [0, 1, 5000])
def test_safetensors_reads_the_file(tmp_path, count):
    ids = [[i % 7] * (i % 4) for i in range(count)]
    store = TokenStore.write(tmp_path / "ids", ids)
    tensors = load_file(tmp_path / "ids")
    assert tensors["ids"].dtype == torch.int32
    assert tensors["ids"].tolist() == [token for row in ids for token in row]
    assert tensors["offsets"].tolist() == np.cumsum([0, *map(len, ids)]).tolist()
    assert list(TokenStore(store.path)) == ids


def test_equal_texts_have_an_equal_digest(tmp_path):
    stores = [TokenStore.write(tmp_path / str(i), ids) for i, ids in enumerate((IDS, IDS, IDS[::-1], [*IDS, []]))]
    assert stores[0].digest == stores[1].digest
    assert len({store.digest for store in stores}) == 3


@pytest.mark.parametrize("at", [0, 20, 4096, -1])
def test_a_changed_byte_is_seen(tmp_path, at):
    for path, open_it in ((tmp_path / "ids", TokenStore), (tmp_path / "rows", Embeddings)):
        TokenStore.write(path, IDS) if open_it is TokenStore else Embeddings.write(path, [torch.ones(2, 2)])
        content = bytearray(path.read_bytes())
        content[at] ^= 1
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"{path}"):
            open_it(path)


def test_what_is_something_else_is_one_sentence(tmp_path):
    save_file({"ids": torch.zeros(2)}, tmp_path / "other")
    Embeddings.write(tmp_path / "rows", [torch.ones(2, 2)])
    Embeddings.write(tmp_path / "wide", [torch.ones(2, 3)])
    TokenStore.write(tmp_path / "ids", IDS)
    (tmp_path / "cut").write_bytes((tmp_path / "ids").read_bytes()[:-4])
    said_of = {"nowhere": "cannot read", "other": "damaged", "rows": "expected token ids", "cut": "has"}
    for path, said in said_of.items():
        with pytest.raises(DataError, match=said):
            TokenStore(tmp_path / path)
    with pytest.raises(DataError, match="expected embeddings as"):
        Embeddings(tmp_path / "ids")
    with pytest.raises(DataError, match="expected embeddings of width 2"):
        Embeddings([tmp_path / "rows", tmp_path / "wide"])
    with pytest.raises(DataError, match="at least one file"):
        Embeddings([])


def test_what_ends_early_leaves_no_file(tmp_path):
    def broken():
        yield [1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TokenStore.write(tmp_path / "ids", broken())
    (tmp_path / "file").write_text("")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    with pytest.raises(OutputError, match="cannot write"):
        TokenStore.write(tmp_path / "file" / "ids", IDS)
