"""mteb's multilingual image tasks (MIEB), on small data of the form that they have on the hub."""

import io
from importlib import import_module

import pytest
import torch
from helpers.adapter_towers import TEXTS
from helpers.exporting import export_towers, pictures, write_adapters

from pecl.adapters.formats.files import merge_adapter
from pecl.retrieval.evaluator import RetrievalEvaluator


@pytest.fixture(scope="module", autouse=True)
def late_imports():
    """Import mteb where these tests run: it takes seconds, and every worker reads this file."""
    global mteb, datasets, mteb_model
    mteb = pytest.importorskip("mteb", reason="mteb is not there")
    import datasets

    from pecl.apps.harness import mteb_model


def content(picture):
    file = io.BytesIO()
    picture.save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


def wit(path, split, revision):
    columns = {"image_id": [str(i) for i in range(6)], "captions": [TEXTS[2 * i : 2 * i + 2] for i in range(6)]}
    return datasets.Dataset.from_dict({**columns, "image": pictures()})


def xm3600(path, split, revision):
    captions = [TEXTS[2 * i : 2 * i + 2] for i in range(6)]
    columns = dict.fromkeys(("captions", "captions_tokenized", "captions_tokenized_lowercase"), captions)
    images = {"image_locale": ["cs"] * 6, "image_id": [str(i) for i in range(6)], "image": map(content, pictures())}
    return datasets.Dataset.from_dict({**columns, **{name: list(values) for name, values in images.items()}})


def xflickr(path, revision):
    columns = {"id": [str(i) for i in range(6)], "sentences": TEXTS[:6], "image": [content(one) for one in pictures()]}
    return {"de": datasets.Dataset.from_dict(columns)}


TASKS = {
    "WITT2IRetrieval": ("wit_t2i_retrieval", wit, "dan-Latn", "da"),
    "XM3600T2IRetrieval": ("xm3600_t2i_retrieval", xm3600, "ces-Latn", "cs"),
    "XFlickr30kCoT2IRetrieval": ("x_flickr30k_co_t2i_retrieval", xflickr, "deu-Latn", "de"),
}


def scores_of(name, model, monkeypatch):
    module, load, langscript, subset = TASKS[name]
    monkeypatch.setattr(import_module(f"mteb.tasks.retrieval.multilingual.{module}"), "load_dataset", load)
    task = mteb.get_task(name, languages=[langscript], hf_subsets=[subset])
    (result,) = mteb.evaluate(model, [task], cache=None, co2_tracker=False).task_results
    (scores,) = result.scores["test"]
    assert scores["hf_subset"] == subset
    return scores


@pytest.mark.parametrize("name", TASKS)
def test_a_task_of_mieb_measures_the_adapter_of_its_language(name, tmp_path, monkeypatch):
    files = write_adapters(tmp_path)
    towers = export_towers()
    adapters = {"de": files["de"].path, "cs": files["cs"].path, "da": files["cs"].path}
    model = mteb_model.PeclEncoder("mini", adapters=adapters, towers=towers)
    scores = scores_of(name, model, monkeypatch)

    text = merge_adapter(files["de" if TASKS[name][3] == "de" else "cs"], towers.text)
    texts = TEXTS[:6] if name.startswith("XFlickr") else TEXTS[:12]
    items = [i * 6 // len(texts) for i in range(len(texts))]
    ours = RetrievalEvaluator(towers.image.encode_image(pictures()), items)(text.encode_text(texts))
    for k in (1, 5):
        assert scores[f"hit_rate_at_{k}"] == pytest.approx(ours.metrics["text_to_image"].recall[k], abs=1e-5)


def test_visual_similarity_compares_pictures(monkeypatch):
    shown = [*pictures(), *pictures()]
    rows = {"sentence1": shown[:8], "sentence2": shown[3:11], "score": [float(i % 5) for i in range(8)]}
    made = datasets.Dataset.from_dict(rows)
    monkeypatch.setattr("mteb.abstasks.abstask.load_dataset", lambda *_, **__: datasets.DatasetDict({"test": made}))
    towers = export_towers()
    model = mteb_model.PeclEncoder("mini", towers=towers)
    task = mteb.get_task("STS17MultilingualVisualSTS", hf_subsets=["en-de"])
    (result,) = mteb.evaluate(model, [task], cache=None, co2_tracker=False).task_results
    (scores,) = result.scores["test"]
    first, second = (towers.image.encode_image(rows[name]) for name in ("sentence1", "sentence2"))
    similarity = torch.cosine_similarity(first, second)
    expected = torch.corrcoef(torch.stack([similarity, torch.tensor(rows["score"])]))[0, 1]
    assert scores["cosine_pearson"] == pytest.approx(float(expected), abs=1e-4)


def test_norwegian_of_xm3600_has_a_language():
    """Its subset `no` names Norwegian and both of its written forms."""
    metadata = mteb.get_task("XM3600T2IRetrieval").metadata
    assert mteb_model.language_of(metadata, "no") == "nb"
    assert None not in {mteb_model.language_of(metadata, subset) for subset in metadata.hf_subsets}
    pairs = mteb.get_task("STS17MultilingualVisualSTS").metadata
    assert mteb_model.language_of(pairs, "en-de") is None
    assert mteb_model.language_of(pairs, "ko-ko") == "ko"
