"""`Inputs` and `Frozen`: a tower has a store, a list its embeddings, and files count by their content."""

import hashlib
import json
import shutil
from dataclasses import replace

import pytest
import torch
from helpers.interrupted import counted_steps, interrupted_after
from helpers.small_experiment import tiny_towers
from helpers.tiny import tiny_tower

from pecl.adapters.adapter import attach
from pecl.adapters.formats.files import save_adapter
from pecl.adapters.spec import parse_adapter
from pecl.cli import build_parser
from pecl.commands.grid import grid_values
from pecl.commands.options import language_configs
from pecl.config import ExperimentConfig, make_config
from pecl.data.captions import ParallelCaptions
from pecl.data.registry import load_dataset
from pecl.data.splits import few_shot_split
from pecl.errors import ConfigError, DataError
from pecl.experiment.frozen import embed_anchors, embed_queries_plain, freeze_training, make_evaluator
from pecl.experiment.initial_weights import start_slots, without_words
from pecl.experiment.inputs import read_training
from pecl.experiment.run import train
from pecl.experiment.training_text import TrainingText
from pecl.results.completeness import file_hashes
from pecl.results.result import read_result


def test_frozen_embeddings_are_those_of_the_parts_captions_and_images(small):
    towers, split = tiny_towers(), few_shot_split(24, 6)
    data = load_dataset(small["dataset"], "de", need=["english_to_target"])
    inputs = read_training(make_config({**small, "anchor": "frozen", "route": "method2"}), towers)
    images = towers.image.encode_image((data.images.load(i) for i in range(24)), normalize=False)
    torch.testing.assert_close(freeze_training(inputs).train_images, images[list(split.train)])
    anchors = towers.text.encode_text([data.english_to_target[i] for i in split.train], normalize=False)
    torch.testing.assert_close(freeze_training(inputs).anchors, anchors)
    for part in ("val", "test"):
        texts = [data.target[i] for i in getattr(split, part)]
        torch.testing.assert_close(
            embed_queries_plain(inputs, part), towers.text.encode_text(texts, normalize=False), rtol=1e-4, atol=1e-5
        )
        assert inputs.tokens(part) == towers.text.tokenize(texts)
        torch.testing.assert_close(make_evaluator(inputs, part).gallery, images[list(getattr(split, part))])


def test_english_text_that_languages_share_is_embedded_for_one_of_them(small, monkeypatch):
    towers, embedded = tiny_towers(), []
    encode = towers.text.encode_batches

    def listen(ids, size, *slots, only=None, **options):
        embedded.append(len(only or ()))
        return encode(ids, size, *slots, only=only, **options)

    monkeypatch.setattr(towers.text, "encode_batches", listen)
    lists = ["QQQ @@@", *(f"caption {i}" for i in range(7))], [f"word {i}" for i in range(40)]
    for dropped in (1, 0):  # of two languages, one lacks a caption; most words are of neither
        english = (*lists[0][dropped:], *lists[1][:3], "own")
        pairs = ParallelCaptions("text", "de", english, english)
        config = make_config({**small, "route": "method1", "image_weight": 0.0})
        inputs = replace(read_training(config, towers), training_text=TrainingText(pairs, shared=lists))
        torch.testing.assert_close(
            embed_anchors(inputs), towers.text.encode_text(english, normalize=False), rtol=1e-4, atol=1e-5
        )
    assert list(filter(None, embedded)) == [8, 4]


@pytest.mark.parametrize(("gallery", "image_weight"), [("english", 1.0), ("images", 0.0), ("english", 0.0)])
def test_images_are_needed_for_the_gallery_or_the_loss_alone(small, tmp_path, gallery, image_weight):
    lines = (tmp_path / "captions.csv").read_text("utf-8").splitlines()
    (tmp_path / "text.csv").write_text("\n".join(line.partition(",")[2] for line in lines) + "\n", "utf-8")
    values = {"dataset": str(tmp_path / "text.csv"), "gallery": gallery, "image_weight": image_weight}
    config = make_config({**small, **values, "alignment_weight": 1.0})
    if (gallery, image_weight) == ("english", 0.0):
        assert freeze_training(read_training(config, tiny_towers())).train_images is None
        return
    with pytest.raises(DataError, match="has no images here"):
        read_training(config, tiny_towers())


STEPS = 8


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def starts(small, tmp_path):
    """Two adapter files of other weights, and the values of a training that starts from `start.safetensors`."""
    others = [make_config({**small, "seed": seed, "out": str(tmp_path / "first")}) for seed in (7, 8)]
    files = [train(other).adapter_path for other in others]
    start = tmp_path / "start.safetensors"
    shutil.copy(files[0], start)
    return start, files, {**small, "start": str(start)}


def test_a_start_file_states_the_adapter_where_none_is_named(starts):
    start, _, values = starts
    del values["rank"]
    parser, flags = build_parser(), ["--dataset", values["dataset"], "--start", str(start)]
    config = train(values).config
    assert (config.adapter, config.rank) == ("lora", 2)
    (from_flags,) = language_configs(parser.parse_args(["train", *flags]))
    assert (from_flags.adapter, from_flags.rank) == ("lora", 2)
    assert grid_values(parser.parse_args(["grid", *flags]))["adapter"] == "lora:r=2"
    assert grid_values(parser.parse_args(["grid", *flags, "--adapter", "head"]))["adapter"] == "head"
    with pytest.raises(ConfigError, match=r'start: expected an adapter "lora:r=3", got .* with "lora:r=2"'):
        train({**values, "adapter": "lora:r=3"})


def test_a_start_of_engine_peft_states_its_engine(small):
    pytest.importorskip("peft")
    small = {name: value for name, value in small.items() if name != "rank"}
    start = train({**small, "engine": "peft", "adapter": "vera:r=8"}).adapter_path
    again = train({**small, "start": str(start), "seed": 2})
    assert (again.config.engine, again.config.adapter) == ("peft", "vera:r=8")
    with pytest.raises(ConfigError, match="expected an adapter"):
        train({**small, "start": str(start), "adapter": "lora:r=2"})


def test_a_start_with_a_prompt_of_words_fits_a_tower_of_a_shape_only(tmp_path):
    configs, tower = parse_adapter('soft_prompt:init_text="ab cd"'), tiny_tower()
    path = save_adapter(tmp_path / "a.safetensors", attach(tower, configs).slot_state(0), configs, "de", tower)
    start_slots(attach(tiny_tower().to("meta"), without_words(configs), seeds=[]), str(path))
    with pytest.raises(ConfigError, match='start: expected an adapter "lora:r=3"'):
        start_slots(attach(tiny_tower().to("meta"), parse_adapter("lora:r=3"), seeds=[]), str(path))


def test_an_adapter_without_parameters_is_refused_before_anything_is_embedded(small, monkeypatch):
    def embed(*_):
        raise AssertionError("texts were embedded")

    monkeypatch.setattr("pecl.experiment.frozen._embed", embed)
    with pytest.raises(ConfigError, match="adapter: expected one with parameters to train, got one without"):
        train({**small, "adapter": "pooler", "rank": None, "route": "baseline2"})


def test_another_start_under_the_same_path_is_another_run(starts, caplog):
    start, files, values = starts
    config = make_config(values)
    first = train(config)
    assert first.data.files == {"start": sha256(start)} == read_result(first.path).data.files
    with counted_steps() as steps:
        assert train(config) == first
    assert not steps
    shutil.copy(files[1], start)
    with counted_steps() as steps:
        second = train(config)
    assert len(steps) == STEPS
    assert "was made with another file of start; running it again" in caplog.text
    assert second.run_id == first.run_id
    assert second.curve != first.curve
    assert read_result(second.path).data.files == {"start": sha256(files[1])}


def test_an_interrupted_run_does_not_go_on_from_another_start(starts):
    start, files, values = starts
    with interrupted_after(5):
        train(make_config(values))
    shutil.copy(files[1], start)
    with counted_steps() as steps:
        again = train(make_config(values))
    assert len(steps) == STEPS
    assert again.data.files == {"start": sha256(files[1])}


def test_files_and_folders_by_hand(tmp_path):
    (tmp_path / "tower" / "1_Pooling").mkdir(parents=True)
    (tmp_path / "tower" / ".git").mkdir()
    for name in ("config.json", "1_Pooling/config.json", ".git/index", ".lock"):
        (tmp_path / "tower" / name).write_text(f"content of {name}")
    inside = {name: sha256(tmp_path / "tower" / name) for name in ("1_Pooling/config.json", "config.json")}
    folder = hashlib.sha256(json.dumps(inside, separators=(",", ":")).encode()).hexdigest()
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"w")
    config = ExperimentConfig(text_model=str(tmp_path / "tower"), image_model=f"open_clip:ViT-B-32/{weights}")
    assert file_hashes(config) == {"text_model": folder, "image_model": sha256(weights)}
    (tmp_path / "tower" / ".lock").write_text("other")
    assert file_hashes(config)["text_model"] == folder
    (tmp_path / "tower" / "config.json").write_text("another size")
    assert file_hashes(config)["text_model"] != folder
    assert file_hashes(ExperimentConfig(text_model="owner/name", image_model="mini", start="nowhere")) == {}
    with pytest.raises(DataError, match=r"start: cannot read /dev/null: expected a regular file"):
        file_hashes(ExperimentConfig(start="/dev/null"))
