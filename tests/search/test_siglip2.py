"""The whole way of a search with SigLIP 2 B/16 in its published form, from a server that answers as the model hub does.

The tiny checkpoint takes seconds; `bash scripts/test.sh --all` also takes the one of published size, 1.5 GB.
"""

import json
import re

import pillow_heif
import pytest
import torch
from helpers.fake_hub import running_hub
from helpers.serving import client_of
from helpers.siglip2 import MODEL, write_siglip2
from helpers.small_index import paint
from huggingface_hub import constants
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer, SiglipModel

import pecl.encoders.loading.hub
import pecl.serving.server
from pecl.commands.main import main
from pecl.errors import WeightsError

QUERY = "Ein Hund am Strand"
PAIRS = [("a dog runs", "ein Hund rennt"), ("two cats", "zwei Katzen"), ("red car", "rotes Auto"), ("snow", "Schnee")]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PECL_INDEX_DIR", str(tmp_path / "indexes"))
    with running_hub(monkeypatch, tmp_path / "hub") as server:
        yield server


@pytest.fixture
def photographs(tmp_path):
    for i in range(4):
        paint(tmp_path / "photographs" / f"{i}.png", seed=i)
    pillow_heif.from_pillow(Image.open(tmp_path / "photographs" / "3.png").resize((64, 64))).save(
        tmp_path / "photographs" / "4.heic"
    )
    return tmp_path / "photographs"


def by_transformers(folder, photographs):
    """Cosine similarities of the query and each photograph, without any code of pecl."""
    model = SiglipModel.from_pretrained(folder).eval()
    tokens = AutoTokenizer.from_pretrained(folder)(
        QUERY.lower(), padding="max_length", max_length=64, return_tensors="pt"
    )
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    images = [Image.open(path).convert("RGB") for path in photographs]
    with torch.no_grad():
        text = model.get_text_features(tokens["input_ids"]).pooler_output
        pixels = processor(images=images, return_tensors="pt")["pixel_values"]
        seen = model.get_image_features(pixels).pooler_output
    return torch.nn.functional.cosine_similarity(text, seen).tolist()


@pytest.mark.parametrize("size", ["tiny", pytest.param("published", marks=pytest.mark.slow)])
def test_from_the_download_to_an_adapter_in_use(size, hub, photographs, tmp_path, monkeypatch, capsys, caplog):
    made = tmp_path / "made"
    write_siglip2(made, is_tiny=size == "tiny")
    hub.models[MODEL] = {path.name: path for path in made.iterdir()}
    if size == "tiny":
        monkeypatch.setattr(pecl.encoders.loading.hub, "LARGE", 1000)
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)

    def run(*arguments):
        capsys.readouterr()
        code = main([str(one) for one in arguments])
        return code, *capsys.readouterr()

    def scores(*flags):
        code, out, _ = run("search", photographs, QUERY, "--json", *flags)
        assert code == 0
        return {hit["path"]: hit["score"] for hit in json.loads(out)["photographs"]}

    index = ("index", photographs, "--profile", "siglip2-b16", "--languages", "de,sw")
    cut = (made / "model.safetensors").stat().st_size // 3
    hub.cuts["model.safetensors"] = cut  # and then refuses all
    code, out, error = run(*index)
    assert (code, out) == (2, "")
    assert "5 photographs with siglip2-b16: about 1.5 GB to download, " in caplog.text
    assert f"pecl: cannot fetch {MODEL}" in error.splitlines()[-1]
    hub.refusals.clear()
    hub.starts.clear()
    caplog.clear()
    code, out, _ = run(*index)
    assert (code, [one for one in caplog.records if one.name.startswith("transformers")]) == (0, [])
    assert "5 photographs (5 new" in out  # HEIC, too
    assert 0 < dict(hub.starts)["model.safetensors"] <= cut
    assert {name for _, name in hub.downloads} == set(hub.models[MODEL]) - {"README.md"}

    hub.downloads.clear()
    paths = sorted(photographs.iterdir())
    plain = scores("--language", "de")
    expected = dict(zip(map(str, paths), by_transformers(made, paths), strict=True))
    assert plain == pytest.approx(expected, abs=1e-4)

    for name, rows in {"train": range(6), "test": range(6, 8)}.items():
        lines = ["en\tde", *(f"{en} {i}\t{de} {i}" for i in rows for en, de in PAIRS)]
        (tmp_path / f"{name}.tsv").write_text("\n".join(lines))
    text = ("--language", "de", "--text", tmp_path / "train.tsv", "--dataset", tmp_path / "test.tsv")
    flags = ("--gallery", "english", "--overlap", "drop", "--shots", 2, "--epochs", 1, "--out", tmp_path / "results")
    trained = run("distil", "--profile", "siglip2-b16", "--adapter", "lora:r=2", *text, *flags)
    assert trained[0] == 0, trained
    (adapter,) = (tmp_path / "results" / "adapters").glob("*.safetensors")
    adapted = scores("--language", "de", "--adapter", adapter)
    assert max(abs(adapted[path] - plain[path]) for path in plain) > 1e-4

    def ask(service, *_):
        with client_of(service) as client:
            answers.append(client.post("/search", json={"query": QUERY, "language": "de"}).json())

    answers = []
    monkeypatch.setattr(pecl.serving.server, "serve", ask)
    assert run("serve", "--index", photographs, "--port", "0", "--adapter", adapter)[0] == 0  # the index's profile
    served = {str(photographs / hit["name"]): hit["score"] for hit in answers[0]["photographs"]}
    assert served == pytest.approx(adapted, abs=1e-5)

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert scores("--language", "de", "--adapter", adapter) == pytest.approx(adapted, abs=1e-6)
    assert hub.downloads == []


def test_content_that_is_not_the_hubs_is_not_kept(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(pecl.encoders.loading.hub, "LARGE", 1000)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    write_siglip2(tmp_path / "made")
    hub.models[MODEL] = {path.name: path for path in (tmp_path / "made").iterdir()}
    weights = tmp_path / "made" / "model.safetensors"
    hub.cuts[weights.name] = 5000
    with pytest.raises(WeightsError, match="cannot fetch"):
        pecl.load_text_encoder("siglip2-b16")
    (part,) = (tmp_path / "hub").rglob("*.part")
    part.write_bytes(b"x" * part.stat().st_size)
    hub.refusals.clear()
    with pytest.raises(WeightsError, match=r"model.safetensors arrived with other content .*run the same"):
        pecl.load_text_encoder("siglip2-b16")
    assert pecl.load_text_encoder("siglip2-b16").embedding_dim == 32  # fetched whole


def test_without_a_hub_the_demonstration_is_recommended(hub, photographs, monkeypatch, capsys):
    assert pecl.encoders.loading.hub.recommended_profile() == "mini"  # the hub does not have the model
    hub.models[MODEL] = {}
    assert pecl.encoders.loading.hub.recommended_profile() == "siglip2-b16"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert pecl.encoders.loading.hub.recommended_profile() == "mini"
    assert main(["index", str(photographs), "--profile", "siglip2-b16"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.search(r"\(HF_HUB_OFFLINE is set\): copy models--google--.*; --profile mini needs no hub$", said)
