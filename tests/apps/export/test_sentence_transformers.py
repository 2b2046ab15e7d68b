"""What pecl writes for sentence-transformers, opened by sentence-transformers itself."""

import json

import pytest
import torch
from helpers.adapter_towers import TEXTS, states
from helpers.checkpoints import write_clip, write_siglip
from helpers.exporting import image_tower, pictures, text_tower, write_adapters
from helpers.tiny import tiny_tower

from pecl.adapters.adapter import attach
from pecl.adapters.formats.files import load_adapter_file, merge_adapter, save_adapter
from pecl.adapters.spec import parse_adapter
from pecl.apps.export.sentence_transformers import export_adapter, export_towers
from pecl.encoders.loading.image import load_image_checkpoint
from pecl.errors import ConfigError, OutputError, WeightsError
from pecl.retrieval.evaluator import RetrievalEvaluator


def opened(folder):
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not there")
    return library.SentenceTransformer(str(folder), device="cpu")


def encode(model, inputs):
    return model.encode(inputs, convert_to_tensor=True, batch_size=5)


def embedded_by_slot(tower, file):
    """Return what the slot module computes: nothing of what exports share."""
    adapter = attach(tower, file.configs)
    adapter.load_slot_state(0, file.state)
    try:
        return tower.encode_text(TEXTS)
    finally:
        adapter.remove()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The base encoders, the towers of German, only German as an adapter."""
    root = tmp_path_factory.mktemp("exports")
    tower, image, files = text_tower(), image_tower(), write_adapters(root)
    export_towers(tower, image, root / "plain")
    export_towers(merge_adapter(files["de"], tower), image, root / "de")
    export_adapter(files["de"], tower, root / "de-only", root / "plain")
    return root


def test_both_towers_in_one_folder_give_the_same_embeddings_and_recall(folders):
    model, tower, image = opened(folders / "de"), text_tower(), image_tower()
    expected = embedded_by_slot(tower, load_adapter_file(folders / "de.safetensors"))
    texts, seen = encode(model, TEXTS), encode(model, pictures())
    torch.testing.assert_close(texts, expected, rtol=0, atol=1e-5)
    for as_other_packages_call_it in (model.encode_query, model.encode_document):
        torch.testing.assert_close(torch.tensor(as_other_packages_call_it(TEXTS)), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(seen, image.encode_image(pictures()), rtol=0, atol=1e-5)
    assert not torch.allclose(expected, tower.encode_text(TEXTS), atol=1e-2)  # the adapter does something
    items = [i % len(seen) for i in range(len(TEXTS))]
    ours = RetrievalEvaluator(image.encode_image(pictures()), items)(expected)
    theirs = RetrievalEvaluator(seen, items)(texts)
    assert theirs.ranks == ours.ranks
    scores = model.similarity(texts, seen)  # the cosine is the folder's own similarity
    assert (scores.argsort(dim=1, descending=True)[:, 0].tolist()) == [row[0] for row in ours.nearest]


def test_an_adapter_alone_is_small_and_names_its_base(folders):
    names = {path.name for path in (folders / "de-only").rglob("*") if path.is_file()}
    assert "tokenizer.json" not in names  # of the base; the mini tower's has 17 MB
    base = json.loads((folders / "de-only" / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert base == str(folders / "plain" / "text_0_Transformer")


@pytest.mark.parametrize("write", [write_clip, write_siglip])
def test_image_towers_of_transformers(write, tmp_path):
    write(tmp_path / "whole")
    image = load_image_checkpoint(tmp_path / "whole")
    export_towers(tiny_tower(dim=image.embedding_dim), image, tmp_path / "out")
    seen = encode(opened(tmp_path / "out"), pictures())
    torch.testing.assert_close(seen, image.encode_image(pictures()), rtol=0, atol=1e-5)


def test_what_cannot_be_written_is_said_and_nothing_is_left(tmp_path):
    tower, image = text_tower(), image_tower()
    export_towers(tower, None, tmp_path / "plain")
    export_towers(tiny_tower("xlm-roberta", seed=9), None, tmp_path / "other")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OutputError, match="exists already"):
        export_towers(tower, image, tmp_path / "plain")
    with pytest.raises(WeightsError, match="choose a text_model and an image_model of one width"):
        export_towers(tower, image_tower(dim=9), tmp_path / "x")
    other = text_tower()
    other.head = torch.nn.Sequential(other.head, torch.nn.Softplus())
    with pytest.raises(ConfigError, match="layout has no place for a Softplus in a head"):
        export_towers(other, None, tmp_path / "x")
    state = states(tower, "soft_prompt+lora")[0]
    path = save_adapter(tmp_path.parent / "s.safetensors", state, parse_adapter("soft_prompt+lora"), "de", tower)
    with pytest.raises(WeightsError, match="cannot be merged"):
        export_adapter(load_adapter_file(path), tower, tmp_path / "x", tmp_path / "plain")
    path = save_adapter(tmp_path.parent / "l.safetensors", states(tower)[0], parse_adapter("lora"), "de", tower)
    with pytest.raises(WeightsError, match=r"other holds another text tower \(fingerprint"):
        export_adapter(load_adapter_file(path), tower, tmp_path / "x", tmp_path / "other")
    assert sorted(tmp_path.iterdir()) == before
