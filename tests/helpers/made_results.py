"""Trainings of tiny towers on a table of captions with pictures, for the page of results."""

import csv

from PIL import Image

from helpers.small_experiment import SMALL, tiny_towers
from pecl.config import make_config
from pecl.experiment.run import train


def trained_results(table, out, *changes):
    """Return the results of trainings on `table`, each with other values, in the folder `out`."""
    config = {**SMALL, "dataset": table, "out": str(out), "shots": 10}
    return [train(make_config({**config, **change}), load=lambda *_: tiny_towers()) for change in changes]


def write_table(folder, special=None):
    """Write 60 small pictures and invented captions into `folder`; `special` is index -> caption."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "captions.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        columns = ["en", "de", "cs", "de_to_en", "cs_to_en"]
        writer.writerow(["image", *columns])
        for i in range(60):
            Image.new("RGB", (160, 90), (4 * i, 255 - 4 * i, 41 * i % 256)).save(folder / f"{i}.png")
            captions = [(special or {}).get(i, f"{code} caption number {i}") for code in columns]
            writer.writerow([f"{i}.png", *captions])
    return str(folder / "captions.csv")
