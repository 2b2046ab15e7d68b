"""`scenes`, the data set that needs no download: 1,000 drawn pictures with captions in twelve languages.

Each picture shows one or two groups of things, with their numbers and colours, a place and its weather, and the
relation of the groups. It has two independent phrasings in every language and a machine translation both ways with
plausible mistakes, so every route of the library can be trained and tested on it. `scenes.json.bz2` holds scenes and
captions, as `scripts/make_scenes.py` wrote them; pictures are drawn when they are asked for.
"""

import bz2
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

from pecl.data.captions import ParallelCaptions
from pecl.data.languages import language_code, language_name
from pecl.data.scenes.draw import draw_scene
from pecl.data.scenes.scene import AnimalGroup, Scene
from pecl.errors import DataError
from pecl.files import parse_json, read_regular, sha256_json
from pecl.files.images import some_of

GENERATOR_VERSION = "1"  # raised with every change of pictures or captions: cached embeddings depend on it
TABLE = Path(__file__).with_name("scenes.json.bz2")


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

    def load(self, index: int, expected: str | None = None) -> Image.Image:
        """Return picture `index`: the same pixels each time, so that nothing is compared with `expected`."""
        return draw_scene(self.scenes[index])

    def fingerprint(self, index: int) -> str:
        """Return a hash of the scene's description and the generator's version; nothing is drawn for it."""
        return sha256_json([GENERATOR_VERSION, asdict(self.scenes[index])])

    def subset(self, indices: Sequence[int]) -> "SceneImages":
        """Return the pictures at `indices`, in that order."""
        return SceneImages(tuple(self.scenes[i] for i in indices))


def scene_languages() -> tuple[str, ...]:
    """Return the codes of the languages that the scenes have captions in."""
    return tuple(_table()["captions"])


def load_scenes(language: str, size: int | None = None) -> ParallelCaptions:
    """Load the first `size` scenes, or all, with English captions (phrasing A) and the language's own (phrasing B).

    Every language describes the same pictures. For `en` the target is English phrasing B, and the translations are the
    captions themselves.
    """
    language, table = language_code(language), _table()
    if language not in table["captions"]:
        known = ", ".join(table["captions"])
        raise DataError(f"scenes has no captions in {language_name(language)}: expected one of {known}")
    columns = {"english": table["english"], **table["captions"][language]}
    return ParallelCaptions(
        "scenes",
        language,
        **{name: tuple(column[:size]) for name, column in columns.items()},
        images=SceneImages(table["scenes"][:size]),
        provenance={
            "source": "drawn by pecl",
            "generator_version": GENERATOR_VERSION,
            "seed": table["seed"],
            "size": len(table["scenes"][:size]),
            "translation": "simulated",
            "translation_mistake_rate": table["mistake_rate"],
        },
    )


@cache
def _table() -> dict[str, Any]:
    """Read the table; its scenes become `Scene`s."""
    table = parse_json(bz2.decompress(read_regular(TABLE)))
    scenes = []
    for index, (place, weather, first, second, relation) in enumerate(table["scenes"]):
        groups = AnimalGroup(*first), None if second is None else AnimalGroup(*second)
        scenes.append(Scene(place, weather, *groups, relation, f"{table['seed']}/{index}"))
    return {**table, "scenes": tuple(scenes)}
