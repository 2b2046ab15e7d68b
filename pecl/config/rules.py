"""Rules for several fields of a config that hold for trainings, or for evaluations, only.

They are checked before any data are read. Rules for every config are in `experiment`. What needs
data, a tower or an adapter is checked where they are read: in the package `experiment`, by
`inputs`, `loading`, `initial_weights`, `towers`, `closed_form` and `fleet`.
"""

from collections.abc import Iterator

from pecl.config.choices import TEXT_TESTS
from pecl.config.experiment import ExperimentConfig
from pecl.config.recipes import IMAGES, MEMORY, RECIPES, own_recipe
from pecl.config.routes import ROUTES
from pecl.errors import ConfigError


def check_training_fields(config: ExperimentConfig) -> None:
    """Raise ConfigError with the first problem of a training."""
    for rule in (_recipe_problems, _evaluation_field_problems, _text_problems, _anchor_problems, _loss_problems):
        for problem in rule(config):
            raise ConfigError(problem)


def check_evaluation_fields(config: ExperimentConfig) -> None:
    """Raise ConfigError for an evaluation whose fields exclude each other."""
    if config.image_embeddings is None and config.image_paths is not None:
        raise ConfigError("image_paths: expected image_embeddings with it")
    if config.image_embeddings is not None and config.gallery != "images":
        raise ConfigError(f"image_embeddings: expected the gallery images with it, got {config.gallery}")


def trains_on_text(config: ExperimentConfig) -> bool:
    """Return whether a training reads translated text in place of the pairs of its data set."""
    return config.text is not None or config.train_on != "pairs"


def _recipe_problems(config: ExperimentConfig) -> Iterator[str]:
    """Yield a memory that is missing or unused, and photographs that a recipe compares with at weight 0."""
    teacher = () if config.recipe is None else RECIPES[config.recipe].teacher
    if MEMORY in teacher and config.memory is None:
        yield f"memory: expected English captions with the recipe {config.recipe}, such as multi30k, got none"
    if MEMORY not in teacher and config.memory is not None:
        yield "memory: expected a recipe that uses it, such as unpaired, got none: leave it out"
    if "centring" in config.solvers and config.memory is None:
        yield "memory: expected English captions with the solver centring, such as multi30k, got none"
    if own_recipe(config.recipe) is not None and IMAGES in teacher and not config.image_weight:
        yield f"image_weight: expected a number > 0 with the recipe {config.recipe}, which compares with images, got 0"


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
    for name in ("mixed", "train_size", "held_out"):
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
