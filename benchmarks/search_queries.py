"""Queries as people type them, made from the captions of Multi30K: short queries, and queries with a foreign word.

The captions are read from the data folder and not stored.
"""

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from pecl.data.captions import ParallelCaptions
from pecl.data.published.multi30k import IMAGES_FOLDER, present_training_images
from pecl.data.registry import find_data_dir, load_dataset
from pecl.data.splits import split_captions
from pecl.encoders.store import image_embeddings, store_of
from pecl.encoders.towers import Towers
from pecl.errors import not_none
from pecl.files.images import ImageFiles, ImageSource

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
from make_references import COUNT, captions_outside_pool

LANGUAGES = ("en", "cs", "de", "fr")
LENGTHS = (1, 2, 3, 5)
OTHERS = 3000  # photographs to enlarge the gallery of the validation photographs

# Words without content: articles, prepositions, conjunctions, pronouns, auxiliaries, numbers
_STOP_WORDS = {
    "en": "a an the and or but of in on at to from by with for into onto over under through across along around near "
    "behind front next off out up down while as is are was were be being been has have having do does doing his "
    "her their its it he she they them him this that these those there who which whose where some other another "
    "one two three several many few all each both very",
    "cs": "a i o u v ve k ke s se z ze na do od po za pod nad před při přes pro mezi okolo kolem podél vedle skrz bez "
    "je jsou byl byla bylo byli být má mají který která které kteří jeho její jejich svůj svou svém svého své jim "
    "ho ji ten ta to ti tato tento něco nějaký někdo si už jak že aby když zatímco jeden jedna jedno dva dvě tři "
    "několik další druhý jiný všichni velmi",
    "de": "ein eine einen einem einer eines der die das den dem des und oder aber in im ins auf an am zu zum zur aus "
    "von vom mit bei beim für über unter durch neben vor hinter während als ist sind war waren wird werden hat "
    "haben sein seine seinen seinem seiner ihr ihre ihren ihrem ihrer er sie es man sich dieser diese dieses "
    "welche welcher wo einige andere anderen anderer zwei drei mehrere viele alle beide sehr um herum entlang "
    "nach",
    "fr": "un une des le la les l d de du et ou mais dans en sur sous au aux à par pour avec sans vers chez entre "
    "devant derrière près travers pendant que qui dont où tandis comme est sont était être a ont ayant il elle "
    "ils elles on se s son sa ses leur leurs ce cet cette ces y deux trois plusieurs autre autres tous toutes "
    "très c n qu",
}

# English words, brands and places that Czech, German and French queries use unchanged
_FOREIGN = (
    "skateboard skateboarding skateboarder frisbee bmx rugby baseball football basketball softball volleyball tennis "
    "hockey golf surf surfing surfboard snowboard snowboarder snowboarding kayak kayaking rafting jeep cowboy rodeo "
    "motocross atv karate jogging picnic barbecue laptop ipod walkman bikini clown bus park trampoline skatepark "
    "graffiti hoodie jeans t-shirt tattoo bar van santa seattle oklahoma miami vegas spiderman izod energizer obama "
    "ghostbusters ski marathon pizza camping"
)


@dataclass(frozen=True)
class Gallery:
    """Photographs with a caption in each language.

    Attributes:
        captions: N captions by language.
        items: (N,) the place of each caption's photograph.
        images: (G, D) float32 embeddings of length 1.
    """

    captions: dict[str, list[str]]
    items: np.ndarray
    images: np.ndarray


def validation(towers: Towers, data_dir: str | None) -> tuple[Gallery, np.ndarray]:
    """Return the validation photographs of Multi30K that are in the data folder, with others behind them.

    The others have no captions here. They are `OTHERS` training photographs outside the pool.

    Returns:
        The gallery, and the rows (R,) of the reference captions that describe none of the others.
    """
    sets = {
        code: load_dataset("multi30k", code, data_dir=data_dir, split="val", allow_missing_images=True)
        for code in LANGUAGES
    }
    captioned = _gallery(sets, towers)
    root = find_data_dir("multi30k", data_dir)
    outside = list(captions_outside_pool(root))
    present = set(present_training_images(root)).intersection(outside)
    others = sorted(present, key=lambda name: hashlib.sha256(f"gallery{name}".encode()).hexdigest())[:OTHERS]
    files = ImageFiles(tuple(root / IMAGES_FOLDER / name for name in others))
    images = np.concatenate([captioned.images, _embedded(files, towers)])
    rows = np.flatnonzero(~np.isin(outside[:COUNT], others))

    return replace(captioned, images=images), rows


def test(towers: Towers, data_dir: str | None) -> Gallery:
    """Return the 900 test photographs of the pool `multi30k-1k`."""
    sets = {code: load_dataset("multi30k-1k", code, data_dir=data_dir) for code in LANGUAGES}
    places = split_captions(sets["cs"], 50).test
    return _gallery({code: captions.select(places) for code, captions in sets.items()}, towers)


def _gallery(sets: dict[str, ParallelCaptions], towers: Towers) -> Gallery:
    english = sets["en"]
    index = not_none(english.image_index, "image_index")
    shown = list(dict.fromkeys(index))
    images = not_none(english.images, "images").subset(shown)
    items = np.array([shown.index(item) for item in index])
    return Gallery({code: list(captions.target) for code, captions in sets.items()}, items, _embedded(images, towers))


def _embedded(images: ImageSource, towers: Towers) -> np.ndarray:
    """Return the embeddings (G, D) float32 of photographs, of length 1."""
    return F.normalize(torch.as_tensor(image_embeddings(towers.image, images, store_of(towers.image))), dim=1).numpy()


def content_words(caption: str, language: str) -> list[str]:
    """Return the words of a caption that are no stop words, in lower case."""
    words = re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", caption.lower())
    return [word for word in words if word not in _STOP_WORDS[language].split()]


def short_queries(captions: list[str], language: str, count: int) -> list[str]:
    """Return the first `count` content words of each caption; a caption without any stays whole."""
    return [" ".join(content_words(caption, language)[:count]) or caption for caption in captions]


def foreign_word_queries(gallery: Gallery) -> list[tuple[str, int, str]]:
    """Return (language, place of the caption, query): two content words and a word of the English caption as it is."""
    rows = []
    for i, english in enumerate(gallery.captions["en"]):
        word = next(
            (candidate for candidate in re.findall(r"[\w-]+", english) if candidate.lower() in _FOREIGN.split()), None
        )
        if word is None:
            continue
        for language in LANGUAGES[1:]:
            words = content_words(gallery.captions[language][i], language)
            rows.append(
                (language, i, " ".join([*[candidate for candidate in words if candidate != word.lower()][:2], word]))
            )

    return rows
