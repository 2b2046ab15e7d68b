"""Machine translation with any MarianMT (OPUS), M2M100 or NLLB model, from the Hugging Face Hub or a local folder."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
from transformers.utils import cached_file

from pecl.errors import ConfigError, DataError, WeightsError, not_none, one_line, raise_problems
from pecl.files import sha256_file, sha256_json
from pecl.language.languages import LANGUAGES, find_name, language_name
from pecl.options import option, problems_of

logger = logging.getLogger(__name__)

# Files of a local folder that determine the translations; a folder may hold others, such as notes.
_MODEL_SUFFIXES = (".json", ".safetensors", ".bin", ".model", ".spm", ".txt")


@dataclass(frozen=True)
class TranslationConfig:
    """A translation model and how it is used, from the language `source` into `target` (codes of pecl)."""

    model: str  # name on the Hugging Face Hub, or a local folder
    source: str
    target: str
    revision: str | None = None  # commit, branch or tag on the Hub; None for its main branch
    num_beams: int = option(4, "width of the beam search; 1 is greedy", low=1)
    max_new_tokens: int = option(256, "length at which a translation is cut off", low=1)
    dtype: str = option("float32", "type of the weights", choices=("float32", "bfloat16", "float16"))
    device: str = "cpu"

    def __post_init__(self) -> None:
        raise_problems(problems_of(self))


class Translator:
    """Translates sentences in one direction. `identity` has everything that determines a translation, for records.

    Raise WeightsError for a model that cannot be used, and ConfigError for a direction that it lacks.
    """

    def __init__(self, config: TranslationConfig) -> None:
        self.config = config
        revision = _fixed_revision(config)
        self._tokenizer, self._model = _load(config, revision)
        self._languages: LanguageSettings = language_settings(self._tokenizer, config.source, config.target)
        positions: int = self._model.config.max_position_embeddings
        # the others add positions
        if self._languages.family == "marian" and config.max_new_tokens > positions:
            raise ConfigError(
                f"expected at most {positions}, the positions of {config.model}, got {config.max_new_tokens}",
                field="max_new_tokens",
            )

        self._longest = min(self._tokenizer.model_max_length, positions)
        self.identity: dict[str, Any] = {
            "model": config.model,
            "revision": revision,
            "family": self._languages.family,
            **{name: getattr(config, name) for name in ("source", "target", "num_beams", "max_new_tokens", "dtype")},
        }

    def length(self, sentence: str) -> int:
        """Return the length of a sentence in tokens; raise DataError if the model cannot read one that long."""
        length = len(self._tokenizer(self._languages.prefix + sentence)["input_ids"])
        if length > self._longest:
            raise DataError(
                f"{sentence[:40]!r}... has {length} tokens, the limit of {self.config.model} is {self._longest}"
            )
        return length

    @torch.inference_mode()
    def translate(self, sentences: Sequence[str]) -> list[str]:
        """Translate sentences of at most the model's length in one batch; line breaks become spaces."""
        texts = [self._languages.prefix + sentence for sentence in sentences]
        inputs = self._tokenizer(texts, padding=True, return_tensors="pt").to(self._model.device)  # (B, S)
        first = self._languages.first_token_id
        output = self._model.generate(  # (B, L)
            **inputs,
            do_sample=False,
            num_beams=self.config.num_beams,
            max_new_tokens=self.config.max_new_tokens,
            **({} if first is None else {"forced_bos_token_id": first}),
        )
        output = output[:, 1 if first is None else 2 :]  # (B, L - 1 or 2): without start token and language code
        unfinished = int((output != self._tokenizer.eos_token_id).all(dim=1).sum())
        if unfinished:
            limit = self.config.max_new_tokens
            logger.warning("%d translations were cut off at max_new_tokens = %d: raise it", unfinished, limit)

        return [" ".join(text.split()) for text in self._tokenizer.batch_decode(output, skip_special_tokens=True)]


def _fixed_revision(config: TranslationConfig) -> str:
    """Return the commit of a model on the Hub or, for a folder, a hash of its files."""
    folder = Path(config.model)
    if folder.is_dir():
        files = sorted(path for path in folder.iterdir() if path.suffix in _MODEL_SUFFIXES)
        return "sha256:" + sha256_json({path.name: sha256_file(path) for path in files})

    try:
        file = not_none(cached_file(config.model, "config.json", revision=config.revision), "config.json")
        return Path(file).parent.name  # the folder of a snapshot is named by its commit
    except (OSError, ValueError) as error:
        raise WeightsError(_cannot_load(config, error)) from error


def _load(config: TranslationConfig, revision: str) -> tuple[Any, Any]:
    arguments: dict[str, Any] = {} if Path(config.model).is_dir() else {"revision": revision}
    try:
        tokenizer = AutoTokenizer.from_pretrained(config.model, **arguments)
        model, loading = AutoModelForSeq2SeqLM.from_pretrained(
            config.model, dtype=getattr(torch, config.dtype), output_loading_info=True, **arguments
        )
    except (ImportError, OSError, ValueError, KeyError, RuntimeError, SafetensorError, UnpicklingError) as error:
        raise WeightsError(_cannot_load(config, error)) from error

    if loading["missing_keys"]:  # they would be random
        raise WeightsError(f"{config.model} lacks the weights {', '.join(sorted(loading['missing_keys'])[:5])}")

    model.generation_config.max_length = None  # max_new_tokens takes its place
    try:
        torch.zeros(1, device=config.device).tolist()  # tensors of the device "meta" hold nothing
        return tokenizer, model.eval().to(config.device)
    except RuntimeError as error:
        raise ConfigError(f"cannot use device {config.device!r}: {one_line(error)}") from error


def _cannot_load(config: TranslationConfig, error: Exception) -> str:
    return (
        f"cannot load the translation model {config.model!r} ({one_line(error)}); expected a MarianMT, M2M100 or "
        "NLLB model of https://huggingface.co, or a local folder that holds one"
    )


@dataclass(frozen=True)
class LanguageSettings:
    """Settings of one family of models for one direction."""

    family: str
    prefix: str = ""  # text to put before every sentence
    first_token_id: int | None = None  # id of the token that every translation must begin with


_FAMILIES = {"MarianTokenizer": "marian", "M2M100Tokenizer": "m2m100", "NllbTokenizer": "nllb"}  # by class of tokenizer


def language_settings(tokenizer: Any, source: str, target: str) -> LanguageSettings:
    """Set the tokenizer of a model to the source language, and return the settings for the target language."""
    family = next((_FAMILIES[base.__name__] for base in type(tokenizer).__mro__ if base.__name__ in _FAMILIES), None)
    if family is None:
        expected = ", ".join(sorted(_FAMILIES))
        class_name = type(tokenizer).__name__
        raise WeightsError(f"tokenizer of the translation model: expected one of {expected}, got {class_name}")

    if family == "marian":
        return LanguageSettings(family, prefix=_marian_prefix(tokenizer, source, target))

    rows = LANGUAGES[source], LANGUAGES[target]
    if family == "nllb":
        vocabulary = tokenizer.get_vocab()
        codes = [row.flores for row in rows]
    else:
        vocabulary = tokenizer.lang_code_to_id
        codes = [row.m2m100 or row.iso for row in rows]

    source_code, target_code = (
        _first_known([code], vocabulary, row.code) for code, row in zip(codes, rows, strict=True)
    )
    tokenizer.src_lang = source_code
    return LanguageSettings(family, first_token_id=vocabulary[target_code])


def _marian_prefix(tokenizer: Any, source: str, target: str) -> str:
    for side, language in (("source", source), ("target", target)):
        model_language = getattr(tokenizer, f"{side}_lang", None)
        # None: a group such as `roa`
        if model_language is not None and find_name(model_language, LANGUAGES) not in (None, language):
            raise ConfigError(
                f"the model's {side} language is {model_language!r}, not {language!r}: choose another model"
            )

    supported_codes = [code.strip("><") for code in tokenizer.supported_language_codes]  # such as ">>kor<<"
    if not supported_codes:  # there is one target language
        return ""

    row = LANGUAGES[target]
    return f">>{_first_known(row.opus or (row.flores, row.iso3, row.iso), supported_codes, target)}<< "


def _first_known(candidates: Iterable[str | None], known_codes: Iterable[str], language: str) -> str:
    codes = [code for code in candidates if code is not None]
    for code in codes:
        if code in known_codes:
            return code

    if not codes:
        raise ConfigError(
            f"{language_name(language)} has no code for this family of models: name it with pecl.register_language, "
            "or choose another model"
        )

    raise ConfigError(
        f"the model does not translate {LANGUAGES[language].name} ({', '.join(codes)}): choose another model"
    )
