import huggingface_hub.constants
import pytest
from helpers.checkpoints import TEXTS, write_mclip, xlm_roberta_config
from helpers.fake_hub import COMMIT, running_hub

from pecl.encoders.loading import hub as hub_module
from pecl.encoders.loading.hub import choose_files, resolve
from pecl.encoders.loading.text import load_text_checkpoint
from pecl.errors import WeightsError

load = load_text_checkpoint
GIVEN_UP = hub_module.TIMEOUT_SECONDS  # before a test changes it
MODEL = "M-CLIP/XLM-Roberta-Large-Vit-L-14"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with running_hub(monkeypatch, tmp_path / "hub") as server:
        yield server


@pytest.fixture
def published(hub, tmp_path):
    """An M-CLIP checkpoint on the hub, with files in formats that pecl has no use for next to it."""
    write_mclip(tmp_path / "mclip", "base/model")
    (tmp_path / "base").mkdir()
    xlm_roberta_config().save_pretrained(tmp_path / "base")
    files = {path.name: path.read_bytes() for path in (tmp_path / "mclip").iterdir()}
    hub.models[MODEL] = files | {"tf_model.h5": b"0" * 1000, "onnx/model.onnx": b"0" * 1000, "README.md": b"hello"}
    config = (tmp_path / "base" / "config.json").read_bytes()
    hub.models["base/model"] = {"config.json": config, "pytorch_model.bin": b"0" * 1000}
    return hub


def test_each_file_of_use_is_fetched_once_and_of_the_base_model_the_config_alone(published):
    expected = load(MODEL).encode_text(TEXTS)
    assert sorted(published.downloads) == [
        (MODEL, "config.json"),
        (MODEL, "pytorch_model.bin"),
        (MODEL, "tokenizer.json"),
        (MODEL, "tokenizer_config.json"),
        ("base/model", "config.json"),
    ]
    published.downloads.clear()
    assert load(MODEL).encode_text(TEXTS).equal(expected)
    assert published.downloads == []


def test_the_cached_copy_serves_where_the_hub_is_gone(published, caplog, monkeypatch):
    expected = load(MODEL).encode_text(TEXTS)
    published.refusals[MODEL] = published.refusals["base/model"] = (503, "")
    assert load(MODEL).encode_text(TEXTS).equal(expected)
    load(MODEL)
    said = [one.getMessage() for one in caplog.records if "cannot reach" in one.getMessage()]
    assert len(said) == len(set(said)) == 2  # one sentence for each of the two repositories
    assert said[0].startswith(f"cannot reach {published.url} for {MODEL}")
    caplog.clear()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert load(MODEL).encode_text(TEXTS).equal(expected)
    assert caplog.text == ""  # it was asked for


GATED = (
    r"M-CLIP/XLM-Roberta-Large-Vit-L-14 on http://127.0.0.1:\d+ is gated: ask for access .*, or copy models--M-CLIP--"
)


@pytest.mark.parametrize(
    ("name", "refusal", "message"),
    [
        (MODEL, (403, "GatedRepo"), GATED),
        (MODEL, (401, "RepoNotFound"), r"there is no model M-CLIP/.*, or it is private"),
        ("M-CLIP/XLM-Roberta-Large-Vit-L14", None, r"no model .*did you mean 'M-CLIP/XLM-Roberta-Large-Vit-L-14'"),
        (MODEL, (500, ""), r"cannot fetch M-CLIP/.* from http://127.0.0.1:\d+ \(.*\): copy models--M-CLIP--XLM-"),
        ("~no-such-user/tower", None, "there is no folder ~no-such-user/tower"),
        ("a" * 300, None, "is neither a folder nor a model id"),
        ("xlm roberta", None, r"text_model: 'xlm roberta' is neither a folder nor a model id"),
    ],
)
def test_refusals(hub, name, refusal, message):
    if refusal:
        hub.refusals[name] = refusal
    with pytest.raises(WeightsError, match=message) as caught:
        load(name)
    assert "\n" not in str(caught.value)


def test_a_revision_is_fetched_kept_and_recorded(published):
    commit = "f" * 40
    published.commits[MODEL] = {"v1": commit, "refs%2Fpr%2F1": commit}
    assert resolve(MODEL, "--text-model PATH").name == COMMIT
    for revision in ("v1", "refs/pr/1", commit):
        assert resolve(f"{MODEL}@{revision}", "--text-model PATH").name == commit
    assert load(f"{MODEL}@{commit}").name == f"{MODEL}@{commit}"  # the name that results hold
    with pytest.raises(WeightsError, match=rf"^{MODEL} on http.* has no revision v2: expected a commit, tag or branc"):
        load(f"{MODEL}@v2")
    published.refusals[MODEL] = (503, "")
    assert resolve(f"{MODEL}@{commit}", "--text-model PATH").name == commit  # from the cache, not another state of it
    with pytest.raises(WeightsError, match="cannot fetch"):
        resolve(f"{MODEL}@{'e' * 40}", "--text-model PATH")


def test_a_silent_hub_is_given_up_within_seconds(hub, monkeypatch):
    """Here after one second; huggingface_hub itself waits until the hub hangs up, which it then says."""
    assert GIVEN_UP <= 10
    monkeypatch.setattr(hub_module, "TIMEOUT_SECONDS", 1.0)
    hub.silent = True
    with pytest.raises(WeightsError, match=r"cannot fetch M-CLIP.*timed out"):
        load(MODEL)


def test_one_format_of_weights_in_each_folder():
    names = ["config.json", "vocab.txt", "spiece.model", "merges.txt", "README.md", "model.onnx", "flax_model.msgpack"]
    both = ["model.safetensors", "pytorch_model.bin"]
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]
    chosen = choose_files([*names, *both, "2_Dense/config.json", "2_Dense/pytorch_model.bin", "onnx/config.json"])
    expected = [*names[:4], "model.safetensors", "2_Dense/config.json", "2_Dense/pytorch_model.bin"]
    assert sorted(chosen) == sorted(expected)
    assert set(shards) <= set(choose_files([*shards, "pytorch_model.bin"]))
    open_clip = ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
    assert choose_files(open_clip) == open_clip[:1]
    assert choose_files(["config.json", "model.safetensors"], weights=False) == ["config.json"]
