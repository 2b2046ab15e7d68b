"""Rules for several fields of a config at once, or for fields whose values are not options.

`problems_with` is checked by every config, `check_training` and `check_evaluation` by a run of that
kind before it reads data. The type and range of a single field are with the field. What needs data,
a tower or an adapter is checked where they are read: in `experiment`, by `inputs`, `loading`,
`start`, `towers`, `closed_form` and `fleet`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from pecl.config.choices import SOLVERS, TEXT_TESTS
from pecl.config.engines import ENGINES
from pecl.config.plugins import fingerprint
from pecl.config.routes import ROUTES
from pecl.errors import EMPTY_PATH, ConfigError

if TYPE_CHECKING:
    from pecl.config.experiment import ExperimentConfig


def problems_with(config: ExperimentConfig) -> Iterator[str]:
    """Yield what is wrong with a config of any kind of run. A rule leaves a value of a wrong type to its field."""
    for rule in (_language_problems, _solver_problems, _joint_problems, _plugin_problems, _path_problems):
        yield from rule(config)


def check_training(config: ExperimentConfig) -> None:
    """Raise ConfigError with the first problem of a training."""
    for rule in (_evaluation_field_problems, _text_problems, _anchor_problems, _loss_problems):
        for problem in rule(config):
            raise ConfigError(problem)


def check_evaluation(config: ExperimentConfig) -> None:
    """Raise ConfigError for an evaluation whose fields exclude each other."""
    if config.image_embeddings is None and config.image_paths is not None:
        raise ConfigError("image_paths: expected image_embeddings with it")
    if config.image_embeddings is not None and config.gallery != "images":
        raise ConfigError(f"image_embeddings: expected the gallery images with it, got {config.gallery}")


def trains_on_text(config: ExperimentConfig) -> bool:
    """Return whether a training reads translated text in place of the pairs of its data set."""
    return config.text is not None or config.train_on != "pairs"


def _language_problems(config: ExperimentConfig) -> Iterator[str]:
    try:
        config.code_of(str(config.language))
    except ConfigError as error:
        yield f"language: {error}"


def _solver_problems(config: ExperimentConfig) -> Iterator[str]:
    if not isinstance(config.solver, str) or not all(name in SOLVERS for name in config.solvers):
        return

    repeats = any(first == second for first, second in pairwise(config.solvers))
    if config.solvers.count("gradient") > 1 or repeats:
        yield f'solver: expected gradient once, and closed-form before and after it at most, got "{config.solver}"'
        return

    engine = ENGINES.get(str(config.engine))  # None is a problem of its own
    if engine is None or engine.has_parts:
        return

    if "closed-form" in config.solvers or config.start is not None:
        expected = " or ".join(name for name, engine in ENGINES.items() if engine.has_parts)
        yield f'engine: expected {expected} with the solver closed-form or a start, got "{config.engine}"'


def _joint_problems(config: ExperimentConfig) -> Iterator[str]:
    if not isinstance(config.joint, str):
        return

    try:
        codes = {config.code_of(code) for code in config.joint_languages}
    except ConfigError as error:
        yield f"joint: {error}"
        return

    with contextlib.suppress(ConfigError):  # of the language, which `_language_problems` reports
        if len(codes) < 2 or config.code_of(str(config.language)) not in codes:
            yield f'joint: expected two languages or more, "{config.language}" among them, got "{config.joint}"'


def _plugin_problems(config: ExperimentConfig) -> Iterator[str]:
    if not isinstance(config.plugin, str):
        return
    try:
        fingerprint(config.plugin)
    except ConfigError as error:
        yield str(error)


def _path_problems(config: ExperimentConfig) -> Iterator[str]:
    for name in ("data_dir", "out"):
        if getattr(config, name) == "":
            yield f"{name}: {EMPTY_PATH}"


def _evaluation_field_problems(config: ExperimentConfig) -> Iterator[str]:
    if config.weights is not None:
        yield "weights: expected none, since training starts from the plain tower: leave it out"
    if config.image_embeddings is not None or config.image_paths is not None:
        yield "image_embeddings, image_paths: expected neither in a training: only evaluations use them"
    if config.all_pairs:
        yield "all_pairs: expected none in a training: it tests only its test part"


def _text_problems(config: ExperimentConfig) -> Iterator[str]:
    """Yield fields of translated text without any, and a test set without a text to train on."""
    if config.text is not None and config.train_on != "pairs":
        yield f"text: expected none with train_on {config.train_on}: name both in --text, with a comma"

    advice = "expected translated text with it, such as --text captions.tsv"
    if config.text is None and config.clean:
        yield f"clean: {advice}; leave it out"

    is_compared = trains_on_text(config) and config.dataset in TEXT_TESTS
    if config.text is None and config.overlap != "refuse" and not is_compared:
        yield f"overlap: {advice}; leave it out, got {config.overlap}"

    if trains_on_text(config):
        return
    if config.dataset in TEXT_TESTS:
        yield f"{config.dataset} is a test set: name the text to train on, as in --text flickr30k200"
    for name in ("mixed", "spellings", "train_size", "held_out"):
        if getattr(config, name) not in (None, False):
            yield f"{name}: expected translated text with it, such as --text flickr30k200"


def _anchor_problems(config: ExperimentConfig) -> Iterator[str]:
    """Yield what a route without an anchor cannot do, or a weight of 0, which leaves the anchor out."""
    _, anchor = ROUTES[config.route]
    if config.chooses_by_text and anchor is None:
        yield (
            f"route: expected method1, method2 or method3 with choose {config.choose} and solver {config.solver}, "
            f"which need an anchor, got {config.route}"
        )

    if anchor is not None and config.alignment_weight:
        return
    if trains_on_text(config):
        yield (
            f"route: expected method1, method2 or method3 and an alignment_weight above 0 with text to train on, got "
            f"{config.route} and {config.alignment_weight:g}"
        )
    if not config.image_weight:
        yield (
            f"image_weight: expected a number > 0, got 0: route {config.route} has no alignment to learn from; or "
            "choose method1, method2 or method3 with an alignment_weight above 0"
        )


def _loss_problems(config: ExperimentConfig) -> Iterator[str]:
    """Yield losses that need images of the aligned pairs, or gradients, where there are none."""
    if "contrastive_with_image" in config.losses:
        if trains_on_text(config):
            yield (
                "alignment: contrastive_with_image needs images of the aligned pairs, got text, whose pairs have none"
            )
        if not config.image_weight:
            yield (
                "alignment: contrastive_with_image needs images of the aligned pairs, got image_weight "
                f"{config.image_weight:g}"
            )

        _, anchor = ROUTES[config.route]
        if anchor is not None and config.alignment_weight and config.anchor == "frozen":
            yield "anchor: expected student with contrastive_with_image, which trains anchors, got frozen"

    if trains_on_text(config) and config.image_weight and "gradient" not in config.solvers:
        yield f"solver: expected gradient for training with images and text, got {config.solver}"
