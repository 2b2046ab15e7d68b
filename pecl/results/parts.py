"""The parts of a `Result`: measurements, data, towers, adapter, training; and the software and machine it came from."""

import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PlainSerializer, PlainValidator

from pecl.files.typed_json import Flag, Number, Points, Ranks, Text, Whole
from pecl.retrieval.measures import DIRECTIONS, METRIC, RetrievalMetrics

_PACKAGES = ("pecl", "torch", "transformers", "timm", "safetensors", "tokenizers", "numpy")
_CODE = (":/", ":(top,exclude)results", ":(top,exclude)pecl/adapters/shipped")  # code that can change results


@dataclass(frozen=True)
class Measured:
    """The measurements of one part of the data at one stage."""

    directions: Mapping[str, RetrievalMetrics]  # metrics of each direction, such as `text_to_image`
    mean_recall_at_1: float  # mean over both directions of recall@1, the primary metric
    mean_recall: float  # mean over both directions of recall@1, 5 and 10


def _measured(flat: Mapping[str, Any]) -> Measured:
    directions = {name: RetrievalMetrics.from_dict(value) for name, value in flat.items() if isinstance(value, dict)}
    return Measured(directions, flat[METRIC], flat["mean_recall"])


def _flat(measured: Measured) -> dict[str, Any]:
    flat = {name: metrics.to_dict() for name, metrics in measured.directions.items()}
    return {**flat, METRIC: measured.mean_recall_at_1, "mean_recall": measured.mean_recall}


MeasuredRecord = Annotated[Measured, PlainValidator(_measured), PlainSerializer(_flat)]


@dataclass(frozen=True)
class GalleryRecord:
    """The gallery in which test captions search."""

    kind: Text  # images, or english (captions)
    size: Whole  # number of its items
    # position in the gallery of each test caption's item, if items have several captions
    items: Ranks | None = field(default=None, repr=False)

    @property
    def directions(self) -> tuple[str, str]:
        """Directions of retrieval: first with gallery items as queries, then with test captions."""
        return DIRECTIONS[self.kind]


@dataclass(frozen=True)
class TrainingTextRecord:
    """Translated text that was trained on in place of the training pairs."""

    dataset: Text  # name of the set, or `text`
    # SHA-256 of each column of captions; None for a column that was not there
    sha256: Mapping[Text, Text | None] = field(repr=False)
    provenance: Mapping[Text, Any] = field(repr=False)
    # number of training pairs with a photograph next to the text; None for text only
    photographs: Whole | None = None


@dataclass(frozen=True)
class DataDescription:
    """The data of a run."""

    dataset: Text  # name or path of the data set
    language: Text
    captions: Whole  # number of captions of the whole set
    split: Mapping[Text, Whole]  # number of captions of each part: train, val and test, or only test
    query: Mapping[Text, Text]  # column that is the query in each part
    # SHA-256 of each column of captions, of the captions' photographs by name, and parts; None for what was not there
    sha256: Mapping[Text, Text | None] = field(repr=False)
    provenance: Mapping[Text, Any] = field(repr=False)  # origin of the captions and images
    gallery: GalleryRecord
    translations: TrainingTextRecord | None = None
    # name of the file in `splits/` with the split, without `.json`; None in evaluations
    manifest: Text | None = None
    # number of test items that repeat an earlier one, which makes the right item ambiguous: of the `gallery`, and of
    # `queries` with another item. Counts of 0 are left out; None if all are.
    duplicates: Mapping[Text, Whole] | None = None
    # number of pairs that trained the evaluated adapter or chose its weights: `left_out` of the test, or `tested`; None
    # without an adapter, or if its file states none
    training_pairs: Mapping[Text, Whole] | None = None
    # SHA-256 of the local files that the config names, by field, such as `start`, and digests of the code of registered
    # names, such as `loss gram`; None without any
    files: Mapping[Text, Text] | None = field(default=None, repr=False)
    # one SHA-256 over the photographs that were trained on or retrieved; None without photographs, and in older results
    photographs: Text | None = field(default=None, repr=False)
    # text unlike the training text, which is measured as the part `other_text`: its data set, split, language, number
    # of texts, and SHA-256 of its columns; or None
    other_text: Mapping[Text, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Tower:
    """A tower's name, and the SHA-256 of its weights and preprocessing; or of a file of embeddings in its place."""

    name: Text
    fingerprint: Text = field(repr=False)


@dataclass(frozen=True)
class TowerPair:
    """The towers of a run; no image tower if English captions are retrieved and nothing is trained on images."""

    text: Tower
    image: Tower | None


@dataclass(frozen=True)
class AdapterDescription:
    """The adapter of a run."""

    spec: Text  # its kinds and options, as text
    trainable: Whole  # number of its parameters for one language
    total: Whole  # number of parameters of the base encoder
    share: Number  # trainable / total
    # SHA-256 of its file; None if the result names no file
    sha256: Text | None = field(default=None, repr=False)


@dataclass(frozen=True)
class FleetRecord:
    """Number of configs that were trained in one pass, and the slot of this config."""

    size: Whole
    slot: Whole


@dataclass(frozen=True)
class Seconds:
    """Wall-clock seconds of the training loop, and of one step."""

    train: Number
    per_step: Number


@dataclass(frozen=True)
class ClosedForm:
    """A head that was solved: the strength of its ridge, its mean squared error on held-out pairs, pairs, seconds."""

    ridge: Number
    held_out_mse: Number
    pairs: Whole
    seconds: Number


@dataclass(frozen=True)
class Curve:
    """(step, value) at each validation: mean loss since the validation before, and mean recall@1 on the val part."""

    loss: Points
    val_mean_recall_at_1: Annotated[Points, Field(alias="val_mean_recall@1")]


@dataclass(frozen=True)
class Machine:
    """Platform, and number of threads that torch used."""

    platform: Text
    threads: Whole


@dataclass(frozen=True)
class Environment:
    """The software and machine of a run."""

    versions: Mapping[Text, Text | None]  # versions of Python and packages; None for a package that is not installed
    machine: Machine
    commit: Text | None  # commit of the checkout that pecl ran from, or None
    dirty: Flag | None  # whether that checkout had uncommitted changes, or None


def environment() -> Environment:
    """Return the software and machine of this process."""
    import torch  # here and below: reading results needs none

    machine = Machine(platform.platform(), torch.get_num_threads())
    return Environment(_versions(), machine, *_checkout())


@cache
def _versions() -> Mapping[str, str | None]:
    """Return the versions of Python and packages: the process keeps those that it has loaded."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return versions


@cache
def _checkout() -> tuple[str | None, bool | None]:
    """Return the commit of the checkout that pecl runs from, and whether it has changes; None without a checkout.

    It is read once, when a process records its first run: the process keeps the code that it has loaded.
    """
    hashes = _git("rev-parse", "HEAD", f"HEAD:./{Path(__file__).name}")  # fails in a checkout of something else
    if not hashes:
        return None, None
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", *_CODE)
    return hashes.splitlines()[0], bool(changes)


def _git(*arguments: str) -> str | None:
    """Return git's output for the checkout that pecl runs from, or None if it is installed without one."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return process.stdout.strip()
