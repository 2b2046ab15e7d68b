"""Trackers of other packages in folders whose names these packages do not take as they are."""

import os

import pytest
from helpers.tracked import LAST_STEP, read_mlflow, read_trackio, read_wandb

from pecl.training.trackers import TRACKERS

RUN = "de-method1-0123456789abcdef"
NAMES = {"mlflow": "m?x=1 %20#é", "wandb": "m?x=1 %20#/é:".replace("/", "\\") + "x" * 130, "trackio": "m?x=1 é"}
READERS = {"mlflow": read_mlflow, "wandb": read_wandb, "trackio": read_trackio}


@pytest.mark.parametrize("name", NAMES)
def test_a_curve_is_in_its_folder_whatever_the_name(name, tmp_path, monkeypatch):
    for variable in ("WANDB_MODE", "WANDB_PROJECT", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(variable, raising=False)
    folder = tmp_path / NAMES[name]
    monkeypatch.setenv("TRACKIO_DIR", os.environ.get("TRACKIO_DIR", str(folder / "trackio")))
    # which reads its folder at import
    pytest.importorskip(name, reason=f"{name} is not installed" + " (it needs Pillow < 13)" * (name == "trackio"))
    tracker = TRACKERS[name](folder)
    tracker.log_config(RUN, {"epochs": 4}, 0)
    for step in (2, LAST_STEP):
        tracker.log(RUN, {"loss": 0.5}, step)
    tracker.log(RUN, {"test/best/text_to_image/recall@1": 0.25}, LAST_STEP)  # of a step that has a row
    tracker.close(RUN)
    rows = READERS[name](folder, RUN)
    expected = [("loss", 2, 0.5), ("loss", LAST_STEP, 0.5), ("test/best/text_to_image/recall@1", LAST_STEP, 0.25)]
    assert sorted(rows) == expected
    assert list(tmp_path.iterdir()) == [folder]
