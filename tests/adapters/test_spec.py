"""Specs of adapters: what they mean, that they are read as they are written, and what wrong ones are told."""

import json
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pecl.adapters.kinds.bitfit import BitFitConfig
from pecl.adapters.kinds.head import HeadConfig, PoolerConfig
from pecl.adapters.kinds.layer_norm import LayerNormConfig
from pecl.adapters.kinds.lora import LoraConfig
from pecl.adapters.kinds.soft_prompt import SoftPromptConfig
from pecl.adapters.spec import (
    KINDS,
    check_combination,
    configs_from_json,
    configs_to_json,
    describe,
    in_order,
    parse_adapter,
    split_specs,
)
from pecl.errors import ConfigError
from pecl.options import value_type

QKVO = ("query", "key", "value", "attention_output")


@pytest.mark.parametrize(
    ("spec", "configs"),
    [
        ("lora", (LoraConfig(), LayerNormConfig())),
        ("lora-only", (LoraConfig(),)),
        ("lora:r=1,lora_alpha=4", (LoraConfig(r=1, lora_alpha=4.0), LayerNormConfig())),
        ("run_cross", (LoraConfig(r=1, target_modules=QKVO), LayerNormConfig(), HeadConfig(), PoolerConfig())),
        ("lora+layernorm:target_modules=output_norm", (LoraConfig(), LayerNormConfig(target_modules=("output_norm",)))),
        ('soft_prompt:init_text="a, b+c: "', (SoftPromptConfig(None, "a, b+c: "),)),
        ("soft_prompt:init_text=ein Bild,pool_prompt=false", (SoftPromptConfig(None, "ein Bild", False),)),
        (r'lora-only:r=2,target_modules="a\\.(b/c|d)+"', (LoraConfig(r=2, target_modules=(r"a\.(b/c|d)+",)),)),
    ],
)
def test_what_a_spec_means(spec, configs):
    assert parse_adapter(spec) == configs
    assert parse_adapter(describe(configs)) == configs


def config_strategy(config_class):
    """Any valid config of a class, from the types and ranges that its options declare."""
    by_type = {
        bool: st.booleans(),
        int: st.integers(1, 9),
        float: st.floats(0, 1, allow_nan=False),
        str: st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8),
    }

    def values(item):
        kind, optional = value_type(config_class, item.name)
        choices = item.metadata["choices"]
        if kind is tuple:
            return st.lists(st.sampled_from(choices), min_size=1, unique=True).map(tuple)
        strategy = st.sampled_from(choices) if choices else by_type[kind]
        if form := item.metadata["form"]:
            strategy = st.from_regex(form[0], fullmatch=True)
        return st.none() | strategy if optional else strategy

    built = st.fixed_dictionaries({item.name: values(item) for item in fields(config_class)})
    if config_class is SoftPromptConfig:  # one of the two is left out
        built = built.map(lambda v: v | ({"num_virtual_tokens": None} if v["init_text"] is not None else {}))
    return built.map(lambda options: config_class(**options))


def compatible(configs):
    try:
        check_combination(configs)
    except ConfigError:
        return False
    return True


combinations = (
    st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=4, unique=True)
    .flatmap(lambda kinds: st.tuples(*(config_strategy(KINDS[kind]) for kind in kinds)))
    .filter(compatible)
)


@settings(max_examples=40)
@given(combinations)
def test_any_configs_are_read_as_they_are_described(configs):
    assert parse_adapter(describe(configs)) == in_order(configs)
    assert configs_from_json(json.loads(json.dumps(configs_to_json(configs)))) == configs


@settings(max_examples=40)
@given(st.lists(combinations.map(describe), min_size=1, max_size=4))
def test_specs_that_commas_join_are_split_again(specs):
    assert split_specs(",".join(specs)) == specs


def test_layers_are_those_of_every_part_in_layers():
    top = {"layers": "top-3"}
    lora, norms = LoraConfig(r=4, **top), LayerNormConfig(**top)
    assert parse_adapter("lora:r=4,layers=top-3+head") == (lora, norms, HeadConfig())
    assert parse_adapter("lora:r=4,layers=top-9+soft_prompt+head", layers="top-3") == (
        lora,
        SoftPromptConfig(),
        norms,
        HeadConfig(),
    )
    assert parse_adapter("bitfit", layers="top-2") == (BitFitConfig(layers="top-2"),)


@pytest.mark.parametrize(
    ("spec", "norms"),
    [
        ("lora:layers=top-2+bottleneck:layers=top-10", "top-10"),  # in numbers, not letters
        ("lora:layers=top-2+bottleneck", None),
        ("lora:layers=top-2+bottleneck-only", "top-2"),
        ("lora+layernorm:layers=top-1", "top-1"),
    ],
)
def test_parts_bring_the_layernorms_of_their_layers(spec, norms):
    configs = parse_adapter(spec)
    assert [config.layers for config in configs if config.kind == "layernorm"] == [norms]
    assert parse_adapter(describe(configs)) == configs


def test_rank_replaces_that_of_lora():
    assert parse_adapter("lora:r=4+head", rank=2) == (LoraConfig(r=2), LayerNormConfig(), HeadConfig())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("lora:rank=3", "lora: unknown option 'rank': expected one of layers, lora_alpha, lora_dropout, r, target_"),
        ("lora:r=0,lora_dropout=2", "r: expected .*got 0; lora_dropout: expected a number from 0 to 1, got 2.0"),
        ("lora:r", 'lora: expected option=value, got "r"'),
        ("lora:r=4,r=16", "lora: r: expected one value, got several"),
        ("pooler:x=1", 'pooler takes no options, got "x"'),
        ('soft_prompt:init_text="a', 'soft_prompt: init_text: expected text in double quotes, got "a'),
        ("lora+lora-only:r=1", "got lora twice"),
        (
            "lora:target_modules=qurey",
            'target_modules: expected one of .* joined by /, each once, got "qurey"; did you mean "query"',
        ),
        ("soft_prompt:num_virtual_tokens=4,init_text=ein", "leave num_virtual_tokens out"),
        ("lora-r1:r=3", 'preset "lora-r1" takes no options: write out "lora:r=1"'),
        ("full+lora", "full and lora exclude each other"),
        ("lora+bitfit", "bitfit and layernorm exclude each other at attention_norm/output_norm"),
    ],
)
def test_wrong_specs_are_told_what_was_expected(spec, message):
    with pytest.raises(ConfigError, match=message) as error:
        parse_adapter(spec)
    assert "\n" not in str(error.value)
