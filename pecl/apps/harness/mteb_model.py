"""pecl's towers as a model of mteb: images by the image tower, texts by the adapter of the task's language."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from mteb.models.abs_encoder import AbsEncoder
from mteb.models.model_meta import ModelMeta, ScoringFunction

from pecl.adapters.bank import AdapterBank
from pecl.adapters.choice import KnownAdapters
from pecl.encoders.towers import PAIRS, Towers, load_towers
from pecl.errors import ConfigError
from pecl.language.languages import LANGUAGES, find_name

if TYPE_CHECKING:
    from mteb.abstasks.task_metadata import TaskMetadata

logger = logging.getLogger(__name__)

ORGANISATION = "pecl"  # mteb's names of models are organisation/model


class PeclEncoder(AbsEncoder):
    """A pair of towers with the adapters of any number of languages.

    A text is embedded with the adapter of the language of its task's subset. The base encoder embeds
    texts of languages without adapter, and subsets of several languages.

    `model_name` is a pair, such as `mini` or `pecl/mini`; `revision` is ignored. `adapters` are
    languages (`cs`), names (`mini:cs`) or paths, or a mapping from languages to these. `towers` is
    a pair that is already loaded, and `text` its text tower with adapters.

    Raises:
        ConfigError: no such pair or adapter, or two adapters of one language.
        WeightsError: weights are missing or damaged, or an adapter was trained on another tower.

    Example:
        >>> model = PeclEncoder("mini", adapters=["de.safetensors", "cs.safetensors"])
        >>> mteb.evaluate(model, mteb.get_tasks(["XM3600T2IRetrieval"]))
    """

    def __init__(
        self,
        model_name: str,
        revision: str | None = None,
        *,
        device: str | None = None,
        adapters: Sequence[str | Path] | Mapping[str, str | Path] = (),
        towers: Towers | None = None,
        text: AdapterBank | None = None,
        **_: Any,
    ) -> None:
        name = model_name.removeprefix(f"{ORGANISATION}/")
        self.towers = load_towers(name, device=device or "cpu") if towers is None else towers

        self.text = AdapterBank(self.towers.text, plain=None) if text is None else text
        if text is None:
            of_language = adapters.items() if isinstance(adapters, Mapping) else ((None, file) for file in adapters)
            for language, adapter in of_language:
                path = KnownAdapters(name).choose(adapter, language).path
                if path is not None:
                    self.text.load(path, language)

        self.mteb_model_meta = pecl_model_meta(name, adapters, self.towers)

    def encode(
        self,
        inputs: Any,
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        prompt_type: Any = None,
        **_: Any,
    ) -> torch.Tensor:
        """Return the embeddings (N, D), not normalised: mteb compares them by their cosine.

        The batches of the DataLoader `inputs` hold `text` or `image`. The language of the subset
        selects the adapter. Prompts are ignored: the towers put only their own before a text.

        Raises:
            ConfigError: an input has a text and an image together, or neither.
        """
        columns = {"text", "image"} & set(inputs.dataset.features)
        if len(columns) != 1:
            raise ConfigError(
                f"mteb task {task_metadata.name}: expected texts or images, got {sorted(columns) or 'neither'}"
            )

        language = language_of(task_metadata, hf_subset)
        embeddings = [
            self.text.encode_text(batch["text"], language, normalize=False)
            if "text" in columns
            else self.towers.image.encode_image(batch["image"], normalize=False)
            for batch in inputs
        ]
        return torch.cat(embeddings)


def language_of(task_metadata: TaskMetadata, hf_subset: str) -> str | None:
    """Return pecl's code of the language of a task's subset, or None for several, or one that pecl does not have.

    mteb writes a language as `ces-Latn`: its ISO 639-3 code and script, which FLORES writes with an
    underscore. A subset with several of them is of the language that its name states, such as `no`,
    Norwegian with its two forms.
    """
    langscripts = task_metadata.hf_subsets_to_langscripts.get(hf_subset, [])
    codes = {find_name(langscript, LANGUAGES) for langscript in langscripts} - {None}
    if len(langscripts) == len(codes) == 1:
        return codes.pop()
    # en-de is a pair of languages
    language = find_name(hf_subset, LANGUAGES) if hf_subset.isalpha() else None
    return language if language in codes else None


def langscript(language: str) -> str:
    """Return mteb's code of a language, such as `ces-Latn`.

    Raises:
        ConfigError: pecl has no language of its ISO 639-3 code and script.
    """
    row = LANGUAGES.get(language)
    if row is None or row.flores is None:
        raise ConfigError(
            f"language {language!r}: mteb asks for its code and script, such as ces-Latn: name them with "
            "pecl.register_language(..., flores='ces_Latn')"
        )
    return row.flores.replace("_", "-")


def pecl_model_meta(
    name: str = "mini",
    adapters: Sequence[str | Path] | Mapping[str, str | Path] = (),
    towers: Towers | None = None,
) -> ModelMeta:
    """Return mteb's metadata of a model, including its loader: `pecl_model_meta("mini", files).load_model()`.

    Without the loaded pair `towers`, metadata that depend on its weights are not filled in.
    """
    measured: dict[str, Any] = {"revision": "1", "n_parameters": None, "embed_dim": None, "max_tokens": None}
    if towers is not None:
        measured = {
            "revision": towers.text.fingerprint[:12],
            "n_parameters": sum(parameter.numel() for parameter in towers.text.parameters()),
            "embed_dim": towers.text.embedding_dim,
            "max_tokens": towers.text.max_length,
        }

    values = {
        "loader": PeclEncoder,
        "loader_kwargs": {"adapters": adapters},
        "name": f"{ORGANISATION}/{name}",
        **measured,
        "languages": [row.flores.replace("_", "-") for row in LANGUAGES.values() if row.flores and row.pretrained],
        "framework": ["PyTorch"],
        "similarity_fn_name": ScoringFunction.COSINE,
        "use_instructions": False,
        "modalities": ["text", "image"],
        "open_weights": True,
        "training_datasets": set(),
        "adapted_from": PAIRS[name].text if name in PAIRS else None,
    }
    return ModelMeta.create_empty(values)
