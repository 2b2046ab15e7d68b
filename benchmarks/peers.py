"""Captions, single queries and photographs per second: pecl next to the packages that people would use instead.

    python benchmarks/peers.py                                    all ways, 800 captions and 200 photographs
    python benchmarks/peers.py --captions 100 --photographs 16    few items, on a busy machine
    python benchmarks/peers.py --ways pecl-fp32,timm --json peers.json

All ways have the weights of the mini pair. The rounds interleave the ways, each in its own process,
because thread pools disturb each other; the best round of each counts. On one thread, seconds are
CPU seconds. Captions are encoded in batches of 64 sorted by length; a query is one caption.
Photographs are decoded and resized before. pecl embeds texts by a bank of two languages, as
`pecl.load_bank` returns it: the way `pecl` has no option, the others name a precision or PyTorch.
OpenVINO and onnxruntime run the graphs that `pecl export onnx` writes, without an adapter. They need
`pip install -e '.[openvino,export]'`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from figures import seconds

import pecl
from pecl.apps.export.onnx import TEXT_FILE, VISION_FILE, export_onnx
from pecl.backends import TORCH
from pecl.data.scenes import load_scenes
from pecl.encoders.batches import batches
from pecl.encoders.towers import load_towers
from pecl.errors import not_none
from pecl.files import write_json
from pecl.machine import BF16, FP32, peak_memory_mb

BATCH = 64  # captions
PHOTOGRAPHS = 4  # in a batch of the other ways
QUERIES = 15
LANGUAGES = ("cs", "de")
CAPTIONS = 800  # of each language, at most
NAMES = ("captions", "photographs", "threads")  # flags that every process gets
WIDTHS = (11, 10, 14, 7)  # of the columns

EmbedText = Callable[[Sequence[str]], Any]
EmbedImages = Callable[[torch.Tensor], Any]  # pixels (N, 3, H, W)
Graph = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True)
class Speed:
    """The speed of one way; None for what it does not do."""

    captions_per_second: float | None
    query_milliseconds: float | None
    photographs_per_second: float | None
    memory_mib: float


def captions_of(language: str) -> list[str]:
    """Return captions of drawn scenes."""
    return load_scenes(language, size=CAPTIONS).target


def by_pecl(**options: str) -> tuple[EmbedText, EmbedImages]:
    """Return the functions of a bank and an image tower that are loaded with `options`."""
    bank = pecl.load_bank("mini", LANGUAGES, **options)
    image = pecl.load_image_encoder("mini", **options)

    def encode_text(texts: Sequence[str]) -> None:
        bank.encode_text(texts, language=[language_of[text] for text in texts])

    def encode_images(pixels: torch.Tensor) -> None:
        for batch in pixels.split(image.default_batch_size):
            image.encode_pixels(batch)

    language_of = {text: language for language in LANGUAGES for text in captions_of(language)}
    return encode_text, encode_images


def by_transformers(dtype: torch.dtype) -> tuple[EmbedText, None]:
    """Return a loop over sorted, padded batches with transformers' model, of type `dtype`."""
    tower = load_towers("mini").text
    backbone = tower.written_backbone().to(dtype)

    @torch.inference_mode()
    def encode(texts: Sequence[str]) -> None:
        for batch in batches(tower.tokenize(texts), BATCH, tower.tokenizer.pad_token_id, 1.0):
            output = backbone(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
            mask = batch.attention_mask.unsqueeze(-1)  # (B, L, 1)
            mean = (output.last_hidden_state.float() * mask).sum(1) / mask.sum(1)  # (B, d)
            tower.head(mean)

    return encode, None


def by_timm() -> tuple[None, EmbedImages]:
    """Return a loop with timm's model as `timm.create_model` returns it."""
    tower = load_towers("mini").image

    @torch.inference_mode()
    def encode(pixels: torch.Tensor) -> None:
        for batch in pixels.split(PHOTOGRAPHS):
            tower.head(tower.backbone(batch))

    return None, encode


def openvino_core() -> Any:
    """Return OpenVINO's core, as pecl opens it: without reports of usage."""
    from pecl.backends.openvino_graphs import core

    return core()


def by_openvino(hint: str, folder: Path, threads: int) -> tuple[EmbedText, EmbedImages]:
    """Return loops with OpenVINO over exported graphs; `hint` is f32 or bf16."""
    core = openvino_core()
    settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    return by_graphs(*(core.compile_model(folder / name, "CPU", settings) for name in (TEXT_FILE, VISION_FILE)))


def by_onnxruntime(folder: Path, threads: int) -> tuple[EmbedText, EmbedImages]:
    """Return loops with onnxruntime over exported graphs, in fp32."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = threads
    sessions = [InferenceSession(folder / name, options) for name in (TEXT_FILE, VISION_FILE)]
    return by_graphs(*(lambda feed, session=session: session.run(None, feed) for session in sessions))


def by_graphs(text_model: Graph, image_model: Graph) -> tuple[EmbedText, EmbedImages]:
    """Return loops over batches of texts and of images for compiled graphs."""
    text = load_towers("mini").text

    def encode_text(texts: Sequence[str]) -> None:
        for batch in batches(text.tokenize(texts), BATCH, text.tokenizer.pad_token_id, 1.0):
            text_model({"input_ids": batch.input_ids.numpy(), "attention_mask": batch.attention_mask.numpy()})

    def encode_images(pixels: torch.Tensor) -> None:
        for batch in pixels.split(PHOTOGRAPHS):
            image_model({"pixel_values": batch.numpy()})

    return encode_text, encode_images


def made(way: str, folder: Path, threads: int) -> tuple[EmbedText | None, EmbedImages | None]:
    """Return the functions of a way for texts and for images."""
    ways: dict[str, Callable[[], tuple[EmbedText | None, EmbedImages | None]]] = {
        "pecl": by_pecl,
        "pecl-fp32": lambda: by_pecl(precision=FP32),
        "pecl-torch-fp32": lambda: by_pecl(backend=TORCH, precision=FP32),
        "pecl-torch-bf16": lambda: by_pecl(backend=TORCH, precision=BF16),
        "transformers-fp32": lambda: by_transformers(torch.float32),
        "transformers-bf16": lambda: by_transformers(torch.bfloat16),
        "timm": by_timm,
        "onnxruntime": lambda: by_onnxruntime(folder, threads),
        "openvino-f32": lambda: by_openvino("f32", folder, threads),
        "openvino-bf16": lambda: by_openvino("bf16", folder, threads),
    }
    return ways[way]()


WAYS = (
    *("pecl", "pecl-fp32", "pecl-torch-fp32", "pecl-torch-bf16"),
    *("transformers-fp32", "transformers-bf16", "timm", "onnxruntime", "openvino-f32", "openvino-bf16"),
)


def left_out(ways: Sequence[str]) -> dict[str, str]:
    """Return the reason for each of `ways` that cannot be measured here."""
    if importlib.util.find_spec("openvino") is None:
        return {way: "the package openvino is missing" for way in ways if "openvino" in way}
    slow = [way for way in ways if "openvino" in way and "bf16" in way]
    if slow and "BF16" not in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return dict.fromkeys(slow, "OpenVINO has no bf16 on this processor, and would compute in fp32")
    return {}


def measure(way: str, folder: Path, captions: int, photographs: int, threads: int) -> Speed:
    """Measure one way, in this process."""
    torch.set_num_threads(threads)
    half = captions // 2
    texts = [text for language in LANGUAGES for text in captions_of(language)[:half]]
    images = not_none(load_scenes("de", size=max(photographs, 20)).images, "images of scenes")
    preprocess = load_towers("mini").image.preprocess
    pixels = torch.stack([preprocess(images.load(i)) for i in range(photographs)])  # (N, 3, H, W)

    embed_text, embed_images = made(way, folder, threads)

    per_second = query = photographs_per_second = None
    if embed_text is not None:
        queries = texts[:QUERIES]
        for text in queries:  # a package may prepare itself for each length
            embed_text([text])
        query = 1000 * median(seconds(lambda text=text: embed_text([text])) for text in queries * 3)
        embed_text(texts[:BATCH])
        per_second = len(texts) / seconds(lambda: embed_text(texts))

    if embed_images is not None:
        embed_images(pixels[:16])  # batches of every shape
        photographs_per_second = len(pixels) / seconds(lambda: embed_images(pixels))

    return Speed(per_second, query, photographs_per_second, peak_memory_mb(torch.device("cpu")))


def best(rounds: Sequence[Speed]) -> Speed:
    """Return the best figure of each kind: other work on the machine only makes figures worse."""
    values = {
        name: [value for speed in rounds if (value := asdict(speed)[name]) is not None] for name in asdict(rounds[0])
    }
    smaller = ("query_milliseconds", "memory_mib")
    return Speed(**{name: (min if name in smaller else max)(numbers, default=None) for name, numbers in values.items()})


def main() -> None:
    """Measure every way in a process of its own, by turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ways", default=",".join(WAYS), help=f"some of {', '.join(WAYS)} (default: all)")
    parser.add_argument("--captions", type=int, default=800, help="captions in Czech and German (default: 800)")
    parser.add_argument("--photographs", type=int, default=200, help="pictures of scenes (default: 200)")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each way (default: 2)")
    parser.add_argument("--threads", type=int, default=1, help="1, the default, counts CPU seconds")
    parser.add_argument("--json", type=Path, help="file for the result")
    # measure this way in this process
    parser.add_argument("--one", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--graphs", type=Path, default=Path(), help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    sizes = parsed.captions, parsed.photographs, parsed.threads
    if parsed.one is not None:
        print(json.dumps(asdict(measure(parsed.one, parsed.graphs, *sizes))))
        return

    ways = parsed.ways.split(",")
    unknown = [way for way in ways if way not in WAYS]
    if unknown:
        parser.error(f"--ways: expected some of {', '.join(WAYS)}, got {unknown[0]}")

    reasons = left_out(ways)
    for way, reason in reasons.items():
        print(f"{way} is left out: {reason}", file=sys.stderr)

    ways = [way for way in ways if way not in reasons]
    speeds: dict[str, list[Speed]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        graphs = Path(folder) / "graphs"
        if any(way.startswith(("openvino", "onnxruntime")) for way in ways):
            towers = load_towers("mini")
            export_onnx(towers.text, towers.image, graphs)

        for _ in range(parsed.rounds):
            for way in ways:
                command = [sys.executable, __file__, "--one", way, "--graphs", str(graphs)]
                command += [f"--{name}={value}" for name, value in zip(NAMES, sizes, strict=True)]
                output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                speeds[way].append(Speed(**json.loads(output.splitlines()[-1])))

    table = {way: best(rounds) for way, rounds in speeds.items()}
    print(f"{'':20} {'captions/s':>11} {'query, ms':>10} {'photographs/s':>14} {'MiB':>7}")
    for way, speed in table.items():
        cells = [speed.captions_per_second, speed.query_milliseconds, speed.photographs_per_second, speed.memory_mib]
        shown = [f"{'' if cell is None else f'{cell:.1f}':>{width}}" for cell, width in zip(cells, WIDTHS, strict=True)]
        print(f"{way:20}", *shown)

    if parsed.json:
        document = {"ways": {way: asdict(speed) for way, speed in table.items()}, "threads": parsed.threads}
        write_json(parsed.json, document | {"captions": parsed.captions, "photographs": parsed.photographs})


if __name__ == "__main__":
    main()
