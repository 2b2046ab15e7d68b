"""`Result`: what a complete run gave, with the evidence for its numbers; `UnfinishedRun`; and their files.

A run has one JSON (schema 1). It has the fields of `TrainingResult`, `EvaluationResult` or `UnfinishedRun` under their
names, and `sha256`, its `digest`; `ranks` are those of the test items, for intervals.
Files are written atomically and named `<language>-<route>-<run id>.json`, with `zero-shot` as the route of the base
encoder. Next to it lie `adapters/<name>.safetensors` and the files of `folder`: the manifest of its split, and the
retrieved items. A file `results.jsonl` holds results of several runs, one per line: read, but not written here.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, PlainSerializer, SkipValidation

from pecl.config import ExperimentConfig
from pecl.errors import DataError, WeightsError, not_none, not_the_adapter_of, one_line, unknown
from pecl.files import check_sha256, load_json, parse_json, read_regular, write_json
from pecl.files.digests import check_digest, with_digest
from pecl.files.typed_json import Number, Ranks, Text, Whole, decode, encode
from pecl.results import parts
from pecl.results.command import command_of

Kind = Literal["train", "evaluate"]
Unfinished = Literal["failed", "interrupted", "pruned"]

SCHEMA = 1
OTHER_TEXT = "other_text"  # a measured part next to `val` and `test`: text unlike the training text
STAGES = ("zero_shot", "final", "best")  # the last measured one is the outcome of a run
PACKED = "results.jsonl"
SPLITS, RETRIEVED = "splits", "retrieved"  # folders of files next to results
_FILE = re.compile(r"(?:.+-)?[0-9a-f]{16}")  # the stem of a result's file


class DamagedResultError(DataError):
    """A result's file is cut short, overwritten or no result at all."""


@dataclass(frozen=True, repr=False, kw_only=True)
class Run:
    """What every recorded run has: `Result` and `UnfinishedRun` add the rest.

    Attributes:
        run_id: identity of the run, 16 hexadecimal digits; see `ExperimentConfig.run_id`.
        path: file that it was read from or written to; no part of its JSON, and not compared.
    """

    run_id: Text
    kind: Kind
    status: Literal["complete", "failed", "interrupted", "pruned"]
    config: Annotated[SkipValidation[ExperimentConfig], PlainSerializer(lambda config: config.to_record())]
    environment: parts.Environment
    path: Annotated[Path | None, Field(exclude=True)] = field(default=None, compare=False)

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
    def command(self) -> str:
        """The command that repeats the run."""
        return command_of(self.kind, self.config)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object that `run_from_json` reads."""
        document = encode(self)
        software = document.pop("environment")  # its keys are those of the result
        return {"schema": SCHEMA, **document, **software}


@dataclass(frozen=True, repr=False, kw_only=True)
class UnfinishedRun(Run):
    """A training that failed, was interrupted, or was pruned.

    Attributes:
        error: error message of a failed run.
        steps: steps until the end of the run; for an interrupted run, those that were saved. None if it had none.
        validation_recall: of a pruned run, after its last step.
    """

    status: Unfinished
    error: Text | None = None
    steps: Whole | None = None
    validation_recall: Number | None = None

    def __repr__(self) -> str:
        return f"UnfinishedRun({self.name}, {self.status})"

    def to_text(self) -> str:
        """Return status, run id and reason in one line: `pruned: <run id>: after step 40, validation recall 0.512`."""
        reason = one_line(self.error or "")
        if self.status == "pruned":
            reason = f"after step {self.steps}, validation recall {self.validation_recall:.3f}"
        return f"{self.status}: {self.run_id}: {reason}"


@dataclass(frozen=True, repr=False, kw_only=True)
class Result(Run):
    """The measurements of a complete run: what `TrainingResult` and `EvaluationResult` share.

    Attributes:
        metrics: part (val, test) -> stage (zero_shot, final, best) -> measurements.
        subsets: part -> subset, such as COCO's train2014 -> its number of captions, and recall@1 by stage.
        all_ranks: part -> stage -> direction -> rank of each query's best correct item, from 1; see `ranks`. Without
            the stage `final` if it has the ranks of `best`.
        peak_memory_mb: most memory of the process, MiB.
        adapter: None for the base encoder.
    """

    status: Literal["complete"]
    data: parts.DataDescription
    towers: parts.TowerPair
    metrics: Mapping[Text, Mapping[Text, parts.MeasuredRecord]]
    subsets: Mapping[Text, Mapping[Text, Mapping[Text, Any]]] = field(default_factory=dict)
    all_ranks: Annotated[Mapping[Text, Mapping[Text, Mapping[Text, Ranks]]], Field(alias="ranks")]
    peak_memory_mb: Number
    adapter: parts.AdapterDescription | None

    def __repr__(self) -> str:
        scores = " -> ".join(f"{self.recall(stage=stage):.3f}" for stage in self.stages if stage != "final")
        gallery = self.data.gallery
        return f"Result({self.name}, {self.status}, mean R@1 {scores} among {gallery.size:,} {gallery.kind})"

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
        scores = self.measured(part, stage)
        if direction is None and k == 1:
            return scores.mean_recall_at_1

        directions = scores.directions if direction is None else [direction]
        recalls = [_find(_find(scores.directions, "direction", name).recall, "k", k) for name in directions]
        return sum(recalls) / len(recalls)

    def ranks(self, direction: str, part: str = "test", stage: str | None = None) -> Sequence[int]:
        """Return the rank, from 1, of the best correct item of each query of a direction.

        Raises:
            KeyError: they were not recorded; those of the val part never are.
        """
        by_stage = _find(self.all_ranks, "part", part)
        if stage == "final" and stage not in by_stage:
            stage = "best"
        return tuple(_find(_find_stage(by_stage, stage), "direction", direction))

    def hits(self, stage: str | None = None) -> np.ndarray:
        """Return (N,): the share of the two directions in which a test item has rank 1; its mean is mean recall@1.

        With several captions per image the item is the image: the hits of its captions are added up, and weighted so
        that their direction counts half, as in the metric. For `stage` see `measured`.
        """
        gallery = self.data.gallery
        item_direction, text_direction = gallery.directions
        item_hits = (np.asarray(self.ranks(item_direction, stage=stage)) == 1).astype(float)
        text_hits = (np.asarray(self.ranks(text_direction, stage=stage)) == 1).astype(float)
        if len(item_hits) != len(text_hits):
            items = not_none(gallery.items, "items")
            text_hits = np.bincount(items, text_hits, len(item_hits)) * (len(item_hits) / len(text_hits))
        return (item_hits + text_hits) / 2

    @property
    def gains(self) -> np.ndarray:
        """(N,): hits of each test item after training, less its hits with the base encoder."""
        return self.hits("best") - self.hits("zero_shot")

    @property
    def test_captions(self) -> int:
        """Number of test captions: queries of the direction that starts from text."""
        return len(self.ranks(self.data.gallery.directions[1]))


@dataclass(frozen=True, repr=False, kw_only=True)
class EvaluationResult(Result):
    """The result of an evaluation, of the base encoder or of an adapter file."""

    kind: Literal["evaluate"]
    adapter: parts.AdapterDescription | None = None


@dataclass(frozen=True, repr=False, kw_only=True)
class TrainingResult(Result):
    """The result of a training.

    Attributes:
        steps: training steps.
        best_step: step whose weights were kept.
        closed_form: the heads that were solved, at the start and the end; None without any.
        stopped_by: class of the callback that stopped it before its last step; None if none did.
    """

    kind: Literal["train"]
    adapter: parts.AdapterDescription
    steps: Whole
    best_step: Whole
    fleet: parts.FleetRecord
    seconds: parts.Seconds
    curve: parts.Curve
    closed_form: tuple[parts.ClosedForm, ...] | None = None
    stopped_by: Text | None = None


AnyRun = TrainingResult | EvaluationResult | UnfinishedRun
Outcome = TrainingResult | UnfinishedRun  # of a training


def run_from_json(document: Any, where: str | Path = "result") -> AnyRun:
    """Return the run that a JSON object holds; unknown keys are ignored.

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
        return decode(_type_of(document), {**document, "config": config, "environment": document, "path": path})
    except (ValueError, KeyError) as error:
        raise DamagedResultError(f"{where} is damaged: {error}; delete the file and run it again") from error


def _type_of(document: Mapping[str, Any]) -> type[AnyRun]:
    """Return the type of the run that a JSON object holds, by `status` and `kind`."""
    if document.get("status") != "complete":
        return UnfinishedRun
    return EvaluationResult if document.get("kind") == "evaluate" else TrainingResult


def _find(among: Mapping[Any, Any], kind: str, key: Any) -> Any:
    if key in among:
        return among[key]
    if not among:
        raise KeyError(f"{kind} {key}: nothing was measured")
    raise KeyError(unknown(kind, str(key), map(str, among)))


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
    """Return the path of the adapter of a training in the experiment folder `out`; `name` is its `Run.name`."""
    return Path(out) / "adapters" / f"{name}.safetensors"


def write_result(out: str | Path, run: Run) -> Path:
    """Write a run's JSON into the experiment folder and return its path."""
    return write_json(Path(out) / f"{run.name}.json", with_digest(run.to_json()))


def write_unfinished(
    config: ExperimentConfig,
    status: Unfinished,
    error: str | None = None,
    steps: int | None = None,
    validation_recall: float | None = None,
) -> UnfinishedRun:
    """Write the record of a training that failed, was interrupted or was pruned, and return it with its path."""
    run = UnfinishedRun(
        run_id=config.run_id(),
        kind="train",
        status=status,
        config=config,
        environment=parts.environment(),
        error=error,
        steps=steps,
        validation_recall=validation_recall,
    )
    return replace(run, path=write_result(config.out, run))


def read_run(path: str | Path) -> AnyRun:
    """Return the run at `path`, complete or not.

    Raises:
        DamagedResultError: the file is damaged or no result.
        DataError: it is of a newer schema.
    """
    path = Path(path)
    try:
        document = load_json(path)
    except (OSError, ValueError) as error:
        raise DamagedResultError(f"result {path} cannot be read ({error}); delete it and run it again") from error
    return run_from_json(document, path)


def read_result(path: str | Path) -> TrainingResult | EvaluationResult:
    """Return the result of the complete run at `path`.

    Raises:
        DamagedResultError: the file is damaged or no result.
        DataError: it is of a newer schema, or of a run that is not complete.
    """
    run = read_run(path)
    if isinstance(run, UnfinishedRun):
        how = "failed" if run.status == "failed" else f"was {run.status}"
        raise DataError(f"{path} has no result: its run {how}; run it again")
    return run


def verify(result: TrainingResult, adapter: Path | None = None) -> None:
    """Check that `adapter`, by default `result.adapter_path`, has the SHA-256 that a training's result names.

    Raises:
        WeightsError: the result names no SHA-256, or the file is missing or another.
    """
    if result.adapter.sha256 is None:
        raise WeightsError(f"{where(result)} does not name its adapter file by its SHA-256; run it again")
    check_sha256(adapter or result.adapter_path, result.adapter.sha256, *not_the_adapter_of(where(result)))


def where(run: Run) -> str:
    """Return the name of a run in messages."""
    return f"run {run.run_id}" + (f" ({run.path})" if run.path else "")


def collect_runs(folders: Sequence[str | Path]) -> list[AnyRun]:
    """Return the runs below `folders`, which may also be result files, sorted by run id, each run once.

    In a folder, only `results.jsonl` and JSON files whose name ends in a run id are read. A complete result replaces an
    unfinished copy.

    Raises:
        DataError: a folder is missing, a result is damaged, or two files hold different results of one run.
    """
    runs: dict[str, AnyRun] = {}
    for run in _read_runs(folders):
        earlier = runs.setdefault(run.run_id, run)
        if not isinstance(run, Result):
            continue

        if not isinstance(earlier, Result):
            runs[run.run_id] = run
        elif earlier.metrics != run.metrics:
            raise DataError(
                f"{earlier.path} and {run.path} hold different results of run {run.run_id}; "
                "give only one of their folders, or delete the wrong one"
            )

    return [runs[run_id] for run_id in sorted(runs)]


def collect(folders: Sequence[str | Path]) -> list[TrainingResult | EvaluationResult]:
    """Return the results of the complete runs below `folders`, see `collect_runs`."""
    return [run for run in collect_runs(folders) if isinstance(run, Result)]


def trainings(runs: Iterable[Run]) -> list[TrainingResult]:
    """Return the results of trainings among `runs`."""
    return [run for run in runs if isinstance(run, TrainingResult)]


def _read_runs(folders: Sequence[str | Path]) -> Iterator[AnyRun]:
    for path in _result_files(folders):
        if path.suffix != ".jsonl":
            yield read_run(path)
            continue
        for number, line in enumerate(read_regular(path).splitlines(), 1):
            try:
                document = parse_json(line)
            except ValueError as error:
                raise DamagedResultError(f"{path}, line {number} cannot be read ({error})") from error
            yield run_from_json(document, path)


def _result_files(folders: Sequence[str | Path]) -> Iterator[Path]:
    for folder in map(Path, folders):
        if not folder.exists():
            raise DataError(f"results folder {folder} does not exist; give the folder of a training's results")
        if folder.is_file():
            yield folder
            continue
        for path in sorted([*folder.rglob("*.json"), *folder.rglob(PACKED)]):
            parents = path.relative_to(folder).parts
            is_beside = any(name.startswith(".") or name in (SPLITS, RETRIEVED) for name in parents)
            if (path.name == PACKED or _FILE.fullmatch(path.stem)) and not is_beside:
                yield path
