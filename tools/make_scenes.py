"""Write the shipped table of drawn scenes: 1,000 scenes with captions in twelve languages.

    python tools/make_scenes.py

The seed determines the table. If you change the table, change `GENERATOR_VERSION` in
`pecl/data/scenes`, because cached embeddings depend on the scenes.
"""

from __future__ import annotations

import argparse
import bz2
import json
from dataclasses import astuple
from typing import Any

from scene_captions.describe import describe_all, describe_anew
from scene_captions.grammar import render
from scene_captions.lexicon import LEXICONS
from scene_captions.sample import sample_scenes
from scene_captions.translate import MISTAKE_RATE, english_to_target, target_to_english

from pecl.data.scenes import TABLE
from pecl.data.scenes.scene import Scene
from pecl.files import write_bytes

SIZE, SEED = 1000, 0


def english_captions(scenes: tuple[Scene, ...]) -> list[str]:
    """Return the English captions of scenes, phrasing A."""
    return [render(LEXICONS["en"], describe_all(scene)) for scene in scenes]


def captions_in(language: str, scenes: tuple[Scene, ...]) -> dict[str, list[str]]:
    """Return the captions of scenes in a language, phrasing B, and the simulated translations both ways."""
    lexicon = LEXICONS[language]
    return {
        "target": [render(lexicon, describe_anew(scene, lexicon)) for scene in scenes],
        "english_to_target": [english_to_target(scene, language) for scene in scenes],
        "target_to_english": [target_to_english(scene, language) for scene in scenes],
    }


def make_table() -> dict[str, Any]:
    """Return the table as the package reads it."""
    scenes = sample_scenes(SIZE, SEED)
    return {
        "seed": SEED,
        "mistake_rate": MISTAKE_RATE,
        "scenes": [[*astuple(scene)[:5]] for scene in scenes],
        "english": english_captions(scenes),
        "captions": {language: captions_in(language, scenes) for language in LEXICONS},
    }


def main() -> None:
    """Write the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    text = json.dumps(make_table(), ensure_ascii=False, separators=(",", ":"))
    write_bytes(TABLE, bz2.compress(text.encode("utf-8")))
    print(f"{TABLE}: {TABLE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
