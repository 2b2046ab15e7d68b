"""Hubs in searches: the corrections of an index are those that arithmetic says, and come and go with its towers."""

import json
import re

import numpy as np
import pytest
from helpers.serving import client_of, data_uri, make_models, make_service
from helpers.small_experiment import tiny_towers
from helpers.small_index import COUNT, check_hits, unit
from helpers.tiny import tiny_tower
from make_references import packed
from safetensors.numpy import save_file

import pecl
from pecl.apps.search.build import build_index
from pecl.cli import main
from pecl.errors import ConfigError
from pecl.retrieval import hubs
from pecl.retrieval.hubs import ROWS, find_references, unpacked

SHARPNESS, WEIGHT = 7.0, 0.5
QUERY = "ka lopi zumo"


@pytest.fixture
def references(tmp_path, monkeypatch, towers):
    """Reference captions of the tiny towers, in place of the shipped ones: (R, D) of length 1, as they are read."""
    folder = tmp_path / "references"
    folder.mkdir()
    monkeypatch.setattr(hubs, "REFERENCES", folder)
    return write_references(folder)


def write_references(folder, seed=0, image=None):
    embeddings = unit(np.random.default_rng(seed).normal(size=(20, 8)))
    metadata = {"image": image or tiny_towers().image.fingerprint, "text": tiny_tower().fingerprint}
    metadata |= {"sharpness": str(SHARPNESS), "weight": str(WEIGHT)}
    codes = packed(embeddings)
    save_file({ROWS: codes}, folder / "mini.safetensors", metadata)
    return unpacked(codes).astype(float)


def expected_corrections(gallery, references):
    soft_maximum = np.logaddexp.reduce(SHARPNESS * gallery @ references.T, axis=1) - np.log(len(references))
    return WEIGHT * soft_maximum / SHARPNESS


def indexed(photographs):
    """Make or renew the index of a folder, and open it."""
    build_index(photographs)
    return pecl.ImageIndex.open(photographs)


def corrected_ranking(index, references):
    """Return names and scores for `QUERY` by sorting whole columns in double precision."""
    matrix = np.asarray(index.embeddings, np.float64)
    scores = matrix @ tiny_tower().encode_text(QUERY)[0].double().numpy() - expected_corrections(matrix, references)
    return [(index.paths[i], scores[i]) for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i))]


def test_texts_are_corrected_and_nothing_else(photographs, references):
    index = indexed(photographs)
    assert index.uncorrected == ""
    text = tiny_tower().encode_text(QUERY)[0].numpy()
    expected = corrected_ranking(index, references)
    plain = index.search(QUERY, "en", top=COUNT, corrected=False)[0]
    assert [hit.path for hit in plain] != [path for path, _ in expected]
    check_hits(index.search(QUERY, "en", top=COUNT)[0], expected)
    check_hits(index.search(text[None], top=COUNT, corrected=True)[0], expected)
    mixed = index.search([QUERY, index.paths[2]], "en", top=COUNT)
    check_hits(mixed[0], expected)
    assert mixed[1][0].path == index.paths[2]
    assert mixed[1][0].score == pytest.approx(1, abs=1e-6)
    by_array = index.search(text[None], top=COUNT)[0]
    assert [hit.path for hit in by_array] == [hit.path for hit in plain]
    assert [hit.score for hit in by_array] == pytest.approx([hit.score for hit in plain], abs=1e-6)
    assert index.search(QUERY, "en", minus="pan", top=1)[0][0].score == pytest.approx(
        float((index.embeddings @ index.embed(QUERY, "en", minus="pan")[0]).max()), abs=1e-6
    )


def test_a_server_corrects_a_text_alone(photographs, references):
    index = indexed(photographs)
    picture = data_uri((photographs / "00.png").read_bytes())
    with client_of(make_service(make_models([]), index=photographs)) as client:
        for more, is_corrected in (({}, True), ({"image": picture}, False), ({"minus": "pan"}, False)):
            document = client.post("/search", json={"query": QUERY, "language": "en", **more}).json()
            assert document["hubs_corrected"] == is_corrected
            if not more:
                (_, best), *_ = corrected_ranking(index, references)
                assert document["photographs"][0]["score"] == pytest.approx(best, abs=1e-5)


def test_an_index_made_before_gets_corrections_without_embedding_anything(photographs, references, towers, capsys):
    place = hubs.REFERENCES / "mini.safetensors"
    place.rename(place.with_suffix(".later"))
    assert indexed(photographs).uncorrected.startswith("no reference captions are known")
    place.with_suffix(".later").rename(place)
    old = pecl.ImageIndex.open(photographs)
    assert old.uncorrected == f"the index was made without corrections: run `pecl index {photographs}`"
    with pytest.raises(ConfigError, match="made without corrections"):
        old.search(QUERY, "en", corrected=True)
    assert main(["search", str(photographs), QUERY, "--language", "en"]) == 0
    assert "hubs: not corrected (the index was made without corrections" in capsys.readouterr().err
    embedded = towers.pictures
    assert build_index(photographs).changed == 0
    assert towers.pictures == embedded
    index = pecl.ImageIndex.open(photographs)
    check_hits(index.search(QUERY, "en", top=COUNT)[0], corrected_ranking(index, references))
    generation = index.head.generation
    assert build_index(photographs).changed == 0
    assert pecl.ImageIndex.open(photographs).head.generation == generation  # nothing was left to do


def test_corrections_follow_photographs_and_references(photographs, references):
    build_index(photographs)
    (photographs / "00.png").unlink()
    index = indexed(photographs)
    check_hits(index.search(QUERY, "en", top=COUNT)[0], corrected_ranking(index, references))
    others = write_references(hubs.REFERENCES, seed=1)
    index = indexed(photographs)
    check_hits(index.search(QUERY, "en", top=COUNT)[0], corrected_ranking(index, others))


@pytest.mark.weights
def test_the_shipped_references_fit_the_towers():
    towers = pecl.load_towers("mini")
    found = find_references("mini", {"image": towers.image.fingerprint, "text": towers.text.fingerprint})
    assert found is not None
    assert found.embeddings.shape[1] == towers.text.embedding_dim
    np.testing.assert_allclose(np.linalg.norm(found.embeddings, axis=1), 1, atol=1e-5)


def test_evaluate_reports_corrected_recall_next_to_plain_recall(small, references, capsys):
    command = ["evaluate", "--dataset", small["dataset"], "--out", small["out"], "--language", "de"]
    assert main([*command, "--json"]) == 0
    (plain,) = json.loads(capsys.readouterr().out)
    assert main([*command, "--json", "--correct-hubs"]) == 0
    (both,) = json.loads(capsys.readouterr().out)
    assert both["result"]["ranks"] == plain["ranks"]  # results hold no corrected figure
    data = pecl.load_dataset(small["dataset"], "de")
    gallery = unit(np.concatenate([tiny_towers().image.encode_image([data.images.load(i)]) for i in data.image_index]))
    corrections = expected_corrections(gallery, references)
    scores = tiny_tower().encode_text(data.target).numpy() @ gallery.T
    for kind, own in (("recall", scores), ("corrected recall", scores - corrections)):
        ranks = (own >= np.diag(own)[:, None]).sum(axis=1)
        for k in (1, 5, 10):
            assert both["hubs_corrected"][f"{kind}@{k}"] == pytest.approx((ranks <= k).mean())
    low, high = (both["hubs_corrected"][f"{end}@5"] for end in ("low", "high"))
    assert low <= both["hubs_corrected"]["corrected recall@5"] - both["hubs_corrected"]["recall@5"] <= high
    assert main([*command, "--correct-hubs"]) == 0
    shown = re.findall(r" (\d\.\d{3})$", capsys.readouterr().out.partition("with hubs corrected")[2], re.MULTILINE)
    names = [f"{kind}recall@{k}" for k in (1, 5, 10) for kind in ("", "corrected ")]
    assert shown == [f"{both['hubs_corrected'][name]:.3f}" for name in names]
    (hubs.REFERENCES / "mini.safetensors").unlink()
    assert main([*command, "--correct-hubs"]) == 2
    assert "--correct-hubs: no reference captions are known for" in capsys.readouterr().err
    assert main([*command, "--correct-hubs", "--gallery", "english"]) == 2
    assert "gallery: expected images with --correct-hubs" in capsys.readouterr().err
