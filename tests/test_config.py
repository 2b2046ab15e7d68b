"""Configs and routes."""

import pytest
import yaml
from helpers.project import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from pecl.config import ExperimentConfig, make_config, read_yaml
from pecl.config.routes import route
from pecl.errors import ConfigError
from pecl.grid.configs import expand


@settings(max_examples=20)
@given(
    st.floats(1e-6, 1.0),
    st.integers(1, 500),
    st.booleans(),
    st.sampled_from(["de", "jp", "cs"]),
    st.sampled_from(["mse", "mse+contrastive", "cosine"]),
)
def test_yaml_round_trip(lr, shots, dropout, language, alignment):
    config = ExperimentConfig(lr=lr, shots=shots, dropout=dropout, language=language, alignment=alignment)
    assert make_config(yaml.safe_load(yaml.safe_dump(config.to_dict()))) == config


def test_yaml_reads_1e_4_as_a_number(tmp_path):
    (tmp_path / "a.yaml").write_text("lr: 1e-4\nalignment-weight: 1\nlanguage: Japanese\n")
    config = make_config(read_yaml(tmp_path / "a.yaml"))
    assert (config.lr, config.alignment_weight, config.language) == (1e-4, 1.0, "jp")


def test_a_config_of_pecl_has_a_name(tmp_path, monkeypatch):
    """The names lead to files of the package, wherever it is installed."""
    monkeypatch.chdir(tmp_path)
    own = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / "configs").glob("*.yaml")}
    assert own
    for name, document in own.items():
        assert read_yaml(name) == document
    (tmp_path / "mini").write_text("shots: 7")
    assert read_yaml("mini") == {"shots": 7}  # a file of one's own comes first
    with pytest.raises(ConfigError, match=r"configs/distil_mini_word\.yaml: No such file .* mean 'distil_mini_words'"):
        read_yaml("configs/distil_mini_word.yaml")


def test_ones_own_data_may_be_in_any_language():
    assert make_config({"dataset": "birds/captions.csv", "language": "nl"}).language == "nl"
    assert make_config({"dataset": "birds/captions.csv", "language": "ja"}).language == "jp"
    assert make_config({"dataset": "birds.csv", "language": "nl", "joint": "nl+de"}).joint == "de+nl"
    for values in ({"dataset": "scenes", "language": "tlh"}, {"dataset": "birds.csv", "language": "klingon"}):
        with pytest.raises(ConfigError, match="unknown language"):
            make_config(values)


def test_everything_wrong_is_said_at_once():
    with pytest.raises(ConfigError) as error:
        make_config({"shots": 0, "lr": "fast", "anchr": "frozen", "gallery": "imges", "alignment": "mse+l2"}, "a.yaml")
    message = str(error.value)
    assert message.startswith("a.yaml: ")
    for expected in (
        'lr: expected a number >= 0, got "fast"',
        "unknown key 'anchr'; did you mean 'anchor'?",
        'shots: expected a whole number >= 1 or "all", got 0',
        'gallery: expected one of english, images, got "imges"; did you mean "images"?',
        'mse, or several joined by +, got "l2"',
    ):
        assert expected in message
    assert "\n" not in message


def test_the_other_pairing_is_refused_where_the_release_has_none():
    with pytest.raises(ConfigError, match="with test_query official-run-cross, got 'method2'"):
        route("method2", "official-run-cross")


def test_yaml_that_is_none_or_beyond_python(tmp_path):
    for text, message in (
        ("a: !!python/object/apply:os.system [id]", "line 1: expected YAML: could not determine a constructor"),
        ("a: " + "[" * 3000, "expected YAML"),
        ("a: 2001-99-99", "expected YAML"),
        ("batch-size: 3\nbatch_size: 4", "line 2: key 'batch_size' twice"),
        ("a: 1" + ":1" * 200 + ".5", "expected YAML: int too large"),  # 60 to the power of 200
    ):
        (tmp_path / "a.yaml").write_text(text)
        with pytest.raises(ConfigError, match=message):
            read_yaml(tmp_path / "a.yaml")


def test_a_grid_of_too_many_combinations_is_refused_and_not_begun():
    with pytest.raises(ConfigError, match="expected lists with at most 100,000 combinations, got 1000000"):
        expand({"seed": list(range(1000)), "split_seed": list(range(1000))})
