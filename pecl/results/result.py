"""`Result`: the outcome of one run, with the evidence for its numbers; and its file, one JSON per run.

The JSON (schema 1) has the fields of `Result` under their names, and `sha256`, its `digest`; `ranks` are those of the
test items, for intervals.
Files are written atomically and named `<language>-<route>-<run id>.json`, with `zero-shot` as the route of the plain
tower. Next to it lie `adapters/<name>.safetensors` and the files of `folder`: the manifest of its split, and the
retrieved items.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, PlainSerializer, SkipValidation

from pecl.config import ExperimentConfig, Role, fields_of
from pecl.errors import DataError, WeightsError, not_none, not_the_adapter_of, unknown
from pecl.files import check_sha256, load_json, write_json
from pecl.files.digests import check_digest, with_digest
from pecl.files.typed_json import Number, Ranks, Text, Whole, decode, encode
from pecl.results import parts

Kind = Literal["train", "evaluate"]
Status = Literal["complete", "failed", "interrupted", "pruned"]

SCHEMA = 1
OTHER_TEXT = "other_text"  # a measured part next to `val` and `test`: text unlike the training text
STAGES = ("zero_shot", "final", "best")  # the last measured one is the outcome of a run
SPLITS, RETRIEVED = "splits", "retrieved"  # folders of files next to results
# Fields whose flags the commands add themselves
_NAMED = {
    "weights": "adapter",
    "plugin": "plugin",
    "image_embeddings": "embeddings",
    "image_paths": "paths",
    "all_pairs": "all-pairs",
}
EVALUATE_FLAGS = fields_of(Role.EVALUATION | Role.DATA | Role.PATH | Role.MACHINE | Role.SAME_BITS)
_FILE = re.compile(r"(?:.+-)?[0-9a-f]{16}")  # the stem of a result's file


class DamagedResultError(DataError):
    """A result's file is cut short, overwritten or no result at all."""


_ABSENT: Any = None  # in failed and interrupted runs, which no table includes


@dataclass(frozen=True, repr=False)
class Result:
    """The outcome of one run.

    Fields after `environment` are None if the run failed, was interrupted or pruned, and those after `peak_memory_mb`
    in an evaluation too; an evaluation of an adapter file has `adapter`.

    Attributes:
        run_id: identity of the run, 16 hexadecimal digits; see `ExperimentConfig.run_id`.
        error: error message of a failed run.
        metrics: part (val, test) -> stage (zero_shot, final, best) -> measurements.
        subsets: part -> subset, such as COCO's train2014 -> its number of captions, and recall@1 by stage.
        all_ranks: part -> stage -> direction -> rank of each query's best correct item, from 1; see `ranks`. Without
            the stage `final` if it has the ranks of `best`.
        peak_memory_mb: most memory of the process, MiB.
        steps: training steps; for an interrupted run, those that were saved.
        validation_recall: of a pruned run, after its last step.
        best_step: step whose weights were kept.
        closed_form: the heads that were solved, at the start and the end; None without any.
        path: file that it was read from or written to; no part of its JSON, and not compared.
    """

    run_id: Text
    kind: Kind
    status: Status
    config: Annotated[SkipValidation[ExperimentConfig], PlainSerializer(lambda config: config.to_record())]
    environment: parts.Environment
    error: Text | None = None
    data: parts.DataDescription = _ABSENT
    towers: parts.TowerPair = _ABSENT
    metrics: Mapping[Text, Mapping[Text, parts.MeasuredRecord]] = field(default_factory=dict)
    subsets: Mapping[Text, Mapping[Text, Mapping[Text, Any]]] = field(default_factory=dict)
    all_ranks: Annotated[Mapping[Text, Mapping[Text, Mapping[Text, Ranks]]], Field(alias="ranks")] = field(
        default_factory=dict
    )
    peak_memory_mb: Number = _ABSENT
    adapter: parts.AdapterDescription = _ABSENT
    steps: Whole = _ABSENT
    best_step: Whole = _ABSENT
    fleet: parts.FleetRecord = _ABSENT
    seconds: parts.Seconds = _ABSENT
    curve: parts.Curve = _ABSENT
    closed_form: tuple[parts.ClosedForm, ...] | None = None
    validation_recall: Number | None = None
    path: Annotated[Path | None, Field(exclude=True)] = field(default=None, compare=False)

    def __repr__(self) -> str:
        said = f"{self.name}, {self.status}"
        if self.status == "complete":
            scores = " -> ".join(f"{self.recall(stage=one):.3f}" for one in self.stages if one != "final")
            said += f", mean R@1 {scores} among {self.data.gallery.size:,} {self.data.gallery.kind}"
        return f"Result({said})"

    @property
    def name(self) -> str:
        """Stem of its files: language, route and run id."""
        return run_name(self.config, self.run_id, self.kind)

    @property
    def folder(self) -> Path:
        """The experiment folder that it is in."""
        return Path(self.config.out) if self.path is None else self.path.parent

    @property
    def adapter_path(self) -> Path:
        """Path of the adapter of a training."""
        return adapter_path(self.folder, self.name)

    @property
    def stages(self) -> tuple[str, ...]:
        """Stages that the test part was measured at, in order: the last is the outcome of the run."""
        return tuple(sorted(self.metrics["test"], key=STAGES.index))

    def measured(self, part: str = "test", stage: str | None = None) -> parts.Measured:
        """Return all metrics of a part, val or test, at a stage, by default the last that was measured.

        Raises:
            KeyError: it was not measured.
        """
        return _find_stage(_find(self.metrics, "part", part), stage)

    def recall(self, part: str = "test", stage: str | None = None, k: int = 1, direction: str | None = None) -> float:
        """Return recall@k, in [0, 1]: k is 1, 5 or 10, part and stage are as in `measured`.

        By default it is the mean over both directions; `direction` selects one, such as text_to_image.

        Raises:
            KeyError: it was not measured.
        """
        measured = self.measured(part, stage)
        if direction is None and k == 1:
            return measured.mean_recall_at_1
        chosen = measured.directions if direction is None else [direction]
        recalls = [_find(_find(measured.directions, "direction", one).recall, "k", k) for one in chosen]
        return sum(recalls) / len(recalls)

    def ranks(self, direction: str, part: str = "test", stage: str | None = None) -> Sequence[int]:
        """Return the rank, from 1, of the best correct item of each query of a direction.

        Raises:
            KeyError: they were not recorded; those of the val part never are.
        """
        found = _find(self.all_ranks, "part", part)
        if stage == "final" and stage not in found:
            stage = "best"
        return tuple(_find(_find_stage(found, stage), "direction", direction))

    def hits(self, stage: str | None = None) -> np.ndarray:
        """Return (N,): the share of the two directions in which a test item has rank 1; its mean is mean recall@1.

        With several captions per image the item is the image: the hits of its captions are added up, and weighted so
        that their direction counts half, as in the metric. For `stage` see `measured`.
        """
        gallery = self.data.gallery
        of_items, of_texts = (
            (np.asarray(self.ranks(direction, stage=stage)) == 1).astype(float) for direction in gallery.directions
        )
        if len(of_items) != len(of_texts):
            items = not_none(gallery.items, "items")
            of_texts = np.bincount(items, of_texts, len(of_items)) * (len(of_items) / len(of_texts))
        return (of_items + of_texts) / 2

    @property
    def gains(self) -> np.ndarray:
        """(N,): hits of each test item after training, less its hits with the plain tower."""
        return self.hits("best") - self.hits("zero_shot")

    @property
    def test_captions(self) -> int:
        """Number of test captions: queries of the direction that starts from text."""
        return len(self.ranks(self.data.gallery.directions[1]))

    @property
    def command(self) -> str:
        """`pecl train --flag value ...` or `pecl evaluate ...` with the config's fields that are not the default."""
        words = ["pecl", self.kind]
        if self.config.processes > 1:
            words = ["torchrun", "--nproc-per-node", str(self.config.processes), "--module", *words]
        for item in fields(ExperimentConfig):
            value = getattr(self.config, item.name)
            if value == item.default or not (item.metadata.get("flag", True) or item.name in _NAMED):
                continue
            if self.kind == "evaluate" and item.name not in EVALUATE_FLAGS:  # fields of a training change nothing
                continue
            flag = _NAMED.get(item.name, item.name.replace("_", "-"))
            if isinstance(value, bool):
                words.append(f"--{flag}" if value else f"--no-{flag}")
            else:
                words += [f"--{flag}", "none" if value is None else str(value)]
        return shlex.join(words)

    @classmethod
    def from_json(cls, document: Any, where: str | Path = "result") -> "Result":
        """Return the result that a JSON object holds; unknown keys are ignored.

        `where` is its file, for messages and as its `path`; a file must have its checksum.

        Raises:
            DamagedResultError: it is not a result, its checksum is missing or wrong, or a part has another type.
            DataError: it is of a newer schema.
        """
        if not isinstance(document, dict) or not {"schema", "run_id", "config"} <= document.keys():
            raise DamagedResultError(f"{where} is not a result of pecl")
        schema = document["schema"]
        if not isinstance(schema, int) or schema > SCHEMA:
            raise DataError(f"{where} has schema {schema!r}, this version of pecl reads up to {SCHEMA}; upgrade pecl")
        path = where if isinstance(where, Path) else None
        try:
            check_digest(document, needed=path is not None)
            config = ExperimentConfig.from_record(document["config"])
            return decode(cls, {**document, "config": config, "environment": document, "path": path})
        except (ValueError, KeyError) as error:
            raise DamagedResultError(f"{where} is damaged: {error}; delete the file and run it again") from error

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object that `from_json` reads."""
        own = encode(self)
        software = own.pop("environment")  # its keys are those of the result
        return {"schema": SCHEMA, **own, **software}


def _find(among: Mapping[Any, Any], what: str, key: Any) -> Any:
    if key not in among:
        raise KeyError(unknown(what, str(key), map(str, among)) if among else f"{what} {key}: nothing was measured")
    return among[key]


def _find_stage(among: Mapping[str, Any], stage: str | None) -> Any:
    if stage is None:
        stage = max(among, key=STAGES.index, default=None)
    return _find(among, "stage", stage)


def run_name(config: ExperimentConfig, run_id: str, kind: str = "train") -> str:
    """Return the stem of a run's files, such as `de-method1-0123456789abcdef`."""
    plain = kind == "evaluate" and config.weights is None
    return f"{config.language}-{'zero-shot' if plain else config.route}-{run_id}"


def training_path(config: ExperimentConfig) -> Path:
    """Return the path of the result of a training of `config`, whether it exists or not.

    It does not list the folder, so a grid can call it thousands of times.
    """
    return Path(config.out) / f"{run_name(config, config.run_id())}.json"


def adapter_path(out: str | Path, name: str) -> Path:
    """Return the path of the adapter of a training in the experiment folder `out`; `name` is its `Result.name`."""
    return Path(out) / "adapters" / f"{name}.safetensors"


def write_result(out: str | Path, result: Result) -> Path:
    """Write a result into the experiment folder and return its path."""
    return write_json(Path(out) / f"{result.name}.json", with_digest(result.to_json()))


def write_unfinished(
    config: ExperimentConfig,
    status: Status,
    error: str | None = None,
    steps: int = _ABSENT,
    validation_recall: float | None = None,
) -> Path:
    """Write the result of a training without metrics (failed, interrupted or pruned), and return its path."""
    result = Result(
        config.run_id(),
        "train",
        status,
        config,
        parts.environment(),
        error=error,
        steps=steps,
        validation_recall=validation_recall,
    )
    return write_result(config.out, result)


def read_result(path: str | Path) -> Result:
    """Return the result at `path`.

    Raises:
        DamagedResultError: the file is damaged or no result.
        DataError: it is of a newer schema.
    """
    path = Path(path)
    try:
        document = load_json(path)
    except (OSError, ValueError) as error:
        raise DamagedResultError(f"result {path} cannot be read ({error}); delete it and run it again") from error
    return Result.from_json(document, path)


def verify(result: Result, adapter: Path | None = None) -> None:
    """Check that `adapter`, by default `result.adapter_path`, has the SHA-256 that a training's result names.

    Raises:
        WeightsError: the result names no SHA-256, or the file is missing or another.
    """
    if result.adapter.sha256 is None:
        raise WeightsError(f"{where(result)} does not name its adapter file by its SHA-256; run it again")
    check_sha256(adapter or result.adapter_path, result.adapter.sha256, *not_the_adapter_of(where(result)))


def where(result: Result) -> str:
    """Return the name of a result in messages."""
    return f"run {result.run_id}" + (f" ({result.path})" if result.path else "")


def collect(folders: Sequence[str | Path]) -> list[Result]:
    """Return the results below `folders`, which may also be result files, sorted by run id, each run once.

    In a folder, only JSON files whose name ends in a run id are read. A complete result replaces an unfinished copy.

    Raises:
        DataError: a folder is missing, a result is damaged, or two files hold different results of one run.
    """
    found: dict[str, Result] = {}
    for folder in map(Path, folders):
        if not folder.exists():
            raise DataError(f"results folder {folder} does not exist; give the folder that `pecl train --out` named")
        for path in [folder] if folder.is_file() else sorted(folder.rglob("*.json")):
            inside = path.relative_to(folder).parts
            if path != folder and not _FILE.fullmatch(path.stem):
                continue
            if any(part.startswith(".") or part in (SPLITS, RETRIEVED) for part in inside):
                continue
            result = read_result(path)
            other = found.setdefault(result.run_id, result)
            if result.status == "complete" != other.status:
                found[result.run_id] = result
            elif result.status == "complete" and other.metrics != result.metrics:
                raise DataError(
                    f"{other.path} and {path} hold different results of run {result.run_id}; "
                    "give only one of their folders, or delete the wrong one"
                )
    return [found[run_id] for run_id in sorted(found)]
