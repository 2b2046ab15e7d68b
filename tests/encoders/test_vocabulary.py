"""The rows of used tokens are enough."""

import copy
from pathlib import Path

import pytest
import torch
from helpers.adapter_towers import TEXTS, tower_of
from helpers.small_experiment import tiny_towers

from pecl.config import make_config
from pecl.encoders.vocabulary import kept_tokens, left_out, trim_vocabulary
from pecl.experiment.evaluation import evaluate
from pecl.experiment.run import train, train_fleet


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
    assert repr(words) == f"TrimmedEmbedding({len(kept)}, 32, padding_idx=1)"
    assert torch.equal(words.weight, plain.backbone.get_input_embeddings().weight[sorted(kept)])
    assert (kept_tokens(small_one), kept_tokens(plain)) == (sorted(kept), None)


def test_a_token_that_was_left_out_is_an_error():
    tower = trimmed(tower_of("bert", torch.float32), TEXTS)
    with pytest.raises(IndexError):
        tower.encode_text(["QQQ @@@"])


def measured(result):
    curve = getattr(result, "curve", None)  # an evaluation has none
    return result.run_id, curve, result.metrics, result.adapter, result.towers, result.all_ranks


SPECS = [
    {},
    {"adapter": 'hard_prompt:text="%% "+lora'},
    {"route": "method3", "anchor": "frozen", "gallery": "english"},
    {"precision": "bf16", "joint": "de+fr"},
]


@pytest.mark.parametrize("values", SPECS)
def test_a_run_gives_the_same_bits(small, monkeypatch, tmp_path, values):
    measurements, files, loaded = [], [], []

    def load(profile, text_model, image_model, device, precision):
        loaded.append(tiny_towers(precision))
        return loaded[-1]

    for trim in (False, True):
        out = str(tmp_path / f"trim-{trim}")
        configs = [
            make_config({**small, **values, "trim_vocabulary": trim, "out": out, "language": language})
            for language in (("de", "fr") if "joint" in values else ("de",))
        ]
        monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path / f"cache-{trim}"))
        results = train_fleet(configs, load=load)
        measurements.append([measured(result) for result in results])
        files.append([result.adapter_path.read_bytes() for result in results])
    assert measurements[0] == measurements[1]
    assert files[0] == files[1]
    assert [left_out(towers.text) > 0 for towers in loaded] == [False, True]


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
