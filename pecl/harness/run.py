"""Measure configs with another package's evaluation and with our own: same towers, adapters, captions and pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from pecl.adapters.banks import Banks
from pecl.config import ExperimentConfig
from pecl.encoders.towers import Towers
from pecl.errors import ConfigError, not_none, unknown
from pecl.experiment.prepared import Prepared, prepare_evaluation
from pecl.experiment.run import evaluate, towers_of, with_adapter
from pecl.results.result import Result
from pecl.retrieval.measures import RECALL_AT

Recalls = dict[str, dict[int, float]]  # direction -> k -> recall@k in [0, 1]


@dataclass(frozen=True)
class HarnessRow:
    """Recall of one language in one direction.

    Attributes:
        language: its code.
        direction: text_to_image or image_to_text.
        harness: recall@k of the other package, by k up to the size of the gallery.
        pecl: recall@k by our own evaluation, by k.
    """

    language: str
    direction: str
    harness: dict[int, float]
    pecl: dict[int, float]

    def to_json(self, name: str) -> dict[str, object]:
        """Return the row as a JSON object; `name` is the other package's."""
        recalls = {
            f"{who} recall@{k}": value
            for who, own in ((name, self.harness), ("pecl", self.pecl))
            for k, value in own.items()
        }
        return {"language": self.language, "direction": self.direction, **recalls}


def evaluate_with(harness: str, configs: Sequence[ExperimentConfig]) -> list[HarnessRow]:
    """Evaluate configs with a harness and with pecl, and return both figures.

    Args:
        harness: a name in `HARNESSES`.
        configs: evaluations, such as `pecl evaluate` runs; those with `weights` embed with that adapter.

    Raises:
        ConfigError: no such harness, its package is not installed, or a config's gallery is not images.
        PeclError: as `evaluate`.
    """
    measure = check_harness(harness, configs)
    rows = []
    for config in configs:
        result = evaluate(config)
        towers = towers_of(config)
        prepared = prepare_evaluation(config, towers)
        text = Banks(towers.text)
        file = with_adapter(config)[1].read(towers.text)
        if file is not None:
            text.add(file, config.language)
        found = measure(prepared, towers, text)
        rows += [
            HarnessRow(config.language, direction, own, _ours(result, direction)) for direction, own in found.items()
        ]
    return rows


def check_harness(harness: str, configs: Sequence[ExperimentConfig]) -> Callable[[Prepared, Towers, Banks], Recalls]:
    """Return the measuring function of a harness.

    Raises:
        ConfigError: no such harness, its package is not installed, or a config's gallery is not images, or embedded
            by another program.
    """
    if harness not in HARNESSES:
        raise ConfigError(unknown("harness", harness, HARNESSES))
    package, measure = HARNESSES[harness]
    if find_spec(package) is None:
        raise ConfigError(
            f"harness {harness} is not installed: pip install 'pecl[harness]' (mteb needs Python >= 3.11)"
        )
    for config in configs:
        if config.gallery != "images":
            raise ConfigError(f"gallery: expected images with --harness {harness}, got {config.gallery}")
        if config.image_embeddings is not None:
            raise ConfigError(f"--harness {harness}: expected no --embeddings with it: {harness} embeds images itself")
    return measure


def _ours(result: Result, direction: str) -> dict[int, float]:
    return {k: result.recall(k=k, direction=direction) for k in RECALL_AT}


def _with_mteb(prepared: Prepared, towers: Towers, text: Banks) -> Recalls:
    import mteb

    from pecl.harness.mteb_model import PeclEncoder
    from pecl.harness.mteb_tasks import MTEB_CATEGORIES, Pairs, retrieval_task

    model = PeclEncoder(prepared.config.profile, towers=towers, text=text)
    language, dataset = prepared.config.language, prepared.data.dataset
    captions, _ = _texts(prepared)
    shown = not_none(prepared.data.images, "images").subset(prepared.gallery_items("test"))
    pairs = {language: Pairs(captions, shown, prepared.places("test"))}
    found: Recalls = {}
    for direction in MTEB_CATEGORIES:
        task = retrieval_task(dataset, direction, pairs)
        (result,) = mteb.evaluate(model, [task], cache=None, co2_tracker=False).task_results
        (scores,) = result.scores["test"]
        found[direction] = {k: scores[f"hit_rate_at_{k}"] for k in RECALL_AT}
    return found


def _with_clip_benchmark(prepared: Prepared, towers: Towers, text: Banks) -> Recalls:
    from pecl.harness.clip_benchmark import clip_model, measure

    model, tokenizer = clip_model(text, towers.image, prepared.config.language)
    captions, of_item = _texts(prepared)
    images, shown = not_none(prepared.data.images, "images"), prepared.gallery_items("test")
    pictures = [(lambda i=i: images.load(i), [captions[c] for c in of_item[place]]) for place, i in enumerate(shown)]
    flat = measure(model, tokenizer, pictures, RECALL_AT)
    names = {"text_to_image": "image_retrieval", "image_to_text": "text_retrieval"}
    return {
        direction: {k: flat[f"{name}_recall@{k}"] for k in RECALL_AT if f"{name}_recall@{k}" in flat}
        for direction, name in names.items()
    }


def _texts(prepared: Prepared) -> tuple[list[str], list[list[int]]]:
    """Return the test captions, and for each item of the gallery the places of its captions."""
    column = getattr(prepared.data, prepared.query("test"))
    captions = [column[i] for i in prepared.parts["test"]]
    of_item: list[list[int]] = [[] for _ in prepared.gallery_items("test")]
    for caption, place in enumerate(prepared.places("test")):
        of_item[place].append(caption)
    return captions, of_item


# name -> required module, and measuring function
HARNESSES: dict[str, tuple[str, Callable[[Prepared, Towers, Banks], Recalls]]] = {
    "mteb": ("mteb", _with_mteb),
    "clip-benchmark": ("clip_benchmark", _with_clip_benchmark),
}
