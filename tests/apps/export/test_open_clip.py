"""What pecl writes for open_clip, opened by open_clip, and measured by CLIP_benchmark's own command."""

import re

import pytest
import torch
from helpers.exporting import image_tower, pictures, text_tower, write_adapters
from helpers.project import ROOT
from torch import nn

from pecl.adapters.formats.files import merge_adapter
from pecl.apps.export.open_clip import export_open_clip, preprocessing_of
from pecl.errors import ConfigError

open_clip = pytest.importorskip("open_clip", reason="open_clip is not there")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The folder, the merged text tower that it holds, and the image tower."""
    root = tmp_path_factory.mktemp("open_clip")
    merged, image = merge_adapter(write_adapters(root)["de"], text_tower()), image_tower()
    return export_open_clip(merged, image, root / "de"), merged, image


def test_the_snippet_of_the_page_gives_our_similarities(exported, tmp_path, monkeypatch, capsys):
    """A fresh model is in training mode: without `eval` its dropout would change both."""
    folder, merged, image = exported
    page = (ROOT / "docs" / "exports.md").read_text("utf-8")
    (snippet,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "open_clip" in block)
    (tmp_path / "oc-cs").symlink_to(folder)
    pictures()[0].save(tmp_path / "dog.jpg", quality=95)
    monkeypatch.chdir(tmp_path)
    namespace: dict = {}
    exec(compile(snippet, "docs/exports.md", "exec"), namespace)
    texts = merged.encode_text(["pes na pláži", "kočka na okně"])
    ours = texts @ image.encode_image(tmp_path / "dog.jpg").T
    torch.testing.assert_close(namespace["query"] @ namespace["photograph"].T, ours, rtol=0, atol=1e-5)
    assert capsys.readouterr().out.startswith("tensor([[")
    assert open_clip.create_model_and_transforms("local-dir:oc-cs")[0].training


def test_what_open_clip_cannot_hold_is_said(tmp_path):
    tower, wide, padding, cropping = text_tower(), text_tower(), text_tower(), image_tower()
    wide.head, wide.embedding_dim = nn.Linear(32, 40), 40  # more rows than columns: a bias is out of reach
    padding.tokenizer.pad_token = "<unk>"
    cropping.preprocessing = {**cropping.preprocessing, "crop_pct": 0.875, "crop_mode": "center"}
    for text, image, message in (
        (wide, image_tower(dim=40), r"expected a linear layer of full row rank, got one of shape \(40, 32\)"),
        (padding, image_tower(), "expected a tokenizer that pads with 1 as its encoder does, got 3"),
        (tower, cropping, r"expected crop_pct 1 and crop_mode squash or center, got 0\.875 and center"),
    ):
        with pytest.raises(ConfigError, match=message):
            export_open_clip(text, image, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("crop_mode", "resize_mode"), [("squash", "squash"), ("center", "shortest")])
def test_each_way_to_resize_has_its_name_in_open_clip(crop_mode, resize_mode):
    tower = image_tower()
    tower.preprocessing = {**tower.preprocessing, "crop_mode": crop_mode}
    assert preprocessing_of(tower)["resize_mode"] == resize_mode
