"""pecl as a type of model in CLIP_benchmark's own command line."""

import json
import runpy
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
from helpers.adapter_towers import TEXTS
from helpers.exporting import export_towers, pictures, write_adapters
from scipy.optimize import linear_sum_assignment

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


def test_its_command_classifies_babel_imagenet_with_an_adapter(tmp_path, monkeypatch):
    """ImageNet has 1,000 classes: here one picture each. Babel-ImageNet names 18 of them in Oromo."""
    package = Path(import_module("clip_benchmark.datasets.builder").__file__).parent
    indices, names = json.loads((package / "babel_imagenet.json").read_text("utf-8"))["OM"]
    templates = json.loads((package / "nllb_dist13b_prompts.json").read_text("utf-8"))["OM"]
    files = write_adapters(tmp_path)
    monkeypatch.setattr("pecl.encoders.towers.load_towers", export_towers)
    towers = export_towers()
    text = merge_adapter(files["cs"], towers.text)

    # Each class has the picture that fits it, as far as each picture has one class
    embeddings = [text.encode_text([template.format(name) for template in templates]) for name in names]
    classes = torch.nn.functional.normalize(torch.stack(embeddings), dim=-1).mean(1)
    shown = pictures(18)
    scores = towers.image.encode_image(shown) @ torch.nn.functional.normalize(classes, dim=-1).T  # (picture, class)
    picture_of = linear_sum_assignment(-scores.T)[1]
    of_class = scores[picture_of]
    ranks = (of_class > of_class.diag()[:, None]).sum(1)

    wnids = [f"n{i:08}" for i in range(1000)]
    for number, wnid in enumerate(wnids):
        (tmp_path / "val" / wnid).mkdir(parents=True)
        picture = shown[picture_of[indices.index(number)]] if number in indices else shown[0].resize((4, 4))
        picture.save(tmp_path / "val" / wnid / "0.png")
    torch.save(({wnid: (f"class {wnid}",) for wnid in wnids}, wnids), tmp_path / "meta.bin")

    command = (
        f"clip_benchmark eval --dataset babel_imagenet --dataset_root {tmp_path} --language OM --model_type pecl "
        f"--model mini --pretrained {files['cs'].path} --output {tmp_path}/out.json --num_workers 0 --quiet --no_amp"
    )
    monkeypatch.setattr(sys, "argv", command.split())
    runpy.run_path(clip_benchmark.__file__, run_name="__main__")
    metrics = json.loads((tmp_path / "out.json").read_text())["metrics"]
    assert metrics["acc1"] == pytest.approx(float((ranks < 1).float().mean()))
    assert metrics["acc5"] == pytest.approx(float((ranks < 5).float().mean()))
    assert 0 < metrics["acc1"] < metrics["acc5"] < 1
