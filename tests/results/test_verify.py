"""A result's numbers are its own: an edited recall, a missing digest and an exchanged adapter file are refused."""

import hashlib
import json

import pytest
from helpers.folders import exchange, without_digest
from helpers.small_experiment import tiny_towers
from helpers.tiny import tiny_tower

import pecl.commands.adapters
import pecl.commands.export
from pecl.adapters.bank import AdapterBank
from pecl.adapters.formats.files import check_adapter_file, load_adapter_file
from pecl.cli import main
from pecl.config import make_config
from pecl.errors import DataError, WeightsError
from pecl.experiment.run import evaluate, train
from pecl.results.result import read_result, write_result
from pecl.results.verify import check_adapter, check_recalls, verify


@pytest.fixture
def results(small):
    """Results of German and French, as they are read from their files."""
    return [read_result(train(make_config({**small, "language": code})).path) for code in ("de", "fr")]


def rewrite(path, change):
    """Let `change` edit the document of a result, and write it without its digest."""
    document = without_digest(path)
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")
    return read_result(path)


def test_a_training_names_its_adapter_by_the_sha_256_of_the_file(results):
    for result in results:
        assert result.adapter.sha256 == hashlib.sha256(result.adapter_path.read_bytes()).hexdigest()
        verify(result)
        assert check_adapter_file(result.adapter_path) == result.path


def test_exchanged_adapter_files_are_refused(results):
    exchange(*(result.adapter_path for result in results))
    for result in results:
        for check in (
            verify,
            check_adapter,
            lambda one: check_adapter_file(one.adapter_path),
            lambda one: load_adapter_file(one.adapter_path),
            lambda one: AdapterBank.from_files(tiny_tower(), [one.adapter_path]),
        ):
            with pytest.raises(WeightsError, match=r"is not the adapter that .* was measured with: its SHA-256 begins"):
                check(result)


def test_nothing_is_measured_trained_or_written_with_an_exchanged_adapter(
    small, results, tmp_path, capsys, monkeypatch
):
    for module in (pecl.commands.adapters, pecl.commands.export):
        monkeypatch.setattr(module, "load_towers", lambda *_, **__: tiny_towers())
    exchange(*(result.adapter_path for result in results))
    weights, message = str(results[0].adapter_path), "is not the adapter that"
    values = {name: small[name] for name in ("dataset", "out")}
    with pytest.raises(WeightsError, match=message):
        evaluate(make_config({**values, "language": "de", "weights": weights}))
    with pytest.raises(WeightsError, match=message):
        train(make_config({**small, "seed": 2, "start": weights}))
    target = str(tmp_path / "x")
    for line in (
        ["adapters", "merge", weights, target],
        ["adapters", "convert", weights, target],
        ["export", "peft", target, "--adapter", weights],
        ["export", "onnx", target, "--slots", "--adapter", weights],
    ):
        assert main(line) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_raised_recall_is_refused_with_and_without_its_digest(results):
    def raised(document):
        document["metrics"]["test"]["best"]["mean_recall@1"] += 0.1

    edited = rewrite(results[0].path, raised)
    with pytest.raises(DataError, match=r"best.mean_recall@1 is .*, but its ranks give"):
        check_recalls(edited)
    with pytest.raises(DataError, match="has no checksum"):
        verify(edited)
    write_result(edited.path.parent, edited)  # with a digest that fits
    with pytest.raises(DataError, match="but its ranks give"):
        verify(read_result(edited.path))


def test_what_does_not_name_its_adapter_is_read_and_not_verified(results):
    old = rewrite(results[0].path, lambda document: document["adapter"].pop("sha256"))
    assert old.adapter.sha256 is None
    check_adapter(old)
    assert check_adapter_file(old.adapter_path) is None
    write_result(old.path.parent, old)
    with pytest.raises(WeightsError, match="does not name its adapter file by its SHA-256"):
        verify(read_result(old.path))
