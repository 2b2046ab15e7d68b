"""`ExperimentConfig`: everything that determines one run, as a frozen dataclass.

Each field is a flag of the command line (`alignment_weight` is `--alignment-weight`) and a key of
YAML files. A config checks its values and reports all problems at once. The run id is a hash over
the fields that can change the result, without fields of the roles `PATH`, `MACHINE` (threads,
processes) and `REPORTED`.

A new field needs one line with its roles, which include `LATER`; `fields_of` derives all sets of
fields from the roles. Rules that hold for trainings or for evaluations only are in `rules`.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any

from pecl.config.choices import LOSSES, SOLVERS, TEXT_TESTS, TRACKERS, TRAIN_ON, Role
from pecl.config.engines import ENGINES
from pecl.config.plugins import fingerprint
from pecl.config.recipes import RECIPES
from pecl.config.routes import WITHOUT_ANCHOR
from pecl.errors import EMPTY_PATH, ConfigError, raise_problems
from pecl.files import is_path, sha256_json
from pecl.language.languages import any_language_code, language_code
from pecl.machine import FP32, PRECISIONS, resolve_precision
from pecl.options import TOP_LAYERS, option, problems_of

_MAX_SEED = 2**62  # torch takes less than 2 ** 64, and each step adds to it
_TOWER = Role.EVALUATION | Role.GROUP
_DATA = Role.EVALUATION | Role.DATA
_LOSS = Role.FLEET | Role.SEARCHED


def _option(default: Any, help: str, roles: Role = Role.NONE, **metadata: Any) -> Any:
    return option(default, help, roles=roles, **metadata)


@dataclass(frozen=True)
class ExperimentConfig:
    """One run. The help of a field gives its meaning and unit; defaults are the paper's few-shot protocol."""

    profile: str = _option("mini", "pair of towers: mini, paper, ...", _TOWER | Role.TEXT_TOWER | Role.STEP_TIME)
    text_model: str | None = _option(
        None,
        "text tower instead of the profile's: hub id, folder, or mini-pooled (mini without its linear layer)",
        _TOWER | Role.TEXT_TOWER | Role.STEP_TIME | Role.COMMAS,
    )
    image_model: str | None = _option(
        None, "image tower instead of the profile's: hub id or folder", _TOWER | Role.COMMAS
    )
    dataset: str = _option("scenes", "data set, see `pecl data list`", _DATA | Role.GROUP)
    data_dir: str | None = _option(
        None, "folder of the data sets (default: $PECL_DATA_DIR)", Role.INPUT | Role.PATH | Role.COMMAS
    )
    split: str | None = _option(None, "split of the data set, such as test_2016_flickr", _DATA | Role.GROUP)
    allow_missing_images: bool = _option(False, "drop captions whose image is missing; their number is recorded", _DATA)
    skip_unreadable: bool = _option(
        False, "drop captions whose image is missing or unreadable; their number is recorded", _DATA
    )
    allow_copied_translations: bool = _option(False, "accept a translation file that repeats another language's", _DATA)
    language: str = _option("de", "target language", _DATA | Role.FLEET | Role.ROW)
    joint: str | None = _option(
        None, "languages that train one adapter together, joined by +, such as de+fr+cs", Role.LATER
    )
    route: str = _option(
        "method1",
        "baseline1, baseline2, method1, method2 or method3",
        Role.EVALUATION | Role.INPUT | Role.FLEET | Role.ROW,
    )
    recipe: str | None = _option(
        None,
        "recipe, which sets other fields and may have a loss of its own, see `pecl recipes` (default: the route)",
        Role.INPUT | Role.LATER,
        choices=RECIPES,
    )
    test_query: str = _option(
        "train-side",
        "test queries: train-side (those of the route), or official-run-cross (as in the release)",
        Role.EVALUATION | Role.INPUT | Role.FLEET | Role.GROUP,
    )
    train_on: str = _option(
        "pairs",
        "pairs: the few-shot pairs; else a named text, such as multi30k-translations (outside the pool) or sib200",
        Role.INPUT,
        choices=TRAIN_ON,
    )
    train_size: int | None = _option(
        None, "number of translated captions to train on (default: all)", Role.INPUT, low=1
    )
    text: str | None = _option(
        None,
        "translated text to train on, joined by commas: names as for train_on, tables with two columns, or two aligned "
        "files a.en=a.cs; a.tsv@0.5 uses half of the pairs",
        Role.INPUT | Role.COMMAS | Role.LATER,
    )
    mixed: str | None = _option(
        None,
        "also train on English captions with some words replaced by their translations: multi30k, or files with a "
        "caption per line, joined by commas; a.txt@0.5 uses half of the captions",
        Role.INPUT | Role.COMMAS | Role.LATER,
    )
    memory: str | None = _option(
        None,
        "English captions without translations, for recipes that need no pairs: multi30k, or files with a caption per "
        "line, joined by commas; a.txt@0.5 uses half of the captions",
        Role.COMMAS | Role.LATER,
    )
    clean: bool = _option(False, "drop empty and repeated pairs of the training text", Role.INPUT | Role.LATER)
    overlap: str = _option(
        "refuse",
        "pairs of the training text that are in the test part: refuse, drop or allow",
        Role.INPUT | Role.LATER,
        choices=("refuse", "drop", "allow"),
    )
    held_out: int | None = _option(
        None,
        "number of English captions to hold out for choosing weights (default: a tenth, at most 1000)",
        Role.INPUT | Role.LATER,
        low=1,
    )
    adapter: str = _option("lora", "kind of adapter and its options, see `pecl adapters list`")
    engine: str = _option(
        "pecl",
        "implementation of the adapter: pecl (slots), or the classes of peft or opendelta (one run at a time)",
        choices=ENGINES,
    )
    rank: int | None = _option(None, "rank of LoRA (default: the adapter's own, 8)", Role.ROW, low=1)
    adapter_layers: str | None = _option(
        None,
        "layers of the text tower with the adapter: top-K for the K topmost (default: the adapter's own, all)",
        Role.ROW | Role.LATER,
        form=TOP_LAYERS,
    )
    alignment: str = _option(
        "mse",
        "loss that aligns query and anchor; several joined by +, each with an optional weight: mse+match:0.1",
        _LOSS | Role.ANCHOR,
        choices=LOSSES,
        joined="+",
        weighted=True,
    )
    alignment_weight: float = _option(0.03, "weight of this loss, lambda", _LOSS | Role.ANCHOR, low=0.0)
    image_weight: float = _option(
        1.0, "weight of the image-text loss; 0 trains on text only", _LOSS | Role.DATA, low=0.0
    )
    anchor: str = _option(
        "student",
        "student: gradients flow through both texts; frozen: the tower without its adapter",
        _LOSS | Role.ANCHOR,
        choices=("student", "frozen"),
    )
    lr: float = _option(1e-4, "peak learning rate (after warm-up)", _LOSS, low=0.0)
    solver: str = _option(
        "gradient",
        "phases of training, for example closed-form+gradient; closed-form solves the head by ridge regression",
        Role.SEARCHED | Role.INPUT | Role.LATER,
        choices=SOLVERS,
        joined="+",
    )
    start: str | None = _option(
        None,
        "initialise from this adapter; its configuration replaces adapter. Or lexicon: initialise word embeddings "
        "from the English words that they translate (default: the kind's own initial values)",
        Role.SEARCHED | Role.COMMAS | Role.LATER,
    )
    warmup: int = _option(0, "steps in which the learning rate rises from 0", Role.SEARCHED | Role.LATER, low=0)
    ema: float = _option(
        0.0,
        "decay of the moving average of the weights, such as 0.99; 0 averages nothing",
        Role.SEARCHED | Role.LATER,
        low=0.0,
        high=0.9999,
    )
    choose: str = _option(
        "validation",
        "weights to keep: best recall on the validation part (validation), best text-to-text recall on held-out "
        "pairs (text), or the last",
        Role.SEARCHED | Role.INPUT | Role.LATER,
        choices=("validation", "text", "last"),
    )
    patience: int | None = _option(
        None,
        "stop after this many validations without a better score (default: train to the last step)",
        Role.SEARCHED | Role.LATER,
        low=1,
    )
    shots: int | None = _option(
        50,
        "pairs for training, and the same number for validation; all: the whole training part, for data that have one",
        Role.INPUT,
        low=1,
        none="all",
    )
    epochs: int = _option(50, "passes over the training pairs", Role.SEARCHED, low=1, high=1_000_000)
    batch_size: int = _option(5, "pairs per step", Role.SEARCHED | Role.STEP_TIME, low=1)
    eval_every: int = _option(5, "steps between validations", Role.SEARCHED, low=1)
    dropout: bool = _option(True, "apply dropout while training: the text tower's own, and lora_dropout", Role.SEARCHED)
    seed: int = _option(
        1, "seed of initial values, order and dropout", Role.FLEET | Role.ROW | Role.REPEAT, low=0, high=_MAX_SEED
    )
    split_seed: int = _option(
        42, "seed of the few-shot split", Role.INPUT | Role.FLEET | Role.GROUP, low=0, high=_MAX_SEED
    )
    gallery: str = _option(
        "images", "items to retrieve: images, or english (captions)", _DATA | Role.GROUP, choices=("images", "english")
    )
    weights: str | None = _option(
        None,
        "adapter to evaluate: a language (cs), towers and language (mini:cs), or a path (default: the base encoder)",
        Role.EVALUATION | Role.ROW | Role.COMMAS,
        flag=False,  # `pecl evaluate` calls it --adapter
    )
    image_embeddings: str | None = _option(
        None,
        "image embeddings by another program, in place of the image tower: parquet, or a folder of it",
        Role.EVALUATION | Role.COMMAS | Role.LATER,
        flag=False,  # `pecl evaluate` calls it --embeddings
    )
    all_pairs: bool = _option(
        False,
        "also test pairs that trained the adapter or chose its weights (default: only the others)",
        Role.EVALUATION | Role.LATER,
        flag=False,  # `pecl evaluate` has it
    )
    device: str = _option(
        "cpu", "torch device, such as cpu or cuda:0", Role.EVALUATION | Role.TEXT_TOWER | Role.STEP_TIME | Role.SEARCHED
    )
    precision: str = _option(
        FP32,
        "arithmetic of the text tower: fp32, bf16, or auto (bf16 where it is faster); trained values stay fp32",
        Role.EVALUATION | Role.STEP_TIME | Role.LATER,
        choices=PRECISIONS,
    )
    threads: int | None = _option(None, "CPU threads (affects rounding; default: all)", Role.MACHINE, low=1)
    out: str = _option("results/default", "folder of the experiment's results", Role.PATH | Role.COMMAS)
    report_to: str | None = _option(
        None,
        "trackers that the training is reported to, joined by commas: tensorboard, wandb, mlflow, trackio, csv",
        Role.REPORTED | Role.COMMAS | Role.LATER,
        choices=TRACKERS,
        joined=",",
    )
    plugin: str | None = _option(
        None,
        "your Python files, or installed plug-ins, that register adapters, losses, data sets or languages; joined by "
        "commas",
        Role.PATH | Role.COMMAS | Role.LATER,
        flag=False,  # every command has it, see `commands.options`
    )
    processes: int = _option(
        1,
        "processes that share each batch (affects rounding); torchrun sets it",
        Role.MACHINE | Role.LATER,
        low=1,
        flag=False,
    )

    def __post_init__(self) -> None:
        raise_problems([*problems_of(self), *(problem for rule in _RULES for problem in rule(self))])
        for name, value in _normal_values(self).items():
            object.__setattr__(self, name, value)

    def code_of(self, text: str) -> str:
        """Return the code of a language; for a table of captions, any code is valid."""
        return any_language_code(text) if is_path(str(self.dataset)) else language_code(text)

    @property
    def joint_languages(self) -> tuple[str, ...]:
        """Codes of the languages that learn one adapter together; empty for a language trained by itself."""
        return () if self.joint is None else tuple(self.joint.split("+"))

    @property
    def trackers(self) -> tuple[str, ...]:
        """Names of the trackers that the training is reported to, each once."""
        if self.report_to is None:
            return ()
        return tuple(dict.fromkeys(self.report_to.split(",")))

    @property
    def losses(self) -> tuple[str, ...]:
        """Names of the losses that align query and anchor; their values are added."""
        return tuple(term.partition(":")[0] for term in str(self.alignment).split("+"))

    @property
    def loss_weights(self) -> tuple[float, ...]:
        """Weight of each loss within their sum."""
        return tuple(float(term.partition(":")[2] or 1) for term in str(self.alignment).split("+"))

    @property
    def chooses_by_text(self) -> bool:
        """Whether held-out pairs choose weights or the strength of the closed form."""
        return self.choose == "text" or "closed-form" in self.solvers

    @property
    def solvers(self) -> tuple[str, ...]:
        """Phases of training, in order."""
        return tuple(str(self.solver).split("+"))

    def identity(self, kind: str = "train") -> dict[str, Any]:
        """Return the fields that can change the result of a run of `kind`: train, or evaluate."""
        names = IDENTITY_DEFAULTS.keys()
        if kind == "evaluate":
            names &= EVALUATION_FIELDS
        elif self.route in WITHOUT_ANCHOR:
            names -= ANCHOR_FIELDS
        return {name: value for name, value in self.to_record().items() if name in names}

    def run_id(self, kind: str = "train") -> str:
        """Return the run's identity: 16 hexadecimal digits of the SHA-256 of its kind and identity fields."""
        return sha256_json({"kind": kind, **self.identity(kind)})[:16]

    def to_record(self) -> dict[str, Any]:
        """Return the fields that a result records: all but fields of the role `LATER` that have their default."""
        return {name: value for name, value in vars(self).items() if name not in _LATER or value != _LATER[name]}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "ExperimentConfig":
        """Return a recorded config unchanged. Names are not checked: a plug-in may have registered them for the run.

        Raises:
            ValueError: a field is unknown to this version.
        """
        unknown_fields = record.keys() - _DEFAULTS.keys()
        if unknown_fields:
            raise ValueError(f"config.{min(unknown_fields)} is unknown to this version of pecl")
        config = object.__new__(cls)
        for name, value in {**_DEFAULTS, **record}.items():
            object.__setattr__(config, name, value)
        return config

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as plain values."""
        return asdict(self)


# Rules for several fields at once, or for fields whose values are not options. `problems_of` checks
# types and ranges: a rule leaves a value of a wrong type to it.


def _check_language(config: ExperimentConfig) -> Iterator[ConfigError]:
    try:
        config.code_of(str(config.language))
    except ConfigError as error:
        yield ConfigError(str(error), field="language")


def _check_solver(config: ExperimentConfig) -> Iterator[ConfigError]:
    if not isinstance(config.solver, str) or not all(name in SOLVERS for name in config.solvers):
        return

    repeats = any(first == second for first, second in pairwise(config.solvers))
    if config.solvers.count("gradient") > 1 or repeats:
        expected = "gradient once, and closed-form before and after it at most"
        yield ConfigError(field="solver", expected=expected, got=f'"{config.solver}"')
        return

    engine = ENGINES.get(str(config.engine))  # None is a problem of its own
    if engine is None or engine.has_parts:
        return

    if "closed-form" in config.solvers or config.start is not None:
        names = " or ".join(name for name, engine in ENGINES.items() if engine.has_parts)
        expected = f"{names} with the solver closed-form or a start"
        yield ConfigError(field="engine", expected=expected, got=f'"{config.engine}"')


def _check_joint(config: ExperimentConfig) -> Iterator[ConfigError]:
    if not isinstance(config.joint, str):
        return

    try:
        codes = {config.code_of(code) for code in config.joint_languages}
    except ConfigError as error:
        yield ConfigError(str(error), field="joint")
        return

    with contextlib.suppress(ConfigError):  # of the language, which `_check_language` reports
        if len(codes) < 2 or config.code_of(str(config.language)) not in codes:
            expected = f'two languages or more, "{config.language}" among them'
            yield ConfigError(field="joint", expected=expected, got=f'"{config.joint}"')


def _check_plugin(config: ExperimentConfig) -> Iterator[ConfigError]:
    if not isinstance(config.plugin, str):
        return
    try:
        fingerprint(config.plugin)
    except ConfigError as error:
        yield error


def _check_paths(config: ExperimentConfig) -> Iterator[ConfigError]:
    for name in ("data_dir", "out"):
        if getattr(config, name) == "":
            yield ConfigError(EMPTY_PATH, field=name)


_RULES = (_check_language, _check_solver, _check_joint, _check_plugin, _check_paths)


def _normal_values(config: ExperimentConfig) -> dict[str, Any]:
    """Return the fields of a valid config whose values can be written in several ways, in one way."""
    values: dict[str, Any] = {
        "language": config.code_of(config.language),
        "precision": resolve_precision(config.precision, config.device),
    }
    if config.dataset in TEXT_TESTS:
        values["gallery"] = "english"

    if config.joint is not None:  # in one order, so that one adapter has one identity
        values["joint"] = "+".join(sorted({config.code_of(code) for code in config.joint_languages}))

    for name in ("data_dir", "out"):
        path = getattr(config, name)
        if path is not None:
            values[name] = os.path.expanduser(path)

    for name, default in _DEFAULTS.items():
        if type(default) is float:  # 0 and 0.0 are one run
            values[name] = float(getattr(config, name))

    return values


def fields_of(roles: Role) -> frozenset[str]:
    """Return the names of the fields that have one of `roles`."""
    return frozenset(field.name for field in fields(ExperimentConfig) if field.metadata["roles"] & roles)


EVALUATION_FIELDS = fields_of(Role.EVALUATION)
FLEET_FIELDS = fields_of(Role.FLEET)
MACHINE_FIELDS = fields_of(Role.MACHINE)
ANCHOR_FIELDS = fields_of(Role.ANCHOR)
_DEFAULTS = {field.name: field.default for field in fields(ExperimentConfig)}
_OUTSIDE_IDENTITY = fields_of(Role.PATH | Role.MACHINE | Role.REPORTED)
_LATER = {name: _DEFAULTS[name] for name in fields_of(Role.LATER)}
# Names and defaults of the fields that can change a result, in their order
IDENTITY_DEFAULTS = {name: value for name, value in _DEFAULTS.items() if name not in _OUTSIDE_IDENTITY}
