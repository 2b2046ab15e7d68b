"""The few-shot split against torch's own permutation, and against what a split must be."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pecl.data.captions import ParallelCaptions
from pecl.data.splits import few_shot_split, split_captions
from pecl.errors import DataError
from pecl.files.images import ImageFiles

pools = st.integers(1, 40).flatmap(lambda shots: st.tuples(st.integers(2 * shots + 1, 300), st.just(shots)))


def torch_permutation(n, seed):
    generator = torch.Generator()
    generator.manual_seed(seed)
    return torch.randperm(n, generator=generator)


@given(pools, st.integers(0, 2**31))
def test_is_torchs_permutation_cut_in_three(pool, seed):
    n, shots = pool
    split = few_shot_split(n, shots, seed)
    permutation = torch_permutation(n, seed)
    assert torch.tensor(split.train).equal(permutation[:shots])
    assert torch.tensor(split.val).equal(permutation[shots : 2 * shots])
    assert torch.tensor(split.test).equal(permutation[2 * shots :])
    assert sorted(split.train + split.val + split.test) == list(range(n))


@pytest.mark.parametrize(
    ("n", "shots", "said"),
    [
        (100, 50, "at most 49 of a pool of 100, .* got 50"),
        (100, 0, "a whole number >= 1, got 0"),
    ],
)
def test_too_many_or_too_few_shots(n, shots, said):
    with pytest.raises(DataError, match=f"shots: expected {said}"):
        few_shot_split(n, shots)


PUBLISHED = ("train",) * 40 + ("val",) * 5 + ("test",) * 12


def published(part=PUBLISHED, **columns):
    texts = tuple(f"caption {i}" for i in range(len(part)))
    return ParallelCaptions("own", "de", texts, texts, part=part, **columns)


@given(st.permutations(PUBLISHED), st.integers(1, 40), st.integers(0, 2**31))
def test_published_parts_stay_and_shots_are_drawn_from_the_training_part(part, shots, seed):
    captions = published(tuple(part))
    everything = split_captions(captions, None)
    for name, indices in zip(("train", "val", "test"), everything, strict=True):
        assert list(indices) == [i for i in range(len(part)) if part[i] == name]
    few = split_captions(captions, shots, seed)
    assert (few.val, few.test) == (everything.val, everything.test)
    order = torch_permutation(40, seed)[:shots]
    assert list(few.train) == [everything.train[i] for i in order.tolist()]


@pytest.mark.parametrize(
    ("captions", "shots", "message"),
    [
        (published(), 41, "shots: expected 1 to 40, the pairs of the training part of own, or all, got 41"),
        (published(("train", "test")), None, "own/de has no caption in its val part: got {'train': 1, 'val': 0"),
    ],
)
def test_published_parts_that_cannot_be_trained_on(captions, shots, message):
    with pytest.raises(DataError, match=message):
        split_captions(captions, shots)


def test_an_image_in_two_parts_would_be_trained_and_tested_on():
    images = ImageFiles(tuple(Path(name) for name in ("a.jpg", "b.jpg", "c.jpg")))
    captions = published(("train", "val", "test", "test"), images=images, image_index=(0, 1, 2, 0))
    with pytest.raises(DataError, match=r"image a\.jpg is in the parts train and test: expected each image in one"):
        split_captions(captions, None)


def test_no_image_is_on_two_sides(tmp_path):
    images = ImageFiles(tuple(tmp_path / f"{i}.jpg" for i in range(7)))
    owner = tuple(i % 7 for i in range(35))  # five captions an image, scattered
    texts = tuple(f"caption {i}" for i in range(35))
    captions = ParallelCaptions("t", "de", texts, texts, images=images, image_index=owner)
    parts = split_captions(captions, 2)
    sides = [{owner[i] for i in part} for part in parts]
    assert sides == [set(part) for part in few_shot_split(7, 2)]
    assert sorted(parts.train + parts.val + parts.test) == list(range(35))
    assert [len(part) for part in parts] == [10, 10, 15]
