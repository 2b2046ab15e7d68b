"""The promise of every export: the package it is made for, used as in docs/exports.md, gives the tower's embeddings.

When an export is written, its embeddings of the texts in `texts_for` are compared with the tower's.
So are the embeddings of two pictures by a graph of ONNX; those of other packages are not compared.
Exceptions for texts:

- A text in capitals, which only pecl reads in lower case (`pecl.language.normalization`).
- A text that lacks marks or capitals: only pecl's searches, servers and banks restore them (`pecl.language.restoring`).
- HTML entities and wrongly decoded text, if the tower has open_clip's cleaning, which repairs them.
- open_clip and immich clean every text: they embed it as the tower embeds the cleaned text.
- A text that contains the padding token, if the package detects padding by its token.
- An empty text and one that begins with a special token, if a prefix is part of the tokenizer: the tower has one
  more token after the prefix.

Every export has a `PreTrainedTokenizerFast`, which loads `tokenizer.json` unchanged. For some
models, transformers' own tokenizer class builds its normalizer again when it is loaded, and so
loses the steps that pecl adds.
"""

import importlib.util
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, normalizers, processors
from transformers import PreTrainedTokenizerFast

from pecl.encoders.cleaning import CANONICALIZE, normal_letters, normalizer_of
from pecl.encoders.fingerprint import Tower
from pecl.encoders.image import ImageEncoder
from pecl.encoders.tokenizing import Tokenizing, around
from pecl.errors import ConfigError, PeclError, RunError, one_line
from pecl.files import write_text
from pecl.language.languages import language_name
from pecl.language.normalization import normalize_letters, normalize_text

logger = logging.getLogger(__name__)

TOLERANCE = 1e-5  # largest difference in any number of a text's embedding of length 1
# the same for a picture; two pictures of noise differ by some 1e-2
PICTURE_TOLERANCE = 1e-4
# least cosine with the tower's embedding that a text tower in 8 bits should have: `mini` has .93
LEAST_COSINE = 0.9
CARD = "README.md"
IN_CAPITALS = ("A DOG ON THE BEACH", "EIN HUND AM STRAND", "ΣΚΎΛΟΣ ΣΤΗΝ ΠΑΡΑΛΊΑ", "KIZ SAHİLDE")
EMPTY, LONG = "empty", "500 words"
TEXTS: dict[str, str] = {
    "plain": "a dog on the beach",
    "capitals": "A DOG, A CAT!",
    "punctuation": 'two (red) boats; "no_one\'s" - 50 %?',
    "spaces": "  two  spaces ",
    "tabs": "a\tdog\t\ton",
    "line breaks": "a dog\non the\r\nbeach\n",
    "no-break space": "a\u00a0dog\u2003on\u3000it",
    "decomposed": "pe\u0301s na pla\u0301z\u030ci",
    "full width": "ＡＢ１２！ ｶﾞ",
    "quotes": "“dog” and ‘cat’s’ ﬁn",
    "emoji": "🐕 on 👨‍👩‍👧 🏖️",
    "Arabic": "كلبٌ على الشاطئ",
    "Thai": "สุนัขบนชายหาด",
    "Japanese": "犬が走る",
    "Greek": "ΣΟΦΟΣ, ὈΔΥΣΣΕΎΣ ΣΑΣ.",
    "Turkish": "İSTANBUL'DA IŞIK",
    EMPTY: "",
    LONG: "word " * 500,
}

_PROBES = ("a", "1 a", "A b.")
_ROLES = ("bos_token", "eos_token", "pad_token", "unk_token", "cls_token", "sep_token", "mask_token")

Embed = Callable[[Sequence[str]], Any]  # texts -> (N, D), of length 1


def texts_for(
    tower: Tokenizing,
    *,
    has_prefix: bool = False,
    pads_by_token: bool = False,
) -> dict[str, str]:
    """Return the texts, by name, that the tower and its export must embed equally. None is in capitals.

    Args:
        tower: the tower, whose tokenizer has the special tokens.
        has_prefix: whether the tower's prefix, if it has one, is part of the export's tokenizer.
        pads_by_token: whether the package takes every padding token for padding, even inside a text.
    """
    tokenizer = getattr(tower.tokenizer, "in_transformers", tower.tokenizer)
    padding = tokenizer.pad_token
    end = tokenizer.eos_token or tokenizer.sep_token
    texts = dict(TEXTS)

    if has_prefix and tower.text_prefix:
        del texts[EMPTY]
    elif end is not None:
        texts["end of text first"] = f"{end} a dog"

    if end is not None:
        texts["end of text"] = f"a dog {end} b {end.upper()} c"

    if not pads_by_token:
        texts["padding"] = f"a dog {padding} b {padding.upper()} c {padding}"
        texts |= {} if has_prefix and tower.text_prefix else {"padding first": f"{padding} a dog"}

    normal = {name: normalize_text(text, tower.language) for name, text in texts.items()}
    return {name: text if normalize_letters(text) == normal[name] else normal[name] for name, text in texts.items()}


def check_equal(package: str, actual: Embed, expected: Embed, texts: Mapping[str, str]) -> None:
    """Raise RunError if `actual` and `expected` differ by more than `TOLERANCE` on one of `texts`, which it shows."""
    name, difference = next(iter(differences(actual, expected, texts).items()))
    if not difference <= TOLERANCE:
        raise RunError(
            f"{package} would embed the text {texts[name][:40]!r} ({name}) differently from the tower, by "
            f"{difference:.1e}: expected at most {TOLERANCE:.0e}; nothing was written"
        )


def warn_if_far(file: str, actual: Embed, expected: Embed, texts: Mapping[str, str]) -> None:
    """Log a warning if the cosine of `actual` and `expected` is below `LEAST_COSINE` on one of `texts`."""
    with quiet():
        actual_rows = torch.as_tensor(actual(list(texts.values()))).cpu()  # (N, D)
        expected_rows = torch.as_tensor(expected(list(texts.values()))).cpu()  # (N, D)

    cosines = torch.cosine_similarity(actual_rows, expected_rows).nan_to_num(-1)  # (N,)
    lowest = int(cosines.argmin())
    if cosines[lowest] < LEAST_COSINE:
        name, text = list(texts.items())[lowest]
        logger.warning(
            "%s embeds the text %r (%s) with a cosine of %.5f with the tower's embedding: expected at least %s",
            *(file, text[:40], name, cosines[lowest], LEAST_COSINE),
        )


def write_card(folder: Path, package: str, tower: Tokenizing, actual: Embed, expected: Embed) -> None:
    """Write the card of an export: how it reads texts, and the cosines with the tower's embeddings of `IN_CAPITALS`."""
    with quiet():
        actual_rows = torch.as_tensor(actual(IN_CAPITALS)).cpu()  # (N, D)
        expected_rows = torch.as_tensor(expected(IN_CAPITALS)).cpu()  # (N, D)

    cosines = torch.cosine_similarity(actual_rows, expected_rows).tolist()  # (N,)
    languages = "all its languages" if tower.language is None else language_name(tower.language)
    figures = "\n".join(f"  - `{text}`: {cosine:.3f}" for text, cosine in zip(IN_CAPITALS, cosines, strict=True))
    card = f"""# {Path(tower.name).name}

A text tower of pecl for {languages}, written for {package}.

## How it reads a text

The tokenizer brings a text into pecl's normal form: composed letters, letters of usual width, single spaces,
no invisible characters. Two steps of pecl are left out:

- pecl reads a text in capitals in lower case, by the rules of its language. The cosine between the embedding of
  this export and that of pecl:
{figures}
- pecl's searches, servers and banks restore marks and capitals that a text lacks.
"""
    write_text(folder / CARD, card)


def check_pictures(package: str, embed: Callable[[torch.Tensor], Any], image: ImageEncoder) -> None:
    """Raise RunError unless `embed` gives the tower's embeddings of two random pictures.

    `embed` maps pixels (N, 3, H, W), as the tower preprocesses pictures, to embeddings (N, D) of length 1.
    """
    generator = np.random.default_rng(0)
    pictures = [Image.fromarray(generator.integers(0, 256, (48, 64, 3), np.uint8)) for _ in range(2)]
    actual = torch.as_tensor(embed(torch.stack([image.preprocess(picture) for picture in pictures])))  # (N, D)
    expected = image.encode_image(pictures)  # (N, D)

    difference = float("inf")
    if actual.shape == expected.shape:
        difference = float((actual - expected).abs().max())
    if not difference <= PICTURE_TOLERANCE:
        raise RunError(
            f"{package} would embed a picture differently from the tower, by {difference:.1e}: expected at most "
            f"{PICTURE_TOLERANCE:.0e}; nothing was written"
        )


def differences(actual: Embed, expected: Embed, texts: Mapping[str, str]) -> dict[str, float]:
    """Return the largest difference between the two embeddings of each text, largest first; NaN counts as infinity."""
    with quiet():  # some texts are too long or have unknown letters on purpose
        actual_rows = torch.as_tensor(actual(list(texts.values()))).cpu()  # (N, D)
        expected_rows = torch.as_tensor(expected(list(texts.values()))).cpu()  # (N, D)

    if actual_rows.shape != expected_rows.shape:
        return dict.fromkeys(texts, float("inf"))
    rows = (actual_rows - expected_rows).abs().nan_to_num(float("inf")).amax(1)  # (N,)
    return dict(sorted(zip(texts, rows.tolist(), strict=True), key=lambda row: -row[1]))


def is_there(package: str, module: str) -> bool:
    """Return whether a package is installed; if not, log that its embeddings were not compared."""
    if importlib.util.find_spec(module) is not None:
        return True
    logger.warning("%s is not installed: its embeddings were not compared with the tower's", package)
    return False


def refused(tower: Tower, package: str, expected: str) -> ConfigError:
    """Return the error for a tower that the format of a package cannot hold."""
    kind = "text" if isinstance(tower, Tokenizing) else "image"
    return ConfigError(f"{kind} tower {tower.name} cannot be written for {package}: expected {expected}")


def check_portable(tower: Tokenizing, *languages: str | None) -> None:
    """Raise ConfigError if no other package can embed as the tower does.

    That is so if it transliterates texts of one of `languages`.
    """
    for language in filter(None, languages):
        if tower.transliteration(language) is not None:
            raise ConfigError(
                f"text tower {tower.name} reads {language_name(language)} in the letters of another script, which no "
                "other package does: expected an adapter of another language; `pecl serve` embeds this one"
            )


@contextmanager
def opening(package: str) -> Iterator[None]:
    """Raise RunError for any error of a package that opens an export in the body."""
    try:
        yield
    except PeclError:
        raise
    except Exception as error:  # of any class, since any package is run here
        raise RunError(f"{package} cannot open the export ({one_line(error)[:300]}); nothing was written") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence all warnings that are logged in the body."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def portable_tokenizer(
    tower: Tokenizing, language: str | None = None, *, with_prefix: bool = False
) -> PreTrainedTokenizerFast:
    """Return a tokenizer that gives the tower's token ids: it reads texts as the tower, the language's token first.

    `language` is that of all texts, see `Tokenizing.tokenize`. `with_prefix` also puts the tower's
    prefix before every text. Raise ConfigError if the tower's tokenizer cannot be written so, or as
    in `check_portable`.
    """
    language = language or tower.language
    check_portable(tower, language)
    plain = getattr(tower.tokenizer, "in_transformers", tower.tokenizer)
    if not hasattr(plain, "backend_tokenizer"):
        raise ConfigError(
            f"the tokenizer of text tower {tower.name} cannot be exported: expected a fast tokenizer of "
            f"transformers, got a {type(plain).__name__}"
        )

    backend = _reading(plain.backend_tokenizer, tower.clean, "" if with_prefix else tower.text_prefix)
    tokens = {role: getattr(plain, role) for role in _ROLES}
    special = {role: token for role, token in tokens.items() if token is not None}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_input_names=["input_ids", "attention_mask"],
        padding_side="right",
        split_special_tokens=tower.clean == CANONICALIZE,  # no cleaned text contains one
        **special,
    )
    before, after = around(plain)
    first = before
    if tower.names_languages and language is not None:
        first = [tower.language_token(language), *before[1:]]

    prefix: list[int] = []
    if with_prefix and tower.text_prefix:
        texts = (tower.text_prefix + _PROBES[0], _PROBES[0])
        prefixed_ids, text_ids = (tower.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts)
        prefix = prefixed_ids[: len(prefixed_ids) - len(text_ids)]

    if [*first, *prefix] != before:
        tokenizer.backend_tokenizer.post_processor = _template(plain, [*first, *prefix], after)

    for probe in _PROBES if prefix else ():
        if tokenizer(probe)["input_ids"] != [*first, *tower.whole(probe)[len(before) :]]:
            raise ConfigError(
                f"the tokenizer of text tower {tower.name} cannot be exported: no template puts "
                f"{tower.text_prefix!r} before a text as the tower does, such as before {probe!r}"
            )

    return tokenizer


def _reading(backend: Any, clean: str, prefix: str) -> Any:
    """Return a copy of a tokenizer's backend that reads a text as a tower: normal form, cleaning, added tokens.

    The tower looks for added tokens, such as special tokens, in the cleaned text. One that no cleaned text contains
    is left out, such as Gemma's token of two line breaks: it would be found before the cleaning. `prefix` comes with
    every text.
    """
    document = json.loads(backend.to_str())
    steps = [*normal_letters(prefix), *(normalizer_of(clean) if clean else [])]
    read = normalizers.Sequence(steps).normalize_str
    vocabulary = backend.get_vocab(with_added_tokens=False)

    added_tokens = []
    for token in document["added_tokens"]:
        content = token["content"]
        if read(content) == content:
            token["normalized"] = True
        elif not token["special"] and content in vocabulary and content not in read(f"a{content}a"):
            continue
        added_tokens.append(token)

    copied = Tokenizer.from_str(json.dumps(document | {"added_tokens": added_tokens}))
    own_normalizers = [] if copied.normalizer is None else [copied.normalizer]
    copied.normalizer = normalizers.Sequence([*steps, *own_normalizers])
    return copied


def _template(
    plain: Any,
    before: Sequence[int],
    after: Sequence[int],
) -> processors.TemplateProcessing:
    groups = {name: list(ids) for name, ids in (("before", before), ("after", after)) if ids}
    single = [f"[{name}]" if name in groups else name for name in ("before", "$A", "after") if name in {*groups, "$A"}]
    return processors.TemplateProcessing(
        single=single,
        special_tokens=[
            {"id": f"[{name}]", "ids": ids, "tokens": plain.convert_ids_to_tokens(ids)} for name, ids in groups.items()
        ],
    )
