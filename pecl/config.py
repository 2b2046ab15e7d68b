"""`ExperimentConfig`: everything that determines one run, as a frozen dataclass with YAML in and out.

Each field is a flag of the command line (`alignment_weight` is `--alignment-weight`) and a key of YAML files. Values
are checked when a config is made, and all that is wrong is said at once. The run's identity is a hash over the fields
that can change its result; fields marked `identity: False` (where data and results lie) are left out, and fields
marked `unless_default` count only where they are set: they came later, and old results keep their identity.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import Field, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from pecl.errors import ConfigError, suggest, unknown
from pecl.files import is_path, sha256_json
from pecl.languages import any_language_code, language_code
from pecl.routes import WITHOUT_ANCHOR

ALIGNMENTS = ("mse", "contrastive", "contrastive_with_image", "cosine_mse")  # `losses` computes them
ANCHORS = ("student", "frozen")
ENGINES = ("pecl", "opendelta")
GALLERIES = ("images", "english")
TRAIN_ON = ("pairs", "multi30k-translations", "flickr30k200")
_CHOICES = {"anchor": ANCHORS, "engine": ENGINES, "gallery": GALLERIES, "train_on": TRAIN_ON}

# The fields that an evaluation depends on: towers, data and the query's side.
EVALUATION_FIELDS = frozenset(
    {"profile", "text_model", "image_model", "dataset", "split", "allow_missing_images", "language", "route"}
    | {"skip_unreadable", "allow_copied_translations", "test_query", "gallery", "weights", "device"}
)


# Fields in which the cells of a fleet may differ: they change what a slot learns, not the shape of the work.
FLEET_FIELDS = frozenset(
    {"language", "route", "test_query", "alignment", "alignment_weight", "image_weight", "anchor", "lr", "seed"}
    | {"split_seed"}
)

# Fields that say nothing where a route has no anchor to align to.
_ALIGNMENT_FIELDS = frozenset({"alignment", "alignment_weight", "anchor"})


def _option(default: Any, help: str, **metadata: Any) -> Any:
    return field(default=default, metadata={"help": help, **metadata})


@dataclass(frozen=True)
class ExperimentConfig:
    """One run. Every field's help says its unit and meaning; METHOD defaults are the paper's few-shot protocol."""

    profile: str = _option("mini", "pair of towers: mini, paper, ...")
    text_model: str | None = _option(
        None, "text tower instead of the profile's: hub id, folder, or mini-pooled (mini's without its linear layer)"
    )
    image_model: str | None = _option(None, "image tower instead of the profile's: hub id or folder")
    dataset: str = _option("scenes", "data set, see `pecl data list`")
    data_dir: str | None = _option(None, "folder of the data sets (default: $PECL_DATA_DIR)", identity=False)
    split: str | None = _option(None, "split of the data set, such as test_2016_flickr")
    allow_missing_images: bool = _option(False, "go on with the images that are there; their number is recorded")
    skip_unreadable: bool = _option(
        False, "leave out the captions of images that are missing or cannot be read; their number is recorded"
    )
    allow_copied_translations: bool = _option(False, "accept a translation file that repeats another language's")
    language: str = _option("de", "target language")
    joint: str | None = _option(
        None, "languages that learn one delta together, joined by +, such as de+fr+cs", unless_default=True
    )
    route: str = _option("method1", "baseline1, baseline2, method1, method2 or method3")
    test_query: str = _option("train-side", "test side: train-side, or official-run-cross (the release's pairing)")
    train_on: str = _option(
        "pairs",
        "pairs: the few-shot pairs; else translated text: multi30k-translations (outside the pool), flickr30k200",
    )
    train_size: int | None = _option(None, "number of translated captions to train on (default: all)", low=1)
    adapter: str = _option("lora", "parameter-efficient module, see `pecl adapters list`")
    engine: str = _option(
        "pecl", "who computes the module: pecl (slots), or opendelta (its classes; one cell at a time)"
    )
    rank: int | None = _option(None, "rank of LoRA (default: the module's own, 8)", low=1)
    alignment: str = _option("mse", "alignment of query and anchor; several are joined by +: mse+contrastive")
    alignment_weight: float = _option(0.03, "weight of the alignment, lambda", low=0.0)
    image_weight: float = _option(1.0, "weight of the image-text loss; 0 trains on text alone", low=0.0)
    anchor: str = _option("student", "student: gradients flow through both texts; frozen: the tower without its delta")
    lr: float = _option(1e-4, "learning rate at the first step", low=0.0)
    shots: int | None = _option(
        50,
        "pairs for training, and as many for validation; of data published in parts, of the training part: or all",
        low=1,
        none="all",
    )
    epochs: int = _option(50, "passes over the training pairs", low=1)
    batch_size: int = _option(5, "pairs a step", low=1)
    eval_every: int = _option(5, "steps between validations", low=1)
    dropout: bool = _option(True, "the text tower's own dropout while training")
    seed: int = _option(1, "of initial values, order and dropout", low=0)
    split_seed: int = _option(42, "of the few-shot split", low=0)
    gallery: str = _option("images", "what is retrieved: images, or english (captions)")
    weights: str | None = _option(None, "adapter file to evaluate, as written by train (default: the plain tower)")
    device: str = _option("cpu", "torch device, such as cpu or cuda:0")
    out: str = _option("results/default", "folder of the experiment's results", identity=False)
    beside: str | None = _option(
        None,
        "identity of the cells that are trained in one pass with this one; `side_by_side` sets it",
        unless_default=True,
        flag=False,
    )

    def __post_init__(self) -> None:
        problems = [problem for item in fields(self) for problem in _check(item, getattr(self, item.name))]
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                problems.append(f"{name}: {unknown('value', getattr(self, name), choices)}")
        for name in self.alignments:
            if name not in ALIGNMENTS:
                problems.append(f"alignment: {unknown('alignment', name, ALIGNMENTS)}")
        try:
            object.__setattr__(self, "language", self._code(str(self.language)))
        except ConfigError as error:
            problems.append(f"language: {error}")
        if self.joint is not None:
            problems += self._check_joint()
        if problems:
            raise ConfigError("; ".join(problems))

    def _code(self, text: str) -> str:
        """Return the code of a language; in one's own data it may be any."""
        return any_language_code(text) if is_path(str(self.dataset)) else language_code(text)

    def _check_joint(self) -> list[str]:
        try:
            codes = sorted({self._code(code) for code in self.joint_languages})
        except ConfigError as error:
            return [f"joint: {error}"]
        if len(codes) < 2 or self.language not in codes:
            return [f"joint: {self.joint!r} must name two languages or more, {self.language!r} among them"]
        object.__setattr__(self, "joint", "+".join(codes))  # in one order, so that one delta has one identity
        return []

    @property
    def joint_languages(self) -> tuple[str, ...]:
        """Codes of the languages that learn one delta together; empty for a language alone."""
        return () if self.joint is None else tuple(self.joint.split("+"))

    @property
    def alignments(self) -> tuple[str, ...]:
        """Names of the alignments, whose losses are added."""
        return tuple(str(self.alignment).split("+"))

    def identity(self, kind: str = "train") -> dict[str, Any]:
        """Return the fields that can change the result of a run of `kind`: train, or evaluate."""
        kept = (item for item in fields(self) if item.metadata.get("identity", True))
        if kind == "evaluate":
            kept = (item for item in kept if item.name in EVALUATION_FIELDS)
        elif self.route in WITHOUT_ANCHOR:
            kept = (item for item in kept if item.name not in _ALIGNMENT_FIELDS)
        return {item.name: getattr(self, item.name) for item in kept if self._counts(item)}

    def _counts(self, item: Field) -> bool:
        return not item.metadata.get("unless_default") or getattr(self, item.name) != item.default

    def run_id(self, kind: str = "train") -> str:
        """Return the run's identity: 16 hexadecimal digits of the SHA-256 of its kind and identity fields."""
        return sha256_json({"kind": kind, **self.identity(kind)})[:16]

    def alone(self) -> ExperimentConfig:
        """Return the cell without the mark of what stands beside it."""
        return self if self.beside is None else replace(self, beside=None)

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as plain values."""
        return asdict(self)


def side_by_side(configs: Sequence[ExperimentConfig]) -> list[ExperimentConfig]:
    """Return configs that are trained in one pass, each marked with what all of them are.

    What a cell draws for dropout, and its last digits, depend on the cells beside it: so its identity does too. A cell
    alone, or the languages of a joint training, bear no mark.
    """
    plain = [config.alone() for config in configs]
    if len(plain) == 1 or plain[0].joint:
        return plain
    mark = sha256_json([config.identity() for config in plain])[:16]
    return [replace(config, beside=mark) for config in plain]


@functools.cache
def _type_hints() -> dict[str, Any]:
    return typing.get_type_hints(ExperimentConfig)


def _value_type(item: Field) -> tuple[type, bool]:
    """Return a field's plain type and whether None is allowed."""
    hint = _type_hints()[item.name]
    if isinstance(hint, types.UnionType):
        return next(t for t in typing.get_args(hint) if t is not type(None)), True
    return hint, False


def _check(item: Field, value: Any) -> list[str]:
    kind, optional = _value_type(item)
    if value is None and optional:
        return []
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        return [f"{item.name}: {value!r} is no {kind.__name__}"]
    low = item.metadata.get("low")
    if low is not None and not low <= value < float("inf"):
        return [f"{item.name}: {value} is out of range, expected at least {low}"]
    return []


def parse_value(name: str, value: Any) -> Any:
    """Turn text, or a YAML value such as the string `1e-4`, into the type of the field `name`.

    Raises:
        ConfigError: the text is no such value.
    """
    item = next(item for item in fields(ExperimentConfig) if item.name == name)
    kind, optional = _value_type(item)
    if value is None or (optional and value in ("none", "null", item.metadata.get("none"))):
        return None
    if isinstance(value, str) and kind in (int, float):
        try:
            return kind(value)
        except ValueError as error:
            also = f", and not {item.metadata['none']}" if "none" in item.metadata else ""
            raise ConfigError(f"{name}: {value!r} is no {kind.__name__}{also}") from error
    if isinstance(value, str) and kind is bool:
        if value.lower() not in ("true", "false", "yes", "no", "on", "off", "1", "0"):
            raise ConfigError(f"{name}: {value!r} is neither true nor false")
        return value.lower() in ("true", "yes", "on", "1")
    return float(value) if kind is float and isinstance(value, int) and not isinstance(value, bool) else value


def make_config(values: Mapping[str, Any], where: str = "config") -> ExperimentConfig:
    """Return the config with `values` over the defaults.

    Raises:
        ConfigError: unknown keys (the nearest is named) or wrong values, all at once, beginning with `where`.
    """
    names = {item.name for item in fields(ExperimentConfig)}
    problems, parsed = [], {}
    for key, value in values.items():
        name = str(key).replace("-", "_")
        if name not in names:
            problems.append(f"unknown key {key!r}{suggest(name, names)}")
            continue
        try:
            parsed[name] = parse_value(name, value)
        except ConfigError as error:
            problems.append(str(error))
    try:
        config = ExperimentConfig(**parsed)
    except ConfigError as error:
        problems.append(str(error))
    if problems:
        raise ConfigError(f"{where}: {'; '.join(problems)}")
    return config


def each_language(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return `values` once for each language of a joint training that names no language; else as they are."""
    if values.get("joint") is None or "language" in values:
        return [dict(values)]
    return [{**values, "language": code} for code in str(values["joint"]).split("+")]


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds.

    Raises:
        ConfigError: the file is missing, no YAML (the line is named), no mapping, or names a key twice.
    """
    path = Path(path)
    try:
        text = path.read_text("utf-8")
        node = yaml.compose(text)
        document = yaml.safe_load(text)
    except OSError as error:
        raise ConfigError(f"cannot read config {path}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"{path}{line}: no valid YAML: {problem}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected keys and values, such as `language: de`, got a {type(document).__name__}")
    seen: set[str] = set()
    for key_node, _ in node.value:
        if key_node.value in seen:
            raise ConfigError(f"{path}, line {key_node.start_mark.line + 1}: key {key_node.value!r} stands twice")
        seen.add(key_node.value)
    return document


def write_yaml(config: ExperimentConfig) -> str:
    """Return `config` as YAML text; reading it gives an equal config."""
    return yaml.safe_dump(config.to_dict(), sort_keys=False, allow_unicode=True)
