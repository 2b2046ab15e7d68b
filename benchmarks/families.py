"""Encoding captions with each family of text towers: pecl compared with the tower's own package.

The package is transformers' `get_text_features`, open_clip's `encode_text` or
sentence-transformers' `encode`, in fp32 and in a separate process, where pecl does not change
memory allocation. Captions come in batches of 100, mixed: 500 of XTD10 in eleven languages, or of
drawn scenes if XTD10 is missing. pecl and the package alternate, batch by batch.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from encoding import captions
from figures import Figure, seconds
from true_forms import FORMS

from pecl.encoders.towers import load_text_encoder
from pecl.machine import BF16, FP32

COUNT, BATCH = 500, 100
WANTED = {FP32: 1.5, BF16: 2.5}
WANTED_FIXED = 1.2  # of SigLIP, whose padding is part of a text


def mixed_captions() -> list[str]:
    """Return captions of all languages, mixed."""
    texts = captions(small=False)
    chosen = torch.randperm(len(texts), generator=torch.Generator().manual_seed(0))[:COUNT]
    return [texts[i] for i in chosen.tolist()]


def timed(
    embed: Callable[[list[str]], torch.Tensor],
    texts: list[str],
) -> tuple[float, torch.Tensor]:
    """Return the seconds that `embed` takes, and its embeddings."""
    embeddings: list[torch.Tensor] = []
    return seconds(lambda: embeddings.append(embed(texts))), embeddings[0]


def embed_with_package(connection: Connection, name: str, folder: str, threads: int) -> None:
    """Answer each batch of texts with the seconds that the package took, and its embeddings, until an empty message."""
    torch.set_num_threads(threads)
    embed = torch.inference_mode()(FORMS[name].read(Path(folder)))
    while texts := connection.recv():
        took, embeddings = timed(embed, texts)
        connection.send((took, embeddings.numpy()))


def measure_family(name: str, texts: list[str]) -> list[Figure]:
    """Measure the ratios of one family, in fp32 and in bf16."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        FORMS[name].write(Path(folder))
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        arguments = theirs, name, folder, torch.get_num_threads()
        process = context.Process(target=embed_with_package, args=arguments, daemon=True)
        process.start()
        towers = {precision: load_text_encoder(folder) for precision in (FP32, BF16)}
        towers[BF16].use_bfloat16()
        ours.send(texts[:8])  # the answer comes when the package has read the folder
        ours.recv()

    ways = {precision: partial(tower.encode_text, normalize=False) for precision, tower in towers.items()}
    times = dict.fromkeys(ways, 0.0)
    package = 0.0
    difference = 0.0
    for encode in ways.values():
        encode(texts[:8])

    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        ours.send(batch)
        took, expected = ours.recv()
        package += took
        for precision, encode in ways.items():
            took, embeddings = timed(encode, batch)
            times[precision] += took
            if precision == FP32:
                difference = max(difference, float((embeddings - torch.from_numpy(expected)).abs().max()))

    ours.send(None)
    process.join()
    details = {"captions": len(texts), "seconds": times | {"package": package}, "difference": difference}
    return [
        Figure(
            f"{name}, pecl in {precision} against {FORMS[name].package}",
            package / times[precision],
            wanted=f">= {WANTED_FIXED if towers[FP32].reads_last else WANTED[precision]}",
            details=details,
        )
        for precision in towers
    ]


def measure(small: bool, device: str) -> list[Figure]:
    """Measure all families on the CPU."""
    texts = mixed_captions()
    return [figure for name in FORMS for figure in measure_family(name, texts)]
