"""The whole way of a search with a tiny SigLIP 2 in its published form, from a server that answers as the hub does."""

import json
import re

import pillow_heif
import pytest
import torch
from helpers.fake_hub import running_hub
from helpers.family_towers import gemma_tokenizer, write_siglip
from helpers.serving import client_of
from helpers.small_index import paint
from huggingface_hub import constants
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer, SiglipConfig, SiglipModel

import pecl.apps.serving.server
import pecl.encoders.loading.hub
from pecl.cli import main
from pecl.errors import WeightsError

MODEL = "google/siglip2-base-patch16-224"
TOKENIZER_SETTINGS = {  # of which transformers does not heed the lower case
    **{"add_bos_token": False, "add_eos_token": True, "bos_token": "<bos>", "clean_up_tokenization_spaces": False},
    **{"do_lower_case": True, "eos_token": "<eos>", "mask_token": "<mask>", "model_max_length": 64},
    **{"pad_token": "<pad>", "padding_side": "right", "processor_class": "SiglipProcessor"},
    **{"tokenizer_class": "GemmaTokenizer", "unk_token": "<unk>"},
}
PREPROCESSOR_SETTINGS = {
    **{"do_convert_rgb": None, "do_normalize": True, "do_rescale": True, "do_resize": True, "resample": 2},
    **{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "rescale_factor": 1 / 255},
    **{"image_processor_type": "SiglipImageProcessor", "processor_class": "SiglipProcessor"},
    "size": {"height": 8, "width": 8},
}
QUERY = "Ein Hund am Strand"
PAIRS = [("a dog runs", "ein Hund rennt"), ("two cats", "zwei Katzen"), ("red car", "rotes Auto"), ("snow", "Schnee")]


def write_siglip2(folder):
    """Write a checkpoint file by file as the hub has it: a config without defaults, and files that nobody reads."""
    folder.mkdir()
    write_siglip(folder)
    saved, default = json.loads((folder / "config.json").read_text()), SiglipConfig().to_dict()
    config = {"architectures": ["SiglipModel"], "initializer_factor": 1.0, "model_type": "siglip"}
    for half in ("text", "vision"):
        own, usual = saved[f"{half}_config"], default[f"{half}_config"]
        changed = {name: value for name, value in own.items() if value != usual.get(name)}
        config[f"{half}_config"] = {**changed, "model_type": f"siglip_{half}_model"}
    for name, document in {
        "config": config,
        "preprocessor_config": PREPROCESSOR_SETTINGS,
        "tokenizer_config": TOKENIZER_SETTINGS,
        "special_tokens_map": {f"{name}_token": f"<{name}>" for name in ("pad", "eos", "bos", "unk", "mask")},
    }.items():
        (folder / f"{name}.json").write_text(json.dumps(document, indent=2))
    gemma_tokenizer().backend_tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer.model").write_bytes(b"\0" * 1000)  # sentencepiece's, not read
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    (folder / "generation_config.json").unlink(missing_ok=True)


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


def test_from_the_download_to_an_adapter_in_use(hub, photographs, tmp_path, monkeypatch, capsys, caplog):
    made = tmp_path / "made"
    write_siglip2(made)
    hub.models[MODEL] = {path.name: path for path in made.iterdir()}
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
    monkeypatch.setattr(pecl.apps.serving.server, "serve", ask)
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
    with pytest.raises(WeightsError, match=r"model.safetensors has other content than on the hub; run the same"):
        pecl.load_text_encoder("siglip2-b16")
    assert pecl.load_text_encoder("siglip2-b16").embedding_dim == 12  # fetched whole


def test_without_a_hub_the_demonstration_is_recommended(hub, photographs, monkeypatch, capsys):
    assert pecl.encoders.loading.hub.recommended_profile() == "mini"  # the hub does not have the model
    hub.models[MODEL] = {}
    assert pecl.encoders.loading.hub.recommended_profile() == "siglip2-b16"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert pecl.encoders.loading.hub.recommended_profile() == "mini"
    assert main(["index", str(photographs), "--profile", "siglip2-b16"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.search(r"\(HF_HUB_OFFLINE is set\): copy models--google--.*; --profile mini needs no hub$", said)
