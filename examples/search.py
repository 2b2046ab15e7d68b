"""Search a folder of images in any language: `python examples/search.py [~/Pictures "pes na pláži" [cs]]`.

Create or update the index first. Without a language, pecl detects it. Without arguments the example searches in drawn
scenes.
"""

import argparse
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", help="folder of images (default: drawn scenes)")
    parser.add_argument("query", nargs="?", default="dva psi na pláži", help="description of the image")
    parser.add_argument("language", nargs="?", help="language of the query (default: detected)")
    parsed = parser.parse_args()
    folder = parsed.folder or draw(Path("results/drawn"))
    for name, score in main(folder, parsed.query, parsed.language):
        print(f"{score:+.3f}  {name}")
