"""The paper's pair at its true size, released procedure and pecl: `python benchmarks/large.py --folder FOLDER`.

Writes a pair with random weights into FOLDER once (XLM-R Large 2.2 GB, CLIP ViT-L/14 1.7 GB, in the
published formats), loads it, and takes 3 steps of method1 with LoRA at batch size 5 on captions and
images of `scenes`. One earlier step of each procedure is not timed. The protocol is the paper's: 50
training pairs, 50 epochs (500 steps), and every 5 steps a validation on 50 pairs.

- released procedure: encodes images again in every step and validation, query and anchor in two padded passes;
- pecl: encodes every image once before training, query and anchor in one pass without padding.

Both run in one process on the same modules, in alternation. Seconds per step include validation and
images. Takes five to ten minutes on 2 cores and 5 GB of memory (weights are memory-mapped, so
loading touches little).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from figures import Figure, seconds
from PIL import Image
from safetensors.torch import save_file
from transformers import AutoModel, CLIPConfig, CLIPImageProcessor, CLIPModel

from pecl.adapters.adapter import Adapter, attach
from pecl.adapters.kinds.lora import LoraConfig
from pecl.data.captions import ParallelCaptions
from pecl.data.scenes import load_scenes
from pecl.encoders.loading.mini import load_mini_text
from pecl.encoders.loading.text import base_config
from pecl.encoders.towers import Towers, load_towers
from pecl.files import write_json
from pecl.machine import BF16, FP32, process_peak_mb
from pecl.retrieval.evaluator import RetrievalEvaluator
from pecl.training.losses import Objective, RouteLoss
from pecl.training.schedule import Schedule
from pecl.training.slot_run import Rows, SlotRun
from pecl.training.trainer import Trainer

SHOTS = 50  # pairs for training, and the same number for validation
SCHEDULE = Schedule(epochs=50, batch_size=5, eval_every=5)
TIMED_STEPS = 3
OBJECTIVE = Objective(("mse",), alignment_weight=0.03)
LR = 1e-4
WIDTH = 768  # of the joint space


def random_state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return weights for `model`, which may be on the meta device: norms 1, all else N(0, 0.02)."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.ones(tensor.shape)
        if "norm" in name.lower() and name.endswith("weight")
        else torch.empty(tensor.shape).normal_(0, 0.02, generator=generator)
        for name, tensor in model.state_dict().items()
    }


def write_text_tower(folder: Path) -> None:
    """Write an M-CLIP checkpoint in the format of 2022: one `.bin`, with an unused pooler and buffer."""
    with torch.device("meta"):
        encoder = AutoModel.from_config(base_config("xlm-roberta-large"))
        linear = torch.nn.Linear(1024, WIDTH)

    state = {f"transformer.{name}": tensor for name, tensor in random_state(encoder).items()}
    state["transformer.embeddings.position_ids"] = torch.arange(514).unsqueeze(0)
    state |= {f"LinearTransformation.{name}": tensor for name, tensor in random_state(linear).items()}
    # XLM-R's vocabulary
    load_mini_text(heads=None).tokenizer.in_transformers.save_pretrained(folder)
    config = {
        "architectures": ["MultilingualCLIP"],
        "modelBase": "xlm-roberta-large",
        "model_type": "M-CLIP",
        "numDims": WIDTH,
        "transformerDimensions": 1024,
    }
    torch.save(state, folder / "pytorch_model.bin")
    write_json(folder / "config.json", config)  # last, as a mark that the folder is complete


def write_image_tower(folder: Path) -> None:
    """Write a complete CLIP ViT-L/14, both towers, as safetensors."""
    half = {"num_attention_heads": 16, "projection_dim": WIDTH}
    vision = {**half, "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "patch_size": 14}
    text = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "projection_dim": WIDTH}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH)
    with torch.device("meta"):
        model = CLIPModel(config)

    folder.mkdir(parents=True, exist_ok=True)
    save_file(random_state(model), folder / "model.safetensors")
    CLIPImageProcessor().save_pretrained(folder)
    config.save_pretrained(folder)


def write_pair(folder: Path) -> None:
    """Write missing files in a separate process, so that this process's peak memory is that of loading."""
    for name, write in (("text", write_text_tower), ("image", write_image_tower)):
        if not (folder / name / "config.json").exists():
            process = multiprocessing.get_context("spawn").Process(target=write, args=(folder / name,))
            process.start()
            process.join()
            if process.exitcode:
                raise SystemExit(f"writing {folder / name} failed")


def pictures(data: ParallelCaptions, indices: range) -> list[Image.Image]:
    """Return the images of the pairs at `indices`."""
    return [data.images.load(data.image_index[i]) for i in indices]


class Way(NamedTuple):
    """A training procedure: a numbered step on its pairs, and a validation."""

    step: Callable[[int], Any]
    validate: Callable[[], Any]


def released_way(
    towers: Towers,
    adapter: Adapter,
    train: ParallelCaptions,
    val: ParallelCaptions,
) -> Way:
    """Return the released procedure, which computes everything again in each step."""
    text = towers.text
    image = towers.image
    size = SCHEDULE.batch_size
    optimizer = torch.optim.Adam(adapter.parameters(), lr=LR)

    def embed(texts: tuple[str, ...]) -> torch.Tensor:
        batch = text.pad(text.tokenize(texts), range(len(texts)))
        return text(batch.input_ids, batch.attention_mask)

    def step(i: int) -> None:
        text.packing = False  # batches are padded to their longest text
        rows = slice(i * size, (i + 1) * size)
        images = image.encode_image(pictures(train, range(rows.start, rows.stop)), normalize=False)
        text.train()
        loss = OBJECTIVE(embed(train.target[rows]), embed(train.english[rows]), images.to(text.device))
        text.eval()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        text.packing = True

    def validate() -> None:
        gallery = image.encode_image(pictures(val, range(SHOTS)))
        text.packing = False
        RetrievalEvaluator(gallery, range(SHOTS))(text.encode_text(val.target))
        text.packing = True

    return Way(step, validate)


def pecls_way(
    towers: Towers,
    adapter: Adapter,
    train: ParallelCaptions,
    val: ParallelCaptions,
) -> tuple[Way, float]:
    """Return pecl's procedure, and the seconds for embedding the images of training and validation once."""
    text = towers.text
    embeddings = {}

    def embed_images() -> None:
        embeddings["val"] = towers.image.encode_image(pictures(val, range(SHOTS)))

    used = SCHEDULE.batch_size * (TIMED_STEPS + 1)
    # Not timed, because the first call reads the weights
    images = towers.image.encode_image(pictures(train, range(used)), normalize=False)
    images_seconds = seconds(embed_images)
    evaluator = RetrievalEvaluator(embeddings["val"], range(SHOTS))
    val_ids = text.tokenize(val.target)
    first = train.select(range(used))
    pairs = Rows.of_route(text.tokenize(first.target), text.tokenize(first.english), images)
    run = SlotRun(pairs, RouteLoss(OBJECTIVE), LR, seed=1)
    trainer = Trainer(
        adapter, [run], SCHEDULE, lambda slots: [evaluator(text.encode_token_ids(val_ids)).mean_recall_at_1]
    )

    return Way(lambda _: trainer.train_step(), lambda: trainer.validate([0])), 2 * images_seconds


def by_turns(ways: Mapping[str, Way]) -> dict[str, dict[str, float]]:
    """Return seconds per step (mean of `TIMED_STEPS` after a first one) and per validation of each procedure.

    The procedures alternate, so a slow phase of the machine slows both.
    """
    for way in ways.values():
        way.step(0)
    steps = dict.fromkeys(ways, 0.0)
    for i in range(1, TIMED_STEPS + 1):
        for name, way in ways.items():
            steps[name] += seconds(lambda way=way, i=i: way.step(i)) / TIMED_STEPS
    return {name: {"step": steps[name], "validation": seconds(way.validate)} for name, way in ways.items()}


def compare(folder: Path, precision: str = FP32, device: str = "cpu") -> dict[str, Any]:
    """Write the pair if it is missing, load it, and time both procedures; `precision` is pecl's."""
    write_pair(folder)
    names = "paper", str(folder / "text"), str(folder / "image"), device
    towers = load_towers(*names)
    load_seconds = seconds(lambda: (towers.text, towers.image))
    load_peak = process_peak_mb()
    data = load_scenes("de", size=2 * SHOTS)
    train = data.select(range(SHOTS))
    val = data.select(range(SHOTS, 2 * SHOTS))
    adapter = attach(towers.text, LoraConfig())
    measured = towers if precision == FP32 else load_towers(*names, precision=precision)
    pecl, images_once = pecls_way(
        measured, adapter if measured is towers else attach(measured.text, LoraConfig()), train, val
    )
    times = by_turns({"released": released_way(towers, adapter, train, val), "pecl": pecl})
    for way in times.values():
        way["step_with_validation"] = way["step"] + way["validation"] / SCHEDULE.eval_every

    times["pecl"]["images_once"] = images_once
    times["pecl"]["step_with_validation"] += images_once / SCHEDULE.steps(SHOTS)
    return {
        "load_seconds": load_seconds,
        "load_peak_mb": load_peak,
        "peak_mb": process_peak_mb(),
        "threads": torch.get_num_threads(),
        "released_seconds": times["released"],
        "pecl_seconds": times["pecl"],
        "ratio": times["released"]["step_with_validation"] / times["pecl"]["step_with_validation"],
    }


def measure(small: bool, device: str) -> list[Figure]:
    """Return the ratio of a step with its share of validation, or no figure if `small`."""
    if small:
        return []
    with tempfile.TemporaryDirectory() as folder:
        results = {precision: compare(Path(folder), precision, device) for precision in (FP32, BF16)}
    name = "a step of XLM-R Large with ViT-L/14 in {} against the released procedure"
    return [Figure(name.format(p), result["ratio"], wanted=">= 8", details=result) for p, result in results.items()]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="folder of the random pair, written if missing")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--precision", default=FP32, choices=(FP32, BF16), help="precision of pecl (default: fp32)")
    arguments = parser.parse_args()
    figures = compare(arguments.folder, arguments.precision)
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return

    print(f"loading: {figures['load_seconds']:.1f} s, peak {figures['load_peak_mb'] / 1024:.2f} GiB")
    for way in ("released", "pecl"):
        times = figures[f"{way}_seconds"]
        print(
            f"{way}: {times['step_with_validation']:.2f} s per step "
            f"(step {times['step']:.2f} s, validation {times['validation']:.1f} s)"
        )

    print(f"ratio: {figures['ratio']:.1f}")


if __name__ == "__main__":
    main()
