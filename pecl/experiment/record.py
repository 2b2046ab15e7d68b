"""What is written beside the metrics of a run: the manifest of its split, what was retrieved, parts told apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pecl.experiment.prepared import Prepared
from pecl.files import sha256_lines, write_json
from pecl.results.result import manifest_path
from pecl.retrieval.evaluator import Evaluation
from pecl.retrieval.measures import DIRECTIONS


def write_manifest(cell: Prepared) -> Path:
    """Write what repeats the split of a training exactly, beside its result, and return the path.

    It holds the indices of the training, validation and test captions in the data set, the gallery of the test part
    (indices and, of images, names and one SHA-256 over those of their files) and the SHA-256 of each column.
    """
    config, shown = cell.config, cell.gallery_items("test")
    gallery: dict[str, Any] = {"kind": config.gallery, "items": shown}
    if config.gallery == "images":
        images = cell.data.images
        gallery["ids"] = [images.ids[i] for i in shown]
        gallery["sha256"] = sha256_lines([images.fingerprint(i) for i in shown])
    manifest = {
        "run_id": config.run_id(),
        "dataset": cell.data.dataset,
        "language": cell.data.language,
        "shots": config.shots,
        "split_seed": config.split_seed,
        "indices": {part: list(indices) for part, indices in cell.parts.items()},
        "gallery": gallery,
        "sha256": cell.data.hashes(),
    }
    return write_json(manifest_path(config.out, config.run_id()), manifest)


def retrieved(cell: Prepared, evaluation: Evaluation) -> list[list[int]]:
    """Return for each test caption its nearest items as indices of the data set's images (or English captions)."""
    shown = cell.gallery_items("test")
    return [[shown[place] for place in places] for places in evaluation.nearest]


def subset_recalls(cell: Prepared, measured: dict[str, Evaluation]) -> dict[str, Any]:
    """Return recall@1 of each subset of the test captions, such as COCO's train2014, against the whole gallery.

    Models trained on COCO have seen train2014, so that their recall there says little. Empty for data without subsets.
    """
    if cell.data.subset is None:
        return {}
    gallery_first, texts_first = DIRECTIONS[cell.config.gallery]
    labels = [cell.data.subset[i] for i in cell.parts["test"]]
    of_item = dict(zip(cell.items("test"), labels, strict=True))
    queries = {gallery_first: [of_item[item] for item in cell.gallery_items("test")], texts_first: labels}
    return {
        name: {
            "captions": labels.count(name),
            **{
                which: evaluation.subset(
                    {d: [i for i, label in enumerate(of) if label == name] for d, of in queries.items()}
                )
                for which, evaluation in measured.items()
            },
        }
        for name in sorted(set(labels))
    }
