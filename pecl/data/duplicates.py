"""Items that occur more than once: which of them a query is to find is then ambiguous."""

from __future__ import annotations

from collections.abc import Sequence


def find_repeats(contents: Sequence[str], owners: Sequence[int] | None = None) -> dict[int, int]:
    """Return for each item whose content an earlier one has: its place, and the place of the first such.

    Args:
        contents: captions, or hashes of images.
        owners: image of each caption, where captions share images; equal captions of one image do not count.
    """
    first: dict[str, int] = {}
    repeats = {}
    for place, content in enumerate(contents):
        earlier = first.setdefault(content, place)
        if earlier != place and (owners is None or owners[earlier] != owners[place]):
            repeats[place] = earlier
    return repeats
