"""What each tracker's package reads of a run: rows of metric, step and value."""

import csv
import re
import struct
import time
from urllib.parse import quote

import pytest

LAST_STEP = 8  # of the small experiment


def read_csv(out, run):
    with (out / "metrics" / f"{run}.csv").open(newline="", encoding="utf-8") as file:
        return [(row["metric"], int(row["step"]), float(row["value"])) for row in csv.DictReader(file)]


def read_tensorboard(out, run):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(out / "tensorboard" / run)).Reload()
    return [(tag, event.step, event.value) for tag in events.Tags()["scalars"] for event in events.Scalars(tag)]


def read_mlflow(out, run):
    mlflow = pytest.importorskip("mlflow")
    client = mlflow.MlflowClient(f"sqlite:///{quote(str(out / 'mlflow.db'))}")
    experiment = client.get_experiment_by_name(out.name)
    (found,) = client.search_runs([experiment.experiment_id], f"tags.mlflow.runName = '{run}'")
    assert found.info.status == "FINISHED"
    histories = [client.get_metric_history(found.info.run_id, name) for name in found.data.metrics]
    metrics = [metric for history in histories for metric in history]
    assert all(abs(metric.timestamp / 1000 - time.time()) < 86400 for metric in metrics)  # MLflow counts milliseconds
    return [(metric.key.replace("_at_", "@"), metric.step, metric.value) for metric in metrics]


def wandb_records(path):
    """Yield the messages of an offline run: a log of LevelDB, in blocks of 32 KiB, after a header of 7 bytes."""
    content, place, message = path.read_bytes(), 7, b""
    while place + 7 <= len(content):
        if (left := 2**15 - place % 2**15) < 7:  # no header fits into the rest of a block
            place += left
            continue
        size, kind = struct.unpack("<HB", content[place + 4 : place + 7])
        message += content[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # a whole message, or the last part of one
            yield message
            message = b""


def read_wandb(out, run):
    wandb = pytest.importorskip("wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    # Its service writes the file in the background: a finished run may still be in its buffer.
    wandb.teardown()

    rows = []
    for path in sorted(out.glob(f"wandb/offline-run-*-{run[-16:]}/*.wandb")):
        for message in wandb_records(path):
            record = Record.FromString(message)
            values = {item.key or item.nested_key[0]: item.value_json for item in record.history.item}
            if values:
                step = record.history.step.num
                rows += [(name, step, float(value)) for name, value in values.items() if name[0] != "_"]
            updates = {item.key or item.nested_key[0]: item.value_json for item in record.summary.update}
            rows += [(name, LAST_STEP, float(value)) for name, value in updates.items() if "@" in name]
    return rows


def read_trackio(out, run):
    pytest.importorskip("trackio")
    from trackio.sqlite_storage import SQLiteStorage

    rows = SQLiteStorage.get_logs(re.sub(r"[^\w-]", "-", out.name), run)  # as trackio asks of the name of a project
    names = {name for row in rows for name in row} - {"step", "timestamp"}
    return [(name, row["step"], row[name]) for row in rows for name in sorted(names) if row.get(name) is not None]
