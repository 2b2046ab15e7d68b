"""Results for reports, made by hand: ranks are given, and metrics are counted from them here."""

import copy
from statistics import mean

from helpers.retrieval import plain_metrics
from pecl.config import make_config
from pecl.results.result import UnfinishedRun, run_from_json, write_result

DIRECTIONS = {"images": ("image_to_text", "text_to_image"), "english": ("english_to_text", "text_to_english")}
SOFTWARE = {
    "peak_memory_mb": 1700.0,
    "versions": {"pecl": "0.1.0"},
    "machine": {"platform": "Linux", "threads": 1},
    "commit": None,
    "dirty": None,
}


def ranked(hits, size):
    """Return ranks of `size` items of which the first `hits` are found at once."""
    return [1] * hits + [size] * (size - hits)


def both(image_to_text, text_to_image):
    return {"image_to_text": image_to_text, "text_to_image": text_to_image}


def recalls(ranks):
    """Return the metrics that results hold, counted from direction -> ranks."""
    directions = {name: plain_metrics([[rank] for rank in own], len(own)) for name, own in ranks.items()}
    return {**directions, **means([own[f"recall@{k}"] for k in (1, 5, 10) for own in directions.values()])}


def means(values):
    """Return the means of a stage; the first two of `values` are the recalls@1 of both directions."""
    return {"mean_recall@1": mean(values[:2]), "mean_recall": mean(values)}


def document(kind, states, *, query="target", dataset="xtd10", val=0.5, towers=("text", "image"), sha=None, **values):
    """Return the JSON object of a complete result of `kind`; `states` is state -> direction -> ranks."""
    config = make_config(values)
    gallery_first, _ = next(iter(states.values())).values()
    text, image = ({"name": name, "fingerprint": f"{name}-fingerprint"} for name in towers)
    result = {
        "schema": 1,
        "run_id": config.run_id(kind),
        "kind": kind,
        "status": "complete",
        "config": {**config.to_record(), "dataset": dataset},
        "data": {
            "dataset": dataset,
            "language": config.language,
            "captions": len(gallery_first),
            "query": {"test": query},
            "split": {"train": config.shots or 1000, "val": config.shots or 1000, "test": len(gallery_first)},
            "sha256": {"english": "e" * 64, "target": "t" * 64, "target_to_english": "m" * 64} | (sha or {}),
            "provenance": {},
            "gallery": {"kind": config.gallery, "size": len(gallery_first)},
        },
        "towers": {"text": text, "image": image},
        "metrics": {"test": {name: recalls(ranks) for name, ranks in states.items()}},
        "ranks": {"test": states},
        **SOFTWARE,
    }
    if kind == "train":
        result["metrics"]["val"] = {"zero_shot": means([0.3, 0.3]), "best": means([val, val])}
        result["adapter"] = {"spec": config.adapter, "trainable": 1000, "total": 10**6, "share": 0.001}
        result |= {"steps": 10, "best_step": 10, "seconds": {"train": 1.0, "per_step": 0.1}}
        result["fleet"] = {"size": 1, "slot": 0}
        result["curve"] = {"loss": [[5, 2.0], [10, 1.0]], "val_mean_recall@1": [[5, 0.4], [10, 0.5]]}
    return result


def made(kind, states, **values):
    """Return a complete result of `kind`; `states` is state -> direction -> ranks, the rest as in `document`."""
    return run_from_json(document(kind, states, **values))


def changed(result, changes):
    """Return a result with other values; `changes` is dotted path in its JSON -> value."""
    found = copy.deepcopy(result.to_json())
    for path, value in changes.items():
        *parents, last = path.split(".")
        inner = found
        for key in parents:
            inner = inner[key]
        inner[last] = value
    return run_from_json(found)


def train(before, after, *, size=20, val=0.5, **values):
    """Return a training whose first `before`, then `after`, of `size` items are found at once in both directions."""
    states = {
        name: both(ranked(hits, size), ranked(hits, size))
        for name, hits in {"zero_shot": before, "final": after, "best": after}.items()
    }
    return made("train", states, val=val, **{"language": "de", **values})


def evaluate(hits, *, size=20, **values):
    return made("evaluate", {"zero_shot": both(ranked(hits, size), ranked(hits, size))}, **values)


def unfinished(result, status="failed", **values):
    """Return a run of the config of `result` that failed or was interrupted; `values` are further fields."""
    fields = {"run_id": result.run_id, "kind": "train", "config": result.config, "environment": result.environment}
    return UnfinishedRun(status=status, **{**fields, **values})


def write(folder, *results):
    for result in results:
        write_result(folder, result)
    return folder
