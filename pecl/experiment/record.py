"""Write the result of a run, and next to it the manifest of its split and the retrieved items.

A `Result` describes data, towers, adapter and software, and holds the measurements.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from pecl.adapters.adapter import Adapter
from pecl.adapters.spec import describe
from pecl.config.code_digest import code_hashes
from pecl.errors import not_none
from pecl.experiment.inputs import Inputs
from pecl.files import sha256_file, sha256_lines
from pecl.files.typed_json import smallest
from pecl.machine import peak_memory_mb
from pecl.results import parts
from pecl.results.folder import write_manifest, write_retrieved
from pecl.results.parts import environment
from pecl.results.result import EvaluationResult, Result, TrainingResult, write_result
from pecl.retrieval.evaluator import Evaluation
from pecl.retrieval.measures import DIRECTIONS
from pecl.training.trainer import Trainer

R = TypeVar("R", bound=Result)
# part (val, test) -> stage (zero_shot, final, best)
Evaluations = Mapping[str, Mapping[str, Evaluation]]


def record_evaluation(
    inputs: Inputs,
    evaluations: Evaluations,
    adapter: parts.AdapterDescription | None,
) -> EvaluationResult:
    """Write and return the result of an evaluation."""
    result = EvaluationResult(
        run_id=inputs.config.run_id("evaluate"),
        kind="evaluate",
        adapter=adapter,
        **_measurements(inputs, evaluations),
    )
    return _write(inputs, evaluations, result)


def record_training(
    inputs: Inputs,
    evaluations: Evaluations,
    adapter: parts.AdapterDescription,
    trainer: Trainer,
    slot: int,
    runs: int,
) -> TrainingResult:
    """Write and return the result of a training in a fleet of `runs` runs; write the manifest of its split first."""
    manifest = write_manifest(inputs.config.out, describe_split(inputs))

    record = trainer.records[slot]
    result = TrainingResult(
        run_id=inputs.config.run_id(),
        kind="train",
        adapter=adapter,
        steps=trainer.step if record.stopped is None else record.stopped,
        best_step=record.best_step,
        fleet=parts.FleetRecord(runs, slot),
        seconds=parts.Seconds(round(trainer.seconds, 2), trainer.seconds / max(trainer.step, 1)),
        curve=parts.Curve(tuple(record.losses), tuple(record.scores)),
        stopped_by=record.stopped_by,
        closed_form=tuple(parts.ClosedForm(**head) for head in record.solved) or None,
        **_measurements(inputs, evaluations, manifest),
    )
    return _write(inputs, evaluations, result)


def _measurements(inputs: Inputs, evaluations: Evaluations, manifest: str | None = None) -> dict[str, Any]:
    """Return the fields that every complete result has; `manifest` names the manifest of its split."""
    metrics = {
        part: {stage: _measured(evaluation) for stage, evaluation in by_stage.items()}
        for part, by_stage in evaluations.items()
    }

    return {
        "status": "complete",
        "config": inputs.config,
        "environment": environment(),
        "data": describe_data(inputs, manifest),
        "towers": _describe_towers(inputs),
        "metrics": metrics,
        "subsets": {"test": subset_recalls(inputs, evaluations["test"])},
        "all_ranks": {"test": _ranks(evaluations["test"])},
        "peak_memory_mb": round(peak_memory_mb(torch.device(inputs.config.device)), 1),
    }


def _measured(evaluation: Evaluation) -> parts.Measured:
    return parts.Measured(evaluation.metrics, evaluation.mean_recall_at_1, evaluation.mean_recall)


def _describe_towers(inputs: Inputs) -> parts.TowerPair:
    text, image = (
        tower and parts.Tower(tower["name"], tower["fingerprint"]) for tower in inputs.towers.describe().values()
    )
    if inputs.rows is not None:
        image = parts.Tower(f"embeddings {inputs.rows.source.name}", inputs.files["image_embeddings"])
    return parts.TowerPair(text, image)


def _write(inputs: Inputs, evaluations: Evaluations, result: R) -> R:
    """Write the retrieved items and then the result, and return it with its path."""
    items = inputs.gallery_items("test")  # indices of the data set's images or English captions
    nearest = {
        stage: [[items[position] for position in positions] for positions in evaluation.nearest]
        for stage, evaluation in evaluations["test"].items()
        if stage != "final"
    }
    write_retrieved(inputs.config.out, result.name, nearest)
    return replace(result, path=write_result(inputs.config.out, result))


def describe_data(inputs: Inputs, manifest: str | None = None) -> parts.DataDescription:
    """Return the description of a result's data; `manifest` names the manifest of its split."""
    data = inputs.data
    text = inputs.training_text
    other_text = inputs.other_text
    split = {part: len(indices) for part, indices in inputs.parts.items()}

    translations = None
    if text is not None:
        split["train"] = len(inputs.train)
        images = len(inputs.parts["train"]) if inputs.config.image_weight else None
        translations = parts.TrainingTextRecord(text.train.dataset, text.hashes, text.train.provenance, images)

    other_text_record = None
    if other_text is not None:
        other_text_record = {
            "dataset": other_text.dataset,
            "split": other_text.provenance.get("split"),
            "language": other_text.language,
            "texts": len(other_text),
            **other_text.hashes(),
        }

    size = len(inputs.gallery_items("test"))
    places = inputs.places("test")
    several = len(places) > size  # several captions per image
    files = {**inputs.files, **code_hashes(inputs.config)}
    return parts.DataDescription(
        dataset=data.dataset,
        language=data.language,
        captions=len(data),
        split=split,
        query={part: inputs.query(part) for part in inputs.parts},
        sha256=data.hashes(),
        provenance=data.provenance,
        gallery=parts.GalleryRecord(inputs.config.gallery, size, smallest(places) if several else None),
        translations=translations,
        manifest=manifest,
        duplicates=inputs.duplicates or None,
        training_pairs=inputs.training_pairs,
        files=files or None,
        photographs=inputs.photographs,
        other_text=other_text_record,
    )


def describe_adapter(adapter: Adapter, total: int, path: Path) -> parts.AdapterDescription:
    """Return the description of an adapter for its result; `total` is the number of parameters of the base encoder.

    It holds the SHA-256 of the adapter's file; a PEFT folder has none.
    """
    trainable = adapter.num_parameters()
    digest = sha256_file(path) if path.is_file() else None
    return parts.AdapterDescription(describe(adapter.configs), trainable, total, trainable / total, digest)


def describe_split(inputs: Inputs) -> dict[str, Any]:
    """Return the manifest of a training's split, equal for all languages.

    It holds the indices of the training, validation and test captions in the data set, and the test
    gallery: indices and, for images, names and one SHA-256 over the SHA-256 of their files.
    """
    config = inputs.config
    gallery_items = inputs.gallery_items("test")

    gallery: dict[str, Any] = {"kind": config.gallery, "items": gallery_items}
    if config.gallery == "images":
        images = not_none(inputs.data.images, "images")
        ids = images.ids  # computed at each access
        gallery["ids"] = [ids[i] for i in gallery_items]
        gallery["sha256"] = sha256_lines([inputs.image_fingerprints[i] for i in gallery_items])

    return {
        "dataset": inputs.data.dataset,
        "shots": config.shots,
        "split_seed": config.split_seed,
        "indices": {part: list(indices) for part, indices in inputs.parts.items()},
        "gallery": gallery,
    }


def subset_recalls(inputs: Inputs, evaluations: Mapping[str, Evaluation]) -> dict[str, Any]:
    """Return recall@1 of each subset of the test captions, such as COCO's train2014, against the whole gallery.

    Models trained on COCO have seen train2014, so their recall there means little. Empty for data without subsets.
    """
    if inputs.data.subset is None:
        return {}

    gallery_first, texts_first = DIRECTIONS[inputs.config.gallery]
    labels = [inputs.data.subset[i] for i in inputs.parts["test"]]
    of_item = dict(zip(inputs.items("test"), labels, strict=True))
    queries = {gallery_first: [of_item[item] for item in inputs.gallery_items("test")], texts_first: labels}

    subsets = dict[str, Any]()
    for name in sorted(set(labels)):
        rows_of = {d: [i for i, label in enumerate(of) if label == name] for d, of in queries.items()}
        recalls = {stage: evaluation.subset(rows_of) for stage, evaluation in evaluations.items()}
        subsets[name] = {"captions": labels.count(name), **recalls}

    return subsets


def _ranks(evaluations: Mapping[str, Evaluation]) -> dict[str, dict[str, Sequence[int]]]:
    """Return the ranks by stage and direction; those of the last weights only if they are not the best."""
    ranks_of = {stage: evaluation.ranks for stage, evaluation in evaluations.items()}
    if "final" in ranks_of and ranks_of["final"] == ranks_of["best"]:
        del ranks_of["final"]
    return {
        stage: {direction: smallest(ranks_of_direction) for direction, ranks_of_direction in ranks.items()}
        for stage, ranks in ranks_of.items()
    }
