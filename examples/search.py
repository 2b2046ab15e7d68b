"""Search a folder of images in any language: `python examples/search.py [~/Pictures "pes na pláži" cs]`.

Create or update the index first. Without arguments the example searches in drawn scenes.
"""

import sys
from pathlib import Path

import pecl


def draw(folder: Path, number: int = 40) -> Path:
    """Write drawn scenes as images into a folder, and return it."""
    images = pecl.load_dataset("scenes", "cs").images
    assert images is not None
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(number):
        images.load(i).save(folder / f"{images.ids[i]}.png")
    return folder


def main(folder: str | Path, query: str, language: str | None = None, top: int = 5) -> list[tuple[str, float]]:
    """Return name and similarity of the images nearest to a query."""
    pecl.build_index(folder)
    with pecl.ImageIndex.open(folder) as index:
        (hits,) = index.search([query], language=language, top=top)
    return [(hit.path.name, hit.score) for hit in hits]


if __name__ == "__main__":
    folder, query, language = sys.argv[1:4] or (draw(Path("results/drawn")), "dva psi na pláži", "cs")
    for name, score in main(folder, str(query), str(language)):
        print(f"{score:+.3f}  {name}")
