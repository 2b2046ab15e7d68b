"""Corrections of hubs and the codes of reference captions, against arithmetic in double precision."""

import numpy as np
import pytest
from helpers.small_index import unit
from make_references import packed
from safetensors.numpy import save_file

from pecl.retrieval import hubs
from pecl.retrieval.hubs import ROWS, References, find_references, unpacked

TOWERS = {"image": "1" * 64, "text": "2" * 64}


def test_two_bits_a_number_hold_its_sign_and_whether_it_is_large():
    rows = np.array([[1, -4, 5, -1, 0, 0.5, -3, 1.5], [-9, 9, -9, 9, -9, 9, -81, 81], [1, -2, 3, -2, 1, 3, -2, 2]])
    codes = packed(rows)  # means of sizes: 2, 27 and 2, which numbers of that size do not exceed
    assert (codes.shape, codes.dtype) == ((3, 2), np.uint8)
    expected = np.array([[1, -3, 3, -1, 1, 1, -3, 1], [-1, 1, -1, 1, -1, 1, -3, 3], [1, -1, 3, -1, 1, 3, -1, 1]])
    np.testing.assert_allclose(unpacked(codes), unit(expected), rtol=1e-6)


@pytest.mark.parametrize("block", [1, 65, hubs._BLOCK])
def test_a_correction_is_the_weighted_soft_maximum_in_blocks_of_any_size(monkeypatch, block):
    monkeypatch.setattr(hubs, "_BLOCK", block)
    draw = np.random.default_rng(0)
    references = References(packed(draw.normal(size=(20, 8))), sharpness=7.0, weight=0.4, fingerprint="")
    gallery = unit(draw.normal(size=(8, 8))).astype(np.float32)
    found = references.corrections(gallery)
    sums = np.logaddexp.reduce(7 * gallery.astype(float) @ unpacked(references.codes).T, axis=1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, 0.4 * (sums - np.log(20)) / 7, rtol=1e-5)


def test_references_are_found_for_their_towers_and_known_by_their_content(tmp_path, monkeypatch):
    monkeypatch.setattr(hubs, "REFERENCES", tmp_path)
    codes = packed(np.random.default_rng(0).normal(size=(20, 8)))
    path = tmp_path / "tiny.safetensors"
    save_file({ROWS: codes}, path, {**TOWERS, "sharpness": "7.0", "weight": "0.4"})
    found = find_references("tiny", TOWERS)
    assert (found.sharpness, found.weight) == (7.0, 0.4)
    np.testing.assert_array_equal(found.codes, codes)
    for profile, towers in (("mini", TOWERS), *(("tiny", {**TOWERS, kind: "0" * 64}) for kind in TOWERS)):
        assert find_references(profile, towers) is None
    path.write_bytes(path.read_bytes()[:-1] + b"?")  # the last code
    assert find_references("tiny", TOWERS).fingerprint != found.fingerprint
