"""Retrieval tasks of mteb on the data that pecl reads: nothing is downloaded, and images are decoded as in pecl.

mteb has Multi30K (test 2016 of en, cs, de, fr), but from the hub, and lacks XTD10. Tasks of any
other data set of pecl, including a user's table, are made in the same way.
"""

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, Image, Value
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata

from pecl.apps.harness.mteb_model import langscript
from pecl.data.captions import ParallelCaptions
from pecl.data.registry import load_dataset
from pecl.data.splits import published_part
from pecl.errors import DataError
from pecl.files import read_regular
from pecl.files.images import ImageFiles, ImageSource, is_plain, open_picture

MTEB_CATEGORIES = {"text_to_image": "t2i", "image_to_text": "i2t"}  # pecl's name -> mteb's category

# Published data sets: title in mteb's style, and source
KNOWN = {
    "xtd10": ("XTD10", "https://github.com/adobe-research/Cross-lingual-Test-Dataset-XTD10"),
    "multi30k": ("Multi30k", "https://aclanthology.org/W16-3210/"),
}


@dataclass(frozen=True)
class Pairs:
    """Queries, gallery and relevant items of one language."""

    texts: Sequence[str]
    images: ImageSource
    items: Sequence[int]  # position of each caption's image

    @classmethod
    def of(cls, data: ParallelCaptions) -> "Pairs":
        """Return the captions of a data set in its target language; only the test part, if the set has parts.

        Raises:
            DataError: it has no images here, or no test part.
        """
        if data.part is not None:
            data = data.select(published_part(data, "test"))
        if data.images is None or data.image_index is None:
            raise DataError(f"{data.dataset} has no images here: data/README.md names their folder")
        gallery = list(dict.fromkeys(data.image_index))
        index_of = {image: i for i, image in enumerate(gallery)}
        return cls(data.target, data.images.subset(gallery), [index_of[image] for image in data.image_index])


class PeclRetrieval(AbsTaskRetrieval):
    """A task over pairs in memory; `retrieval_task` derives a class with the metadata that mteb reads."""

    def __init__(self, pairs: Mapping[str, Pairs], **options: Any) -> None:
        super().__init__(**options)
        self.pairs = pairs

    def load_data(self, *_: Any, **__: Any) -> None:
        """Convert the pairs to mteb's form, once."""
        if self.data_loaded:
            return

        self.dataset = {}
        for language, pairs in self.pairs.items():
            texts = Dataset.from_dict({"id": _ids("text", len(pairs.texts)), "text": list(pairs.texts)})
            images = _pictures(pairs.images)
            matches = [(f"text-{i}", f"image-{item}") for i, item in enumerate(pairs.items)]

            if self.metadata.category == "t2i":
                queries = texts
                corpus = images
            else:
                queries = images
                corpus = texts
                matches = [(image, text) for text, image in matches]

            relevant: dict[str, dict[str, int]] = {}
            for query, document in matches:
                relevant.setdefault(query, {})[document] = 1

            split: Any = {"corpus": corpus, "queries": queries, "relevant_docs": relevant, "top_ranked": None}
            self.dataset[language] = {"test": split}

        self.data_loaded = True


def retrieval_task(dataset: str, direction: str, pairs: Mapping[str, Pairs]) -> PeclRetrieval:
    """Return a task of mteb on pairs by language; `dataset` is the name of a data set, or the path of a table.

    Raises:
        ConfigError: mteb has no code for a language.
    """
    title_of_table = "".join(letter for letter in Path(dataset).stem.title() if letter.isalnum())
    title, reference = KNOWN.get(dataset.partition("-")[0], (title_of_table, None))
    category: Any = MTEB_CATEGORIES[direction]

    metadata = TaskMetadata(
        name=f"{title}{category[0].upper()}2{category[-1].upper()}Retrieval",
        description=f"Retrieval between photographs and their captions, {direction.replace('_', ' ')}, on {dataset}.",
        reference=reference,
        dataset={"path": dataset, "revision": "local"},
        type="Any2AnyMultilingualRetrieval",
        category=category,
        eval_splits=["test"],
        eval_langs={language: [langscript(language)] for language in pairs},
        main_score="hit_rate_at_1",
        modalities=["text", "image"],
    )
    task_class = type(metadata.name, (PeclRetrieval,), {"metadata": metadata})
    return task_class(pairs)


def published_tasks(dataset: str, languages: Sequence[str], **options: Any) -> list[PeclRetrieval]:
    """Return both directions of a data set, such as xtd10, multi30k or the path of a table, offline.

    Options are those of `pecl.load_dataset`, such as `data_dir` and `split`.

    Raises:
        DataError: the data are missing or damaged, or have no images here.

    Example:
        >>> tasks = published_tasks("xtd10", ["de", "es", "pl"])
        >>> mteb.evaluate(PeclEncoder("mini", adapters=files), tasks, cache=None)
    """
    pairs = {language: Pairs.of(load_dataset(dataset, language, **options)) for language in languages}
    return [retrieval_task(dataset, direction, pairs) for direction in MTEB_CATEGORIES]


def _ids(kind: str, count: int) -> list[str]:
    return [f"{kind}-{i}" for i in range(count)]


def _pictures(images: ImageSource) -> Dataset:
    """Return images with their ids; files that mteb decodes as pecl does are read only on access."""
    content = [_content(images, i) for i in range(len(images))]
    features = Features({"id": Value("string"), "image": Image()})
    return Dataset.from_dict({"id": _ids("image", len(images)), "image": content}, features=features)


def _content(images: ImageSource, index: int) -> dict[str, Any]:
    """Return the path of a file that any library decodes alike, or the bytes of the image as pecl decodes it."""
    if isinstance(images, ImageFiles):
        path = images.paths[index]  # `load` below reports a damaged or too large file
        with contextlib.suppress(OSError, ValueError), open_picture(read_regular(path)) as image:
            if is_plain(image):
                return {"path": str(path), "bytes": None}

    file = io.BytesIO()
    images.load(index).save(file, "PNG")
    return {"path": None, "bytes": file.getvalue()}
