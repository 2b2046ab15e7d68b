"""The model card of published adapters: every figure is read from the results of the runs that trained them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from pecl.adapters.formats.files import AdapterFile
from pecl.adapters.spec import describe
from pecl.config import ExperimentConfig
from pecl.data.registry import DATASETS
from pecl.encoders.towers import PAIRS
from pecl.export.terms import terms_of, tower_terms, trained_on
from pecl.languages import LANGUAGES, language_name
from pecl.results.result import Result

_PLACES = ("out", "data_dir", "device", "threads", "language", "weights")  # do not describe the training


@dataclass(frozen=True)
class Published:
    """An adapter to be published, and the run that trained it."""

    file: AdapterFile
    result: Result

    @property
    def language(self) -> str:
        """Code of its language."""
        return self.result.config.language

    @property
    def name(self) -> str:
        """Name of its file in the published folder."""
        return f"{self.language}.safetensors"


def write_card(adapters: Sequence[Published], target: str, licence: str) -> str:
    """Return the README of a folder of adapters, one for each language, in the hub's form: YAML, then Markdown.

    `target` is the folder's name or hub id; the licence `other` says that the licences of data and towers decide.
    """
    parts = (
        f"---\n{_metadata(adapters, target, licence)}\n---",
        f"# {Path(target).name}",
        _about(adapters),
        "## Figures\n\n" + _figures(adapters),
        "## How to load\n\n" + _loading(adapters, target),
        "## Data\n\n" + _data(adapters, licence),
        "## Training\n\n" + _training(adapters),
    )
    return "\n\n".join(parts) + "\n"


def _metadata(adapters: Sequence[Published], target: str, licence: str) -> str:
    codes = [(row := LANGUAGES.get(one.language)) and (row.iso or row.iso3) for one in adapters]
    base = adapters[0].file.tower_name
    kinds = sorted({config.kind for one in adapters for config in one.file.configs})
    data = ModelCardData(
        language=[code or one.language for code, one in zip(codes, adapters, strict=True)],
        license=licence,
        library_name="pecl",
        base_model=base if base.count("/") == 1 and not Path(base).exists() else None,
        tags=["pecl", "adapter", "clip", "multilingual", *kinds],
        model_name=Path(target).name,
        eval_results=[result for one in adapters for result in _eval_results(one)],
    )
    return data.to_yaml().strip()


def _eval_results(one: Published) -> list[EvalResult]:
    result = one.result
    return [
        EvalResult(
            task_type="image-text-retrieval",
            dataset_type=result.data.dataset if result.data.dataset in DATASETS else "own",
            dataset_name=f"{_shown(result.data.dataset)} ({one.language}, {result.data.split['test']} captions)",
            dataset_config=one.language,  # by which the hub tells the languages apart
            dataset_split="test",
            metric_type="recall_at_1",
            metric_name=f"{direction.replace('_', ' ')} recall@1",
            metric_value=round(result.recall(direction=direction), 4),
        )
        for direction in result.data.gallery.directions
    ]


def _about(adapters: Sequence[Published]) -> str:
    first = adapters[0]
    names = ", ".join(language_name(one.language) for one in adapters)
    pair = PAIRS.get(first.result.config.profile)
    towers = f" ({pair.description})" if pair else ""
    count, share = first.result.adapter.trainable, first.result.adapter.share
    return (
        f"Adapters of pecl for {names}: `{describe(first.file.configs)}`, "
        f"{count:,} parameters per language, {share:.2%} of the text tower `{first.file.tower_name}`{towers}, which "
        f"stays frozen. Fingerprint of that tower: `{first.file.fingerprint}`."
    )


def _figures(adapters: Sequence[Published]) -> str:
    rows = [
        "| language | test | R@1 before | R@1 after | texts find images | images find texts | R@5 | R@10 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in adapters:
        result = one.result
        gallery = result.data.gallery
        backward, forward = (result.recall(direction=direction) for direction in gallery.directions)
        rows.append(
            f"| {one.language} | {_shown(result.data.dataset)}, {result.data.split['test']:,} captions, "
            f"{gallery.size:,} {gallery.kind} | {result.recall(stage='zero_shot'):.3f} | {result.recall():.3f} | "
            f"{forward:.3f} | {backward:.3f} | {result.recall(k=5):.3f} | {result.recall(k=10):.3f} |"
        )
    note = "R@k is recall@k, the mean over both directions unless one is named; *before* is the tower without adapter."
    return "\n".join([*rows, "", note])


def _loading(adapters: Sequence[Published], target: str) -> str:
    config, file = adapters[0].result.config, adapters[0]
    flags = "".join(
        f" --{name.replace('_', '-')} {value}"
        for name, value in (("profile", config.profile), ("text_model", config.text_model))
        if value not in (None, "mini")
    )
    loaded = f'pecl.load_text_encoder("{config.text_model or config.profile}")'
    return f"""In pecl:

```python
import pecl
from pecl.export.hub import pull

tower = {loaded}
bank = pecl.AdapterBank.from_files(tower, pull("{target}", "adapters", tower))
bank.encode_text(["..."], language="{file.language}")
```

In sentence-transformers, after `pecl adapters pull {target} adapters{flags}` and
`pecl export sentence-transformers towers-{file.language} --adapter adapters/{file.name}{flags}`:

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("towers-{file.language}")
model.encode(["..."])
```"""


def _data(adapters: Sequence[Published], licence: str) -> str:
    lines = []
    for one in adapters:
        data, config = one.result.data, one.result.config
        parts = ", ".join(f"{count:,} {part}" for part, count in data.split.items())
        hashes = ", ".join(f"{name} `{sha[:12]}`" for name, sha in data.sha256.items() if sha)
        text = f"; trained on the text of {data.translations.dataset}" if data.translations else ""
        split = f"{parts}; split seed {config.split_seed}{text}"
        lines.append(f"- {one.language}: {_shown(one.result.data.dataset)} ({split}). SHA-256: {hashes}.")
    return "\n".join([*lines, "", "Terms, as their owners state them:", "", *_terms(adapters, licence)])


def _terms(adapters: Sequence[Published], licence: str) -> list[str]:
    """Return the terms of data and towers, a line each, and the licence of the adapters."""
    configs = [one.result.config for one in adapters]
    learned = {name for config in configs for name in trained_on(config)}
    tested = {config.dataset for config in configs}
    lines = []
    for name in sorted(learned | tested):
        uses = [use for use, names in (("trained on", learned), ("measured on", tested)) if name in names]
        lines.append(f"- {_shown(name)} ({' and '.join(uses)}): {terms_of(name)}")
    lines += [f"- towers: {towers}" for towers in sorted({tower_terms(config) for config in configs})]
    other = " The terms of the data and of the towers bound what it may be used for." if licence == "other" else ""
    return [*lines, "", f"Licence of the adapters: {licence}.{other}"]


def _training(adapters: Sequence[Published]) -> str:
    shared = [
        item.name
        for item in fields(ExperimentConfig)
        if item.name not in _PLACES
        and len({getattr(one.result.config, item.name) for one in adapters}) == 1
        and getattr(adapters[0].result.config, item.name) is not None
    ]
    config = adapters[0].result.config
    values = {name: getattr(config, name) for name in shared}
    values["dataset"] = _shown(adapters[0].result.data.dataset) if "dataset" in values else "several"
    runs = ", ".join(f"{one.language} `{one.result.run_id}`" for one in adapters)
    versions = adapters[0].result.environment.versions
    software = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    listed = " ".join(f"{name}={value}" for name, value in values.items())
    return f"Runs: {runs}.\n\n```\n{listed}\n```\n\n{software}"


def _shown(name: str) -> str:
    """Return the name of a data set, or the last part of each path in a user's own source (`a/x.en=a/x.cs`).

    A card says nothing of the machine.
    """
    return name if name in DATASETS else "=".join(Path(part).name for part in name.split("="))


def describe_published(one: Published) -> dict[str, Any]:
    """Return the entry of an adapter in the index of a published folder."""
    return {
        "file": one.name,
        "language": one.language,
        "adapter": describe(one.file.configs),
        "run": one.result.run_id,
        "dataset": _shown(one.result.data.dataset),
        "recall@1 before": one.result.recall(stage="zero_shot"),
        "recall@1": one.result.recall(),
        "tower": {"name": one.file.tower_name, "fingerprint": one.file.fingerprint},
    }
