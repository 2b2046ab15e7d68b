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
from pecl.errors import ConfigError, setting


def check_training_fields(config: ExperimentConfig) -> None:
    """Raise ConfigError with the first problem of a training."""
    for rule in (_recipe_problems, _evaluation_field_problems, _text_problems, _anchor_problems, _loss_problems):
        for problem in rule(config):
            raise problem


def check_evaluation_fields(config: ExperimentConfig) -> None:
    """Raise ConfigError for an evaluation whose fields exclude each other."""
    if config.image_embeddings is not None and config.gallery != "images":
        raise ConfigError(f"expected the gallery images with it, got {config.gallery}", field="image_embeddings")


def trains_on_text(config: ExperimentConfig) -> bool:
    """Return whether a training reads translated text in place of the pairs of its data set."""
    return config.text is not None or config.train_on != "pairs"


def _recipe_problems(config: ExperimentConfig) -> Iterator[ConfigError]:
    """Yield a memory that is missing or unused, and photographs that a recipe compares with at weight 0."""
    teacher = () if config.recipe is None else RECIPES[config.recipe].teacher
    if MEMORY in teacher and config.memory is None:
        yield ConfigError(
            f"expected English captions with the recipe {config.recipe}, such as multi30k, got none", field="memory"
        )
    if MEMORY not in teacher and config.memory is not None:
        yield ConfigError("expected a recipe that uses it, such as unpaired, got none: leave it out", field="memory")
    if "centring" in config.solvers and config.memory is None:
        yield ConfigError(
            "expected English captions with the solver centring, such as multi30k, got none", field="memory"
        )
    if own_recipe(config.recipe) is not None and IMAGES in teacher and not config.image_weight:
        yield ConfigError(
            f"expected a number > 0 with the recipe {config.recipe}, which compares with images, got 0",
            field="image_weight",
        )


def _evaluation_field_problems(config: ExperimentConfig) -> Iterator[ConfigError]:
    if config.weights is not None:
        yield ConfigError("expected none, since training starts from the base encoder: leave it out", field="weights")
    if config.image_embeddings is not None:
        yield ConfigError("expected none in a training: only evaluations use it", field="image_embeddings")
    if config.all_pairs:
        yield ConfigError("expected none in a training: it tests only its test part", field="all_pairs")


def _text_problems(config: ExperimentConfig) -> Iterator[ConfigError]:
    """Yield fields of translated text without any, and a test set without a text to train on."""
    if config.text is not None and config.train_on != "pairs":
        yield ConfigError(
            f"expected none with {setting(train_on=config.train_on)}: name both in {setting('text')}, with a comma",
            field="text",
        )

    advice = f"expected translated text with it, such as {setting(text='captions.tsv')}"
    if config.text is None and config.clean:
        yield ConfigError(f"{advice}; leave it out", field="clean")

    is_compared = trains_on_text(config) and config.dataset in TEXT_TESTS
    if config.text is None and config.overlap != "refuse" and not is_compared:
        yield ConfigError(f"{advice}; leave it out, got {config.overlap}", field="overlap")

    if trains_on_text(config):
        return
    if config.dataset in TEXT_TESTS:
        example = setting(text="flickr30k200")
        yield ConfigError(f"{config.dataset} is a test set: name the text to train on, as in {example}")
    for name in ("mixed", "train_size", "held_out"):
        if getattr(config, name) not in (None, False):
            yield ConfigError(f"expected translated text with it, such as {setting(text='flickr30k200')}", field=name)


def _anchor_problems(config: ExperimentConfig) -> Iterator[ConfigError]:
    """Yield what a route without an anchor cannot do, or a weight of 0, which leaves the anchor out."""
    _, anchor = ROUTES[config.route]
    if config.chooses_by_text and anchor is None:
        yield (
            ConfigError(
                f"expected method1, method2 or method3 with choose {config.choose} and solver {config.solver}, "
                f"which need an anchor, got {config.route}",
                field="route",
            )
        )

    if anchor is not None and config.alignment_weight:
        return
    if trains_on_text(config):
        yield (
            ConfigError(
                f"expected method1, method2 or method3 and an alignment_weight above 0 with text to train on, got "
                f"{config.route} and {config.alignment_weight:g}",
                field="route",
            )
        )
    if not config.image_weight:
        yield (
            ConfigError(
                f"expected a number > 0, got 0: route {config.route} has no alignment to learn from; or "
                "choose method1, method2 or method3 with an alignment_weight above 0",
                field="image_weight",
            )
        )


def _loss_problems(config: ExperimentConfig) -> Iterator[ConfigError]:
    """Yield images next to text without gradients."""
    if trains_on_text(config) and config.image_weight and "gradient" not in config.solvers:
        yield ConfigError(f"expected gradient for training with images and text, got {config.solver}", field="solver")
