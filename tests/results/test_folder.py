"""Results on disk: which files are one, which count as complete, and what is removed next to them."""

import hashlib
import json
import os
from dataclasses import replace

import pytest
from helpers.folders import without_digest
from helpers.report_results import both, made, ranked

from pecl.config import make_config
from pecl.errors import DataError
from pecl.results.completeness import complete_result, file_hashes
from pecl.results.folder import find_run, hold, manifest_path, read_manifest, write_manifest
from pecl.results.result import DamagedResultError, collect, read_result, training_path, write_result, write_unfinished

DATA = {"captions": {"english": "e1", "target": "t1"}, "training text": None, "photographs": "p1"}


def write(config):
    """Write a result of `config` on the data `DATA` and return its path."""
    states = {stage: both(ranked(4, 20), ranked(6, 20)) for stage in ("zero_shot", "final", "best")}
    found = made("train", states)
    data = replace(found.data, sha256=DATA["captions"])
    return write_result(config.out, replace(found, run_id=config.run_id(), config=config, data=data))


@pytest.fixture
def config(tmp_path):
    return make_config({"out": str(tmp_path / "out")})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema": 1, ', "cannot be read .*delete it and run it again"),
        ('{"schema": 1, "run_id": "a", "status": "complete"}', "is not a result of pecl"),
    ],
)
def test_a_damaged_result_is_named_and_counts_as_not_run(config, caplog, text, message):
    path = write(config)
    path.write_text(text)
    with pytest.raises(DamagedResultError, match=message) as error:
        read_result(path)
    assert str(path) in str(error.value)
    assert find_run(config) is None
    assert "it is treated as not run" in caplog.text
    assert complete_result(config, lambda _: DATA) is None
    with pytest.raises(DataError, match=message):
        collect([config.out])


@pytest.mark.parametrize("schema", [2, "1"])
def test_a_result_of_a_newer_version_is_not_taken_for_a_damaged_one(config, schema):
    path = write(config)
    path.write_text(json.dumps({**without_digest(path), "schema": schema}))
    for read in (
        lambda: read_result(path),
        lambda: find_run(config),
        lambda: complete_result(config, lambda _: DATA),
    ):
        with pytest.raises(DataError, match=f"has schema {schema!r}, this version of pecl reads up to 1") as error:
            read()
        assert not isinstance(error.value, DamagedResultError)


def test_a_result_is_complete_for_its_own_data_alone(config, caplog):
    write(config)
    newer = {**DATA, "captions": {**DATA["captions"], "part": "p1"}}  # which an older result does not name
    assert complete_result(config, lambda _: DATA) == complete_result(config, lambda _: newer) == find_run(config)
    assert not caplog.text
    for other in (
        {**DATA, "captions": {"english": "e1", "target": "t2"}},
        {**DATA, "captions": {"english": "e2", "target": "t1"}},
        {**DATA, "training text": {"english": "e1"}},
    ):
        caplog.clear()
        assert complete_result(config, lambda _, found=other: found) is None
        assert "is of other data; running it again" in caplog.text
    assert find_run(config).status == "complete"


def test_a_result_is_complete_for_the_number_of_threads_that_is_asked_for(config, caplog):
    write(config)
    made = find_run(config).environment.machine.threads
    for threads in (None, made):
        assert complete_result(replace(config, threads=threads), lambda _: DATA).run_id == config.run_id()
    assert not caplog.text
    assert complete_result(replace(config, threads=made + 1), lambda _: DATA) is None
    assert f"was made with {made} threads, not with {made + 1}; running it again" in caplog.text


def test_results_are_collected_by_run_each_once(tmp_path):
    configs = [make_config({"seed": seed, "out": str(tmp_path / "all" / f"part{seed % 2}")}) for seed in range(6)]
    for config in configs:
        write(config)
    ids = sorted(config.run_id() for config in configs)
    folder = tmp_path / "all"
    assert [result.run_id for result in collect([folder])] == ids
    assert [result.run_id for result in collect([folder / "part1", folder / "part0", folder])] == ids
    named = training_path(configs[0])
    assert [result.path for result in collect([named])] == [named]
    for name in ("a copy of an unfinished run", "zero"):
        write_unfinished(replace(configs[0], out=str(folder / name)), "interrupted", steps=3)
    assert [result.path for result in collect([folder]) if result.run_id == configs[0].run_id()] == [named]


def test_what_is_no_result_of_a_folder_is_not_collected(config):
    path = write(config)
    for name in (
        "splits/0123456789abcdef.json",
        "retrieved/0123456789abcdef.json",
        ".hidden/0123456789abcdef.json",
        "tables.json",
        "0123456789abcde.json",
    ):
        other = path.parent / name
        other.parent.mkdir(exist_ok=True)
        other.write_text("[]")
    assert [result.run_id for result in collect([config.out])] == [config.run_id()]


def test_another_file_of_the_same_size_is_another_file(tmp_path):
    path = tmp_path / "start.safetensors"
    config = make_config({"start": str(path), "adapter": "lora"})
    path.write_bytes(b"first")
    before = file_hashes(config)
    path.write_bytes(b"other")
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000))  # clocks of file systems are coarse
    assert before == {"start": hashlib.sha256(b"first").hexdigest()}
    assert file_hashes(config) == {"start": hashlib.sha256(b"other").hexdigest()}


def test_an_edited_manifest_is_refused(config):
    found = find_run(replace(config, out=str(write(config).parent)))
    name = write_manifest(config.out, {"indices": {"train": [1, 2], "test": [3]}})
    result = replace(found, data=replace(found.data, manifest=name))
    assert read_manifest(result)["indices"]["test"] == [3]
    path = manifest_path(config.out, name)
    path.write_text(path.read_text("utf-8").replace("3", "2"), "utf-8")
    with pytest.raises(DataError, match=rf"manifest {path} cannot be read .*does not match its name.*run .* again"):
        read_manifest(result)


def test_two_results_of_one_run_are_refused(config, tmp_path):
    first = read_result(write(config))
    other = write_result(tmp_path / "other", replace(first, metrics={**first.metrics, "val": {}}))
    with pytest.raises(DataError, match=rf"{first.path} and {other} hold different results of run {first.run_id}"):
        collect([config.out, tmp_path / "other"])


def test_files_of_a_tower_are_its_folder_without_hidden_ones_or_the_file_behind_the_name_of_a_model(tmp_path):
    tower = tmp_path / "tower"
    tower.mkdir()
    (tower / "model.safetensors").write_bytes(b"weights")
    plain = file_hashes(make_config({"text_model": str(tower)}))
    (tower / ".git").mkdir()
    (tower / ".git" / "index").write_bytes(b"of a checkout")
    assert file_hashes(make_config({"text_model": str(tower)})) == plain
    (tower / "config.json").write_bytes(b"{}")
    assert file_hashes(make_config({"text_model": str(tower)})) != plain
    named = make_config({"image_model": f"open_clip:ViT-B-32/{tower / 'model.safetensors'}"})
    assert file_hashes(named) == {"image_model": hashlib.sha256(b"weights").hexdigest()}


def test_a_folder_that_was_made_for_a_run_that_fails_is_removed_and_another_stays(tmp_path):
    (tmp_path / "there").mkdir()
    for name in ("there", "new"):
        with pytest.raises(RuntimeError), hold(tmp_path / name, ["run"]):
            raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
