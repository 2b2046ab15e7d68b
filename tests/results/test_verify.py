"""An exchanged adapter file is refused."""

import hashlib
from dataclasses import replace

import pytest
from helpers.folders import exchange
from helpers.tiny import tiny_tower

from pecl.adapters.bank import AdapterBank
from pecl.adapters.formats.files import check_adapter_file, load_adapter_file
from pecl.config import make_config
from pecl.errors import WeightsError
from pecl.experiment.evaluation import evaluate
from pecl.experiment.run import train
from pecl.results.result import read_result, verify


@pytest.fixture
def results(small):
    """Results of German and French, as they are read from their files."""
    return [read_result(train(make_config({**small, "language": code})).path) for code in ("de", "fr")]


def test_a_training_names_its_adapter_by_the_sha_256_of_the_file(results):
    for result in results:
        assert result.adapter.sha256 == hashlib.sha256(result.adapter_path.read_bytes()).hexdigest()
        verify(result)
        assert check_adapter_file(result.adapter_path) == result.path


def test_an_evaluation_names_the_file_that_it_measured(small, results):
    values = {name: small[name] for name in ("dataset", "out")}
    found = evaluate(make_config({**values, "language": "de", "weights": str(results[0].adapter_path)}))
    assert found.adapter.sha256 == results[0].adapter.sha256 == found.data.files["weights"]


def test_exchanged_adapter_files_are_refused(results, monkeypatch):
    exchange(*(result.adapter_path for result in results))
    monkeypatch.chdir(results[0].adapter_path.parent)
    for result in results:
        for check in (
            verify,
            lambda one: check_adapter_file(one.adapter_path),
            lambda one: load_adapter_file(one.adapter_path.name),  # in its own folder
            lambda one: AdapterBank.from_files(tiny_tower(), [one.adapter_path]),
        ):
            with pytest.raises(WeightsError, match=r"is not the adapter that .* was measured with: its SHA-256 begins"):
                check(result)


def test_what_does_not_name_its_adapter_is_read_and_not_verified(results):
    old = replace(results[0], adapter=replace(results[0].adapter, sha256=None))
    with pytest.raises(WeightsError, match="does not name its adapter file by its SHA-256"):
        verify(old)
