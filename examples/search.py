"""Search a folder of photographs in any language: `python examples/search.py ~/Pictures "pes na pláži" cs`.

Create the index first: `pecl index ~/Pictures`.
"""

import sys

import pecl


def main(folder: str, query: str, language: str | None = None, top: int = 5) -> list[tuple[str, float]]:
    """Return name and similarity of the photographs nearest to a query."""
    with pecl.ImageIndex.open(folder) as index:
        (hits,) = index.search([query], language=language, top=top)
    return [(hit.path.name, hit.score) for hit in hits]


if __name__ == "__main__":
    for name, score in main(*sys.argv[1:4]):
        print(f"{score:+.3f}  {name}")
