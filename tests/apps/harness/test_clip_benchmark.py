"""pecl as a type of model in CLIP_benchmark's own command line."""

import json
import runpy
import sys

import pytest
from helpers.adapter_towers import TEXTS
from helpers.exporting import export_towers, pictures, write_adapters

from pecl.adapters.choice import PLAIN
from pecl.adapters.formats.files import merge_adapter
from pecl.apps.harness import clip_benchmark
from pecl.errors import ConfigError
from pecl.retrieval.evaluator import RetrievalEvaluator

pytest.importorskip("clip_benchmark", reason="CLIP_benchmark is not there")


def test_its_command_measures_an_adapter(tmp_path, monkeypatch):
    files, shown = write_adapters(tmp_path), pictures()
    monkeypatch.setattr("pecl.encoders.towers.load_towers", export_towers)
    for i, picture in enumerate(shown):
        picture.save(tmp_path / f"{i}.jpg", quality=95)
    lines = ["image,caption", *(f"{i % len(shown)}.jpg,{text}" for i, text in enumerate(TEXTS))]
    (tmp_path / "captions.txt").write_text("\n".join(lines), "utf-8")
    command = (
        f"clip_benchmark eval --dataset flickr30k --dataset_root {tmp_path} --annotation_file {tmp_path}/captions.txt "
        f"--model_type pecl --model mini --output {tmp_path}/{{language}}.json --num_workers 0 --recall_k 1 --quiet "
        "--no_amp --pretrained"
    )
    found = []
    for pretrained in (PLAIN, str(files["cs"].path)):
        monkeypatch.setattr(sys, "argv", [*command.split(), pretrained])
        runpy.run_path(clip_benchmark.__file__, run_name="__main__")  # as `python -m` does
        found.append(json.loads((tmp_path / "en.json").read_text())["metrics"]["image_retrieval_recall@1"])
    towers = export_towers()
    gallery = towers.image.encode_image([tmp_path / f"{i}.jpg" for i in range(len(shown))])
    evaluator = RetrievalEvaluator(gallery, [i % len(shown) for i in range(len(TEXTS))])
    ours = [
        evaluator(text.encode_text(TEXTS)).metrics["text_to_image"].recall[1]
        for text in (towers.text, merge_adapter(files["cs"], towers.text))
    ]
    assert found == pytest.approx(ours)
    monkeypatch.setitem(sys.modules, "clip_benchmark.models", None)
    with pytest.raises(ConfigError, match=r"CLIP_benchmark is needed: pip install -e '.\[harness\]'"):
        clip_benchmark.main()
