"""Measure configs with another package's evaluation and with our own: same towers, adapters, captions and images."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec

from pecl.adapters.bank import AdapterBank
from pecl.config import ExperimentConfig
from pecl.encoders.towers import Towers
from pecl.errors import ConfigError, install, not_none, setting, unknown
from pecl.experiment.evaluation import evaluate, with_adapter
from pecl.experiment.inputs import Inputs, read_evaluation
from pecl.experiment.tested_pairs import without_training_pairs
from pecl.experiment.towers import towers_of
from pecl.retrieval.measures import RECALL_AT

Recalls = dict[str, dict[int, float]]  # direction -> k -> recall@k in [0, 1]


def evaluate_with(harness: str, configs: Sequence[ExperimentConfig]) -> list[dict[str, object]]:
    """Evaluate configs with a harness and with pecl, and return a row per language and direction.

    A row has `recall@k` in [0, 1] of both, such as `mteb recall@1`; the harness's only for k up to
    the gallery's size.

    Raises:
        ConfigError: no such harness, its package is not installed, or a config's gallery is not
            images, or embedded by another program.
        PeclError: as `evaluate`.
    """
    check_harness(harness, configs)
    _, measure = HARNESSES[harness]

    rows = []
    for config in configs:
        result = evaluate(config)
        towers = towers_of(config)
        _, choice = with_adapter(config)
        inputs = without_training_pairs(read_evaluation(config, towers), choice.read(towers.text))
        text = choice.bank(towers.text, inputs.test_language)
        for direction, recalls in measure(inputs, towers, text).items():
            row: dict[str, object] = {"language": config.language, "direction": direction}
            row |= {f"{harness} recall@{k}": recall for k, recall in recalls.items()}
            rows.append(row | {f"pecl recall@{k}": result.recall(k=k, direction=direction) for k in RECALL_AT})

    return rows


def check_harness(harness: str, configs: Sequence[ExperimentConfig]) -> None:
    """Raise ConfigError if a harness cannot measure configs, see `evaluate_with`."""
    if harness not in HARNESSES:
        raise ConfigError(unknown("harness", harness, HARNESSES))

    package, _ = HARNESSES[harness]
    if find_spec(package) is None:
        raise ConfigError(f"harness {harness} is not installed: {install('harness')} (mteb needs Python >= 3.11)")

    for config in configs:
        if config.gallery != "images":
            raise ConfigError(f"expected images with {setting(harness=harness)}, got {config.gallery}", field="gallery")
        if config.image_embeddings is not None:
            raise ConfigError(
                f"expected none with {setting(harness=harness)}, which embeds images itself", field="image_embeddings"
            )


def _with_mteb(inputs: Inputs, towers: Towers, text: AdapterBank) -> Recalls:
    import mteb

    from pecl.apps.harness.mteb_model import PeclEncoder
    from pecl.apps.harness.mteb_tasks import MTEB_CATEGORIES, Pairs, retrieval_task

    model = PeclEncoder(inputs.config.profile, towers=towers, text=text)
    gallery = not_none(inputs.data.images, "images").subset(inputs.gallery_items("test"))
    pairs = {inputs.test_language: Pairs(inputs.texts("test"), gallery, inputs.places("test"))}

    recalls: Recalls = {}
    for direction in MTEB_CATEGORIES:
        task = retrieval_task(inputs.data.dataset, direction, pairs)
        (result,) = mteb.evaluate(model, [task], cache=None, co2_tracker=False).task_results
        (scores,) = result.scores["test"]
        recalls[direction] = {k: scores[f"hit_rate_at_{k}"] for k in RECALL_AT}

    return recalls


def _with_clip_benchmark(inputs: Inputs, towers: Towers, text: AdapterBank) -> Recalls:
    from pecl.apps.harness.clip_benchmark import clip_model, measure

    model, tokenizer = clip_model(text, towers.image, inputs.test_language)
    images = not_none(inputs.data.images, "images").subset(inputs.gallery_items("test"))
    captions: list[list[str]] = [[] for _ in range(len(images))]  # of each image
    for caption, index in zip(inputs.texts("test"), inputs.places("test"), strict=True):
        captions[index].append(caption)

    flat = measure(model, tokenizer, images, captions)
    names = {"text_to_image": "image_retrieval", "image_to_text": "text_retrieval"}
    return {
        direction: {k: flat[f"{name}_recall@{k}"] for k in RECALL_AT if f"{name}_recall@{k}" in flat}
        for direction, name in names.items()
    }


# name -> required module, and measuring function
HARNESSES: dict[str, tuple[str, Callable[[Inputs, Towers, AdapterBank], Recalls]]] = {
    "mteb": ("mteb", _with_mteb),
    "clip-benchmark": ("clip_benchmark", _with_clip_benchmark),
}
