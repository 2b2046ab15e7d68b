"""Files that a config names count by content: another file under the same path is another run."""

import hashlib
import json
import shutil

import pytest
from helpers.interrupted import counted_steps, interrupted_after

from pecl.config import ExperimentConfig, make_config
from pecl.errors import DataError
from pecl.experiment.run import evaluate, train
from pecl.results.named_files import file_hashes
from pecl.results.result import Result, read_result, write_result

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


def test_an_older_result_that_names_no_file_is_taken(starts):
    start, files, values = starts
    config = make_config(values)
    document = train(config).to_json()
    del document["data"]["files"]
    path = write_result(config.out, Result.from_json(document))
    shutil.copy(files[1], start)
    with counted_steps() as steps:
        train(config)
    assert not steps
    assert "files" not in json.loads(path.read_text())["data"]


def test_an_evaluation_says_which_file_it_measured(starts, small):
    start, _, _ = starts
    values = {name: small[name] for name in ("dataset", "language", "out")}
    assert evaluate(make_config({**values, "weights": str(start)})).data.files == {"weights": sha256(start)}
    assert evaluate(make_config(values)).data.files is None


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


@pytest.mark.parametrize("values", [{}, {"text_model": "owner/name"}, {"image_model": "mini"}, {"start": "nowhere"}])
def test_what_is_no_local_file_is_left_out(values):
    assert file_hashes(ExperimentConfig(**values)) == {}


def test_what_is_no_regular_file_is_one_sentence():
    with pytest.raises(DataError, match=r"start: cannot read /dev/null: expected a regular file"):
        file_hashes(ExperimentConfig(start="/dev/null"))
