"""The parts of a `Result`: what was measured, and what it was measured on, by and with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pecl.files.typed_json import FieldError, decode, wrong
from pecl.retrieval.measures import RetrievalMetrics


@dataclass(frozen=True)
class Measured:
    """What one part of the data gave at one stage.

    Attributes:
        directions: metrics of each direction, such as `text_to_image`.
        mean_recall_at_1: mean over both directions of recall@1, the primary metric.
        mean_recall: mean over both directions of recall@1, 5 and 10.
    """

    directions: Mapping[str, RetrievalMetrics]
    mean_recall_at_1: float
    mean_recall: float

    @classmethod
    def from_json(cls, value: Any, path: str) -> Measured:
        """Return it from its JSON object: the two means, and a direction under each other key."""
        if not isinstance(value, dict):
            raise wrong(path, value, "an object")
        means = {}
        for key in ("mean_recall@1", "mean_recall"):
            if key not in value:
                raise FieldError(f"{path}.{key} is missing")
            means[key] = decode(float, value[key], f"{path}.{key}")
        own = {name: _direction(one, f"{path}.{name}") for name, one in value.items() if name not in means}
        return cls(own, *means.values())

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        flat = {name: one.to_dict() for name, one in self.directions.items()}
        return {**flat, "mean_recall@1": self.mean_recall_at_1, "mean_recall": self.mean_recall}


def _direction(value: Any, path: str) -> RetrievalMetrics:
    numbers = decode(Mapping[str, float], value, path)
    try:
        return RetrievalMetrics.from_dict(numbers)
    except KeyError as error:
        raise FieldError(f"{path}.{error.args[0]} is missing") from error


@dataclass(frozen=True)
class Gallery:
    """What test captions are searched in.

    Attributes:
        kind: images, or english (captions).
        size: number of its items.
        items: for each test caption the place of its item in the gallery, where an item has several captions.
    """

    kind: str
    size: int
    items: Sequence[int] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class TrainingText:
    """Translated text that was trained on in place of the training pairs.

    Attributes:
        dataset: name of the set, or `text`.
        sha256: SHA-256 of each column of captions; None for a column that was not there.
        provenance: where it came from.
        photographs: number of pairs with a photograph that were trained on beside it; None for text alone.
    """

    dataset: str
    sha256: Mapping[str, str | None] = field(repr=False)
    provenance: Mapping[str, Any] = field(repr=False)
    photographs: int | None = None


@dataclass(frozen=True)
class DataDescription:
    """The data of a run.

    Attributes:
        dataset: name or path of the data set.
        language: code of the language.
        captions: number of captions of the whole set.
        split: number of captions of each part: train, val and test, or test alone.
        query: column that is the query in each part.
        sha256: SHA-256 of each column of captions; None for a column that was not there.
        provenance: where the captions and images came from.
        gallery: of the test part.
        translations: text that was trained on in place of the pairs, or None.
        manifest: name of the file in `splits/` that repeats the split, without `.json`; None in older results, where it
            is the run id, and in evaluations.
        duplicates: how many test items repeat an earlier one, so that which is to be found is ambiguous: of the
            `gallery`, and of the `queries` that have another item. Without what does not occur; None if nothing does.
        files: SHA-256 of the local files that the config names, by field, such as `start`; None where it names
            none, and in older results.
    """

    dataset: str
    language: str
    captions: int
    split: Mapping[str, int]
    query: Mapping[str, str]
    sha256: Mapping[str, str | None] = field(repr=False)
    provenance: Mapping[str, Any] = field(repr=False)
    gallery: Gallery
    translations: TrainingText | None = None
    manifest: str | None = None
    duplicates: Mapping[str, int] | None = None
    files: Mapping[str, str] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Tower:
    """A tower's name, and the SHA-256 of its weights and preprocessing."""

    name: str
    fingerprint: str = field(repr=False)


@dataclass(frozen=True)
class TowerPair:
    """The towers of a run; no image tower where English captions are retrieved and nothing is trained on images."""

    text: Tower
    image: Tower | None


@dataclass(frozen=True)
class AdapterDescription:
    """The adapter of a run.

    Attributes:
        spec: its kinds and options, as text.
        trainable: number of its parameters for one language.
        total: number of parameters of the plain tower.
        share: the former relative to the latter.
        sha256: SHA-256 of its file, by which a result names its adapter; None in results of earlier versions.
    """

    spec: str
    trainable: int
    total: int
    share: float
    sha256: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Fleet:
    """How many configs were trained side by side, and which slot of the adapter this one had."""

    size: int
    slot: int


@dataclass(frozen=True)
class Seconds:
    """Wall-clock seconds of the training loop, and of one step."""

    train: float
    per_step: float


@dataclass(frozen=True)
class ClosedForm:
    """A head that was solved: the strength of its ridge, its mean squared error on held-out pairs, pairs, seconds."""

    ridge: float
    held_out_mse: float
    pairs: int
    seconds: float


@dataclass(frozen=True)
class Curve:
    """(step, value) at each validation: mean loss since the validation before, and mean recall@1 on the val part."""

    loss: Sequence[tuple[int, float]]
    val_mean_recall_at_1: Sequence[tuple[int, float]] = field(metadata={"key": "val_mean_recall@1"})


@dataclass(frozen=True)
class Machine:
    """Platform, and number of threads that torch used."""

    platform: str
    threads: int


@dataclass(frozen=True)
class Environment:
    """The software and machine of a run.

    Attributes:
        versions: of Python and packages; None for a package that is not installed.
        machine: platform and threads.
        commit: of the checkout that pecl ran from, or None.
        dirty: whether that checkout had uncommitted changes, or None.
    """

    versions: Mapping[str, str | None]
    machine: Machine
    commit: str | None
    dirty: bool | None
