"""`Summary`: counts of rows, images, languages and parts of a data set, and repeats within a gallery."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pecl.data.captions import PARTS, ParallelCaptions
from pecl.errors import not_none
from pecl.files.images import some_names

_MOST_SHOWN = 12  # languages that are named, and whose duplicates are


@dataclass
class Summary:
    """Counts of one split, filled language by language.

    `duplicates` are repeats of earlier items of the same part, for images and each language: "b.png as a.png".
    """

    rows: int = 0
    images: int | None = None  # None if they were not read
    languages: list[str] = field(default_factory=list)
    parts: dict[str, int] | None = None  # rows of each published part
    duplicates: dict[str, list[str]] = field(default_factory=dict)

    def add(self, captions: ParallelCaptions) -> None:
        """Count the captions of a language and, once, the English captions."""
        self.rows = len(captions)
        self.parts = {part: captions.part.count(part) for part in PARTS} if captions.part else None
        for language, texts in (("en", captions.english), (captions.language, captions.target)):
            if texts is not None and language not in self.languages:
                self.languages.append(language)
                for rows in _galleries(captions):
                    owners = captions.image_index and [captions.image_index[row] for row in rows]
                    repeats = find_repeats([texts[row] for row in rows], owners)
                    self._note(
                        language, [f"row {rows[one] + 1} as {rows[first] + 1}" for one, first in repeats.items()]
                    )

    def add_images(self, captions: ParallelCaptions) -> None:
        """Count the images of a data set that has some; raise DataError if one cannot be read."""
        images, image_index = not_none(captions.images, "images"), not_none(captions.image_index, "image_index")
        self.images = len(images)
        for rows in _galleries(captions):
            shown = list(dict.fromkeys(image_index[row] for row in rows))
            repeats = find_repeats([images.fingerprint(image) for image in shown])
            names = [(images.ids[shown[one]], images.ids[shown[first]]) for one, first in repeats.items()]
            self._note("images", [f"{one} as {first}" for one, first in names])

    def _note(self, kind: str, repeats: list[str]) -> None:
        if repeats:
            self.duplicates.setdefault(kind, []).extend(repeats)

    def __str__(self) -> str:
        images = [] if self.images is None else [f"{self.images} images"]
        parts = ", ".join(f"{part} {count}" for part, count in (self.parts or {}).items())
        shown = list(self.duplicates.items())[:_MOST_SHOWN]
        found = ", ".join(f"{kind} {len(one)} ({some_names(one)})" for kind, one in shown)
        found += f", ... of {len(self.duplicates)}" * (len(self.duplicates) > len(shown))
        few = len(self.languages) <= _MOST_SHOWN
        languages = f"languages {' '.join(self.languages)}" if few else f"{len(self.languages)} languages"
        counts = ", ".join([f"{self.rows} rows", *images, languages])
        return "; ".join([counts, f"parts {parts}" if parts else "no parts", f"duplicates: {found or 'none'}"])


def _galleries(captions: ParallelCaptions) -> Iterator[Sequence[int]]:
    """Yield the rows of each part, or all of them."""
    if captions.part is None:
        yield range(len(captions))
    else:
        for part in PARTS:
            yield [row for row, name in enumerate(captions.part) if name == part]


def find_repeats(contents: Sequence[str], owners: Sequence[int] | None = None) -> dict[int, int]:
    """Return the index of each repeated caption or hash of an image, with the index of its first occurrence.

    `owners` has the image of each caption; equal captions of one image do not count.
    """
    first: dict[str, int] = {}
    repeats = {}
    for place, content in enumerate(contents):
        earlier = first.setdefault(content, place)
        if earlier != place and (owners is None or owners[earlier] != owners[place]):
            repeats[place] = earlier
    return repeats
