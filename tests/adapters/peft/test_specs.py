"""Specs of the engine peft: options are checked against PEFT's config classes before anything is loaded."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.project import ROOT
from helpers.tiny import tiny_tower

from pecl.adapters.adapter import attach
from pecl.adapters.peft import methods
from pecl.adapters.peft.methods import REFUSED, method_names
from pecl.adapters.peft.spec import parse_adapter
from pecl.adapters.spec import configs_from_json, configs_to_json, describe
from pecl.cli import main
from pecl.errors import ConfigError
from pecl.experiment.run import train

pytest.importorskip("peft")

SPECS = (
    *("vera:r=64", "lora:r=4,use_dora=true+head", "fourierft:n_frequency=500+word_embeddings:tokens=9"),
    *("boft:target_modules=query/key,layers=top-1", "lora:init_lora_weights=pissa_niter_4", "trainable_tokens"),
    'lora:rank_pattern="{\\"query\\": 2}"',
    "lora:target_modules=backbone.encoder.layer.1.output.dense",
)
WRONG = (
    ("ver", "unknown method 'ver': expected one of .*did you mean 'vera'"),
    ("vera:rank=4", "vera: unknown option 'rank'"),
    ("vera:r=many", 'vera: r: expected a whole number from 0 to 4096, got "many"'),
    ("lora:use_dora=2", 'lora: use_dora: expected true or false, got "2"'),
    ("adalora:total_step=3,tinit=5", "engine peft: adalora: "),
    ("vera:target_modules=querry", "vera: unknown role 'querry'.*did you mean 'query'"),
    ("vera:bias=all", "vera: unknown option 'bias'"),
    ("adalora:r=4", "adalora: unknown option 'r'.*init_r"),
    ("vera+lora", "expected one of PEFT's methods, such as lora, got vera and lora"),
    ("head", "expected one of PEFT's methods, such as lora, got none"),
    ("vera+bottleneck", "got bottleneck: use engine='pecl'"),
    ("vera+head+head", "expected each part once, got head twice"),
    ("trainable_tokens+word_embeddings", "trainable_tokens and word_embeddings exclude each other"),
    ("trainable_tokens:tokens=0", "tokens: expected a whole number >= 1, got 0"),
    ("adalora:init_r=2,target_r=2", "adalora: target_r: expected a rank below init_r.*, got 2 with init_r=2"),
    ("adalora:init_r=8", "got 8 with init_r=8"),
    ("vblora:vector_length=0", "vblora: vector_length: expected a whole number >= 1, got 0"),
    ("c3a:block_size=0", "c3a: block_size: expected a whole number >= 1, got 0"),
    ("lora:init_lora_weights=eva", "lora: init_lora_weights: expected .* need no data, such as pissa, got eva"),
    ("lora:init_lora_weights=corda", "need no data, such as pissa, got corda"),
    ("pvera:sample_at_inference=true", "pvera: sample_at_inference: expected false"),
    ("xlora", "xlora mixes .*: use engine='peft' adapter='lora'"),
)


@pytest.mark.parametrize("spec", SPECS)
def test_a_spec_is_read_written_and_stored(spec):
    configs = parse_adapter(spec)
    assert parse_adapter(describe(configs)) == configs
    assert configs_from_json(configs_to_json(configs)) == configs


def test_rank_and_layers_replace_the_specs_own():
    assert describe(parse_adapter("vera:r=64", rank=8, layers="top-2")) == "vera:r=8,layers=top-2"
    with pytest.raises(ConfigError, match="fourierft: unknown option 'r'"):
        parse_adapter("fourierft", rank=4)


@pytest.mark.parametrize(("spec", "message"), WRONG)
def test_a_wrong_spec_is_refused_before_a_tower_is_loaded(spec, message, small):
    def load(*_):
        raise AssertionError("a tower was loaded")

    with pytest.raises(ConfigError, match=message):
        train({**small, "rank": None, "engine": "peft", "adapter": spec}, load=load)
    assert not Path(small["out"]).exists()


def test_a_command_with_a_wrong_option_ends_with_status_2(capsys, tmp_path):
    given = ["train", "--engine", "peft", "--adapter", "vera:rank=4", "--out", str(tmp_path / "out")]
    assert main(given) == 2
    assert "vera: unknown option 'rank'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_missing_peft_is_one_sentence_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ConfigError, match=r"engine peft: PEFT cannot be imported .*pip install -e '\.\[peft\]'"):
        parse_adapter("vera")


def test_configs_import_neither_torch_nor_peft():
    code = (
        "import sys, pecl.config; from pecl.config import make_config; "
        "make_config({'engine': 'peft', 'adapter': 'vera:r=64'}); "
        "print([name for name in ('torch', 'peft', 'transformers') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_page_lists_every_method():
    page = (ROOT / "docs" / "peft.md").read_text("utf-8")
    for name in (*method_names(), *REFUSED):
        if name in methods.TRIED or name in REFUSED:
            assert f"| `{name}` |" in page, name


def test_ia3_without_feedforward_modules_scales_the_outputs_of_all():
    tower = tiny_tower()
    for spec, expected in (("ia3", [32, 32, 48]), ("ia3:feedforward_modules=none", [32, 32, 32])):
        adapter = attach(tower, parse_adapter(spec))
        assert [parameter.numel() for parameter in adapter.parameters()] == 2 * expected
        adapter.remove()


def test_block_sizes_divide_the_widths():
    tower = tiny_tower()
    assert tower.backbone.config.hidden_size == 32
    for spec, name, expected in (("c3a", "block_size", 32), ("c3a:target_modules=output", "block_size", 16)):
        adapter = attach(tower, parse_adapter(spec))
        assert getattr(adapter.config, name) == expected
        adapter.remove()
