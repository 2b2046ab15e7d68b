"""`scenes`, the data set that needs no download: drawn pictures with captions in twelve languages, of any size.

Each picture shows one or two groups of things: so many, of a colour, at a place, in some weather, one group in a
relation to the other. It has two independent phrasings in every language and a machine translation both ways with
plausible mistakes, so every route of the library can be trained and tested on it. Everything follows from the seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image

from pecl.data.captions import ParallelCaptions, some_of
from pecl.data.scenes.describe import describe_all, describe_anew
from pecl.data.scenes.draw import IMAGE_SIZE, draw_scene
from pecl.data.scenes.grammar import render
from pecl.data.scenes.lexicon import LEXICONS
from pecl.data.scenes.translate import MISTAKE_RATE, english_to_target, target_to_english
from pecl.data.scenes.world import Scene, sample_scenes
from pecl.errors import DataError
from pecl.files import sha256_json
from pecl.languages import language_code, language_name

__all__ = ["GENERATOR_VERSION", "IMAGE_SIZE", "SceneImages", "load_scenes"]

GENERATOR_VERSION = "1"  # raised with every change of pictures or captions: cached embeddings depend on it


@dataclass(frozen=True)
class SceneImages:
    """Pictures drawn when asked for, 224 x 224 pixels, RGB; `ids` are like `scene-0-12` (seed 0, index 12)."""

    scenes: tuple[Scene, ...]

    def __repr__(self) -> str:
        return f"SceneImages({some_of(self.ids, len(self))})"

    @property
    def ids(self) -> tuple[str, ...]:
        """Names of the scenes."""
        return tuple("scene-" + scene.key.replace("/", "-") for scene in self.scenes)

    def __len__(self) -> int:
        return len(self.scenes)

    def load(self, index: int) -> Image.Image:
        """Return picture `index`: the same pixels each time."""
        return draw_scene(self.scenes[index])

    def fingerprint(self, index: int) -> str:
        """Return a hash of the scene's description and the generator's version; nothing is drawn for it."""
        return sha256_json([GENERATOR_VERSION, self.scenes[index].description()])

    def subset(self, indices: Sequence[int]) -> SceneImages:
        """Return the pictures at `indices`, in that order."""
        return SceneImages(tuple(self.scenes[i] for i in indices))


@lru_cache(maxsize=4)
def _scenes(size: int, seed: int) -> tuple[Scene, ...]:
    return sample_scenes(size, seed)


def load_scenes(language: str, size: int = 1000, seed: int = 0) -> ParallelCaptions:
    """Return `size` scenes with English captions (phrasing A) and the language's own (phrasing B).

    A smaller size gives the beginning of a larger one, and every language describes the same pictures. For `en` the
    target is English phrasing B, and the translations are the captions themselves.

    Raises:
        ConfigError: no such language.
        DataError: the language has no grammar here, or `size` is not positive.
    """
    language = language_code(language)
    if language not in LEXICONS:
        raise DataError(f"scenes has no grammar for {language_name(language)}: expected one of {', '.join(LEXICONS)}")
    if size < 1:
        raise DataError(f"scenes/{language}: size: expected a whole number >= 1, got {size}")
    scenes, lexicon, english = _scenes(size, seed), LEXICONS[language], LEXICONS["en"]
    return ParallelCaptions(
        dataset="scenes",
        language=language,
        english=tuple(render(english, describe_all(scene)) for scene in scenes),
        target=tuple(render(lexicon, describe_anew(scene, lexicon)) for scene in scenes),
        english_to_target=tuple(english_to_target(scene, language) for scene in scenes),
        target_to_english=tuple(target_to_english(scene, language) for scene in scenes),
        images=SceneImages(scenes),
        provenance={
            "source": "drawn by pecl",
            "generator_version": GENERATOR_VERSION,
            "seed": seed,
            "size": size,
            "translation": "simulated",
            "translation_mistake_rate": MISTAKE_RATE,
        },
    )
