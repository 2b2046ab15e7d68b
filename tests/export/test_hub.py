"""Adapters published and fetched, on a hub on the loopback and in folders; their card holds the runs' own figures."""

import json
import re
import shutil
import threading

import huggingface_hub
import pytest
import torch
from helpers.fake_hub import COMMIT, Hub, accept_writes, be_patient
from helpers.small_experiment import small, tiny_towers
from helpers.tiny import tiny_tower
from huggingface_hub import ModelCard

import pecl.commands.adapters_hub
from pecl.adapters.bank import AdapterBank
from pecl.adapters.formats.files import load_adapter_file
from pecl.cli import main
from pecl.config import make_config
from pecl.errors import DataError, OutputError, WeightsError
from pecl.experiment.run import train
from pecl.export.hub import INDEX, find_adapters, pull, push
from pecl.files import write_tensors

__all__ = ["small"]
TEXTS = ["ka lopi", "zumo"]


@pytest.fixture
def trained(small, monkeypatch):
    """Results of German and French, trained for two passes, in one folder."""
    monkeypatch.setattr(pecl.commands.adapters_hub, "load_towers", lambda *_, **__: tiny_towers())
    return [train(make_config({**small, "language": code, "epochs": 2})) for code in ("de", "fr")]


@pytest.fixture
def hub(monkeypatch, tmp_path):
    server = Hub()
    accept_writes(server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    constants = huggingface_hub.constants
    template = server.url + constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
    values = {"HUGGINGFACE_CO_URL_TEMPLATE": template, "ENDPOINT": server.url, "HF_HUB_OFFLINE": False}
    for name, value in (values | {"HF_HUB_CACHE": str(tmp_path / "hub")}).items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    be_patient(monkeypatch)
    yield server
    server.closing.set()
    server.shutdown()
    server.server_close()
    thread.join()


def folder_of(trained):
    return trained[0].path.parent


def test_what_was_pushed_is_pulled_and_embeds_the_same(trained, tmp_path):
    target = tmp_path / "published"
    assert push([folder_of(trained)], str(target)) == str(target)
    tower = tiny_tower()
    paths = pull(str(target), tmp_path / "here", tower)
    assert [path.name for path in paths] == ["de.safetensors", "fr.safetensors"]
    bank = AdapterBank.from_files(tower, paths)
    own = AdapterBank.from_files(tiny_tower(), [one.adapter_path for one in trained])
    for language in ("de", "fr"):
        assert torch.equal(bank.encode_text(TEXTS, language), own.encode_text(TEXTS, language))
    assert pull(str(target), tmp_path / "here", tiny_tower()) == paths  # again: nothing is written


def test_the_card_says_what_the_results_say(trained, tmp_path):
    push([one.adapter_path for one in trained], str(tmp_path / "published"), licence="mit")
    text = (tmp_path / "published" / "README.md").read_text("utf-8")
    card = ModelCard(text).data  # as the hub reads it
    assert (card.language, card.license, card.library_name) == (["de", "fr"], "mit", "pecl")
    found = {(one.dataset_name, one.metric_name): one.metric_value for one in card.eval_results}
    for result in trained:
        for direction in ("text_to_image", "image_to_text"):
            (value,) = (
                value
                for (data, metric), value in found.items()
                if f"({result.config.language}," in data and metric.startswith(direction.replace("_", " "))
            )
            assert value == pytest.approx(result.recall(direction=direction), abs=1e-4)
        row = next(line for line in text.splitlines() if line.startswith(f"| {result.config.language} |"))
        assert f"| {result.recall(stage='zero_shot'):.3f} | {result.recall():.3f} |" in row
        assert result.run_id in text
        assert result.data.sha256["target"][:12] in text
    for place in ("captions.csv", "results"):  # a card tells nothing of the machine
        assert str(tmp_path / place) not in text
    assert load_adapter_file(trained[0].adapter_path).fingerprint in text
    assert "Licence of the adapters: mit." in text


def test_the_lines_of_the_card_load_the_adapters(trained, tmp_path, monkeypatch):
    push([folder_of(trained)], str(tmp_path / "published"))
    text = (tmp_path / "published" / "README.md").read_text("utf-8")
    code = re.search(r"In pecl:\n\n```python\n(.*?)```", text, re.DOTALL)[1]
    assert len([line for line in code.splitlines() if line]) <= 5
    monkeypatch.setattr("pecl.encoders.towers.load_text_encoder", lambda name: tiny_tower())
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code.replace('"..."', '"ka lopi"'), names)
    assert names["bank"].languages == ["de", "fr"]


def test_a_hub_id_is_pushed_pinned_and_pulled(trained, hub, tmp_path, capsys):
    assert main(["adapters", "push", str(folder_of(trained)), "me/adapters", "--licence", "mit"]) == 0
    assert capsys.readouterr().out == f"me/adapters@{COMMIT}\n"
    assert set(hub.uploads["me/adapters"]) == {"README.md", INDEX, "de.safetensors", "fr.safetensors"}
    assert hub.tokens[-1] == "Bearer hf_secret"
    card = hub.uploads["me/adapters"]["README.md"].decode()
    assert 'pull("me/adapters", "adapters", tower)' in card
    assert "hf_secret" not in card
    assert main(["adapters", "pull", "me/adapters", str(tmp_path / "here")]) == 0
    index = json.loads((tmp_path / "here" / INDEX).read_text())
    assert (index["source"], index["revision"]) == ("me/adapters", COMMIT)
    hub.refusals["me/adapters"] = (403, "")
    assert len(pull(f"me/adapters@{COMMIT}", tmp_path / "here", tiny_tower())) == 2  # pinned: nothing is asked
    with pytest.raises(OutputError, match=r"holds me/adapters@0123.* already, not me/adapters@v2"):
        pull("me/adapters@v2", tmp_path / "here")
    with pytest.raises(WeightsError, match="cannot fetch me/adapters from http"):
        pull("me/adapters", tmp_path / "there")
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize(
    ("status", "code", "message"), [(401, "RepoNotFound", "there is no model me/x on"), (403, "", "cannot fetch me/x")]
)
def test_what_a_hub_refuses_is_one_sentence(hub, trained, tmp_path, capsys, status, code, message):
    hub.refusals["me/x"] = (status, code)
    assert main(["adapters", "pull", "me/x", str(tmp_path / "x")]) == 2
    assert message in capsys.readouterr().err
    assert main(["adapters", "push", str(folder_of(trained)), "me/x"]) == 2
    error = capsys.readouterr().err
    assert "cannot write me/x on http://127.0.0.1" in error
    assert error.count("\n") == 1


def test_adapters_of_another_tower_or_damaged_ones_are_refused(trained, tmp_path):
    push([folder_of(trained)], str(tmp_path / "published"))
    with pytest.raises(WeightsError, match="was trained on another text tower"):
        pull(str(tmp_path / "published"), tmp_path / "x", tiny_tower(seed=8))
    other = load_adapter_file(trained[1].adapter_path)
    write_tensors(tmp_path / "swapped.safetensors", other.state, {})
    shutil.copyfile(tmp_path / "published" / "fr.safetensors", tmp_path / "published" / "de.safetensors")
    with pytest.raises(WeightsError, match=r"de.safetensors is not the file that pecl_adapters.json names"):
        pull(str(tmp_path / "published"), tmp_path / "x", tiny_tower())
    index = tmp_path / "published" / INDEX
    for damage, message in (
        ("{", "expected the index of published adapters"),
        (json.dumps({"format": "x"}), "its format is 'x'"),
        (index.read_text().replace("de.safetensors", "../de.safetensors"), "is not the name of an adapter file"),
        (index.read_text().replace('"format_version": 1', '"format_version": 2'), "has format 2"),
    ):
        index.write_text(damage)
        with pytest.raises(WeightsError, match=message):
            pull(str(tmp_path / "published"), tmp_path / "x")
    index.unlink()
    with pytest.raises(WeightsError, match=r"lacks pecl_adapters\.json"):
        pull(str(tmp_path / "published"), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_what_cannot_be_published_is_said(trained, small, tmp_path):
    again = train(make_config({**small, "epochs": 2, "seed": 2}))
    with pytest.raises(DataError, match="are both of de: expected one adapter a language; name the files"):
        find_adapters([folder_of(trained)])
    assert [one.result.run_id for one in find_adapters([again.adapter_path])] == [again.run_id]
    lone = tmp_path / "lone" / "de.safetensors"
    lone.parent.mkdir()
    shutil.copyfile(again.adapter_path, lone)
    with pytest.raises(DataError, match=r"its result .* is missing, from which the card's figures are read"):
        push([lone], str(tmp_path / "published"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no complete training with its adapter"):
        push([tmp_path / "empty"], str(tmp_path / "published"))
    assert not (tmp_path / "published").exists()
