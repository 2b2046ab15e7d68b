"""Translated text for the small experiment: tables of invented sentences, and a distillation of a few steps."""

from helpers.small_experiment import SMALL
from helpers.tiny import sentences

TEXT_PAIRS = 60
HELD_OUT = 12
DISTILLATION = {
    **{name: SMALL[name] for name in ("language", "shots")},
    "adapter": "lora:r=2+head:rank=3",
    "batch_size": 8,
    "epochs": 1,
    "eval_every": 2,
    "held_out": HELD_OUT,
    "lr": 1e-2,
    "solver": "closed-form+gradient+closed-form",
    "warmup": 2,
}  # over the defaults of `pecl distil`: six steps


def write_text(path, pairs=None):
    """Write a table of English, German and French, or of given pairs (English, German), and return its path."""
    if pairs is None:
        columns = [sentences(TEXT_PAIRS, seed=40 + i) for i in range(3)]
        rows = ["\t".join(f"{word} t{i}" for word in row) for i, row in enumerate(zip(*columns, strict=True))]
        path.write_text("\n".join(["en\tde\tfr", *rows]) + "\n", "utf-8")
    else:
        path.write_text("\n".join(["en\tde", *("\t".join(pair) for pair in pairs)]) + "\n", "utf-8")
    return str(path)
