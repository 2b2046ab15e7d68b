"""Adapters come and go at run time; only files of one folder, by their names."""

import functools
import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.serving import adapter_files, client_of, expected, make_models, make_service, write_adapters
from helpers.tiny import sentences
from helpers.waiting import wait_until

from pecl.apps.serving.models import Models, TextJob

TEXT = sentences(1, seed=4)[0]


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "adapters"
    found.mkdir()
    write_adapters(found, ("de", "cs", "fr"))
    write_adapters(found, ("x1",), "bottleneck")
    (found / "broken.safetensors").write_bytes(b"no tensors")
    shutil.copy(found / "de.safetensors", tmp_path / "outside.safetensors")
    return found


@pytest.fixture
def client(folder):
    service = make_service(make_models(adapter_files()[:2]), adapters_dir=folder)  # de and es
    with client_of(service) as client:
        yield client


def embed(client, model):
    answer = client.post("/v1/embeddings", json={"model": model, "input": TEXT})
    return answer.json()["data"][0]["embedding"] if answer.status_code == 200 else answer.json()["error"]["code"]


def names(client):
    return [row["id"] for row in client.get("/v1/models").json()["data"]]


def test_an_adapter_is_loaded_used_and_unloaded(client):
    assert embed(client, "tiny:cs") == "model_not_found"
    loaded = client.post("/v1/load_adapter", json={"file": "cs.safetensors"})
    assert loaded.status_code == 200
    about = {"id": "tiny:cs", "object": "model", "owned_by": "pecl", "language": "cs", "adapter": "lora"}
    assert about.items() <= loaded.json().items()
    assert client.get("/v1/models/tiny:cs").json() == loaded.json()
    assert names(client) == ["tiny", "tiny:de", "tiny:es", "tiny:cs"]
    (answer,) = make_models(adapter_files(("de", "cs", "fr"))).embed([TextJob([TEXT], ["cs"])])
    assert embed(client, "tiny:cs") == pytest.approx(answer.embeddings[0].tolist(), abs=1e-5)
    assert embed(client, "tiny:de") == pytest.approx(expected([TEXT], ["de"])[0].tolist(), abs=1e-5)
    gone = client.post("/v1/unload_adapter", json={"model": "tiny:cs"})
    assert gone.json() == {"id": "tiny:cs", "object": "model", "deleted": True}
    assert embed(client, "tiny:cs") == "model_not_found"
    assert client.post("/v1/load_adapter", json={"file": "x1.safetensors"}).json()["adapter"] == "bottleneck"
    assert client.post("/v1/load_adapter", json={"file": "de.safetensors", "name": "de-AT"}).status_code == 200
    assert names(client) == ["tiny", "tiny:de", "tiny:es", "tiny:x1", "tiny:de-AT"]
    for model, status in (("tiny", 400), ("tiny:sv", 404)):  # the base encoder stays
        assert client.post("/v1/unload_adapter", json={"model": model}).status_code == status


REFUSED = [
    ({"file": "sv.safetensors"}, 404, "in the folder of adapters (broken.safetensors, cs.safetensors, "),
    ({"file": "../outside.safetensors"}, 404, "in the folder of adapters"),
    ({"file": "de.safetensors"}, 400, "'de' is in the bank already"),
    ({"file": "fr.safetensors"}, 400, "fr.safetensors is not the adapter that fr.json was measured with"),
    ({"file": "broken.safetensors"}, 400, "adapter file broken.safetensors is damaged"),
]


@pytest.mark.parametrize(("document", "status", "said"), REFUSED, ids=[str(row[0])[:50] for row in REFUSED])
def test_what_is_not_loaded(client, folder, document, status, said):
    (folder.parent / "fr.json").write_text(json.dumps({"run_id": "fr", "adapter": {"sha256": "0" * 64}}))
    answer = client.post("/v1/load_adapter", json=document)
    assert answer.status_code == status, answer.text
    assert said in answer.json()["error"]["message"]
    assert str(folder.parent) not in answer.text
    assert names(client) == ["tiny", "tiny:de", "tiny:es"]


def test_of_two_unloads_at_once_the_later_finds_no_model(folder):
    """Both requests are accepted while a pass runs."""
    service = make_service(make_models(adapter_files()[:2]), adapters_dir=folder)
    passes = threading.Event()
    with client_of(service) as client, ThreadPoolExecutor(2) as pool:
        service._compute.submit(passes.wait, 120)
        unload = functools.partial(client.post, "/v1/unload_adapter", json={"model": "tiny:de"})
        answers = [pool.submit(unload) for _ in range(2)]
        wait_until(lambda: service._compute._work_queue.qsize() == 2, 120, "both requests")
        passes.set()
        first, second = sorted((answer.result() for answer in answers), key=lambda answer: answer.status_code)
    assert first.json()["deleted"] is True
    assert (second.status_code, second.json()["error"]["code"]) == (404, "model_not_found")


def test_a_model_that_is_unloaded_while_it_is_described_is_not_found(client, monkeypatch):
    plain = Models.describe

    def unload_then_describe(models):
        models.remove("de")
        return plain(models)

    monkeypatch.setattr(Models, "describe", unload_then_describe)
    answer = client.get("/v1/models/tiny:de")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
