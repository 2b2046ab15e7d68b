"""Which test captions the page shows: those that changed most, gains and losses alike, and a sample of the others."""

from __future__ import annotations

import math
from collections.abc import Sequence

FOUND_AT = (1, 5, 10)  # a caption is found if its item is among the first k
_CHANGED_SHARE = 0.75  # of the captions shown


def change(before: int, after: int, k: int) -> str:
    """Return `gained` if an item's rank (from 1) came among the first `k`, `lost` if it left them, else `unchanged`."""
    if (before <= k) == (after <= k):
        return "unchanged"
    return "gained" if after <= k else "lost"


def count_changes(before: Sequence[int], after: Sequence[int]) -> dict[int, dict[str, int]]:
    """Return for each k of `FOUND_AT` how many of all test captions gained, lost, and are unchanged."""
    kinds = ("gained", "lost", "unchanged")
    changes = {k: [change(b, a, k) for b, a in zip(before, after, strict=True)] for k in FOUND_AT}
    return {k: {kind: found.count(kind) for kind in kinds} for k, found in changes.items()}


def choose(before: Sequence[int], after: Sequence[int], limit: int) -> list[int]:
    """Return the places of at most `limit` captions, in order.

    Three quarters are the largest changes, gains and losses in turn while both last: first those that change R@1, then
    R@5, R@10, then by the ratio of their ranks. The rest is spread evenly over the captions that are left.
    """
    size = len(before)
    if limit >= size:
        return list(range(size))
    improved, worsened = (
        sorted(
            (i for i in range(size) if (after[i] - before[i]) * sign > 0),
            key=lambda i: (-_weight(before[i], after[i]), i),
        )
        for sign in (-1, 1)
    )
    wanted = round(limit * _CHANGED_SHARE)
    losses = min(len(worsened), max(wanted // 2, wanted - len(improved)))
    chosen = set(worsened[:losses]) | set(improved[: wanted - losses])
    others = [i for i in range(size) if i not in chosen]
    missing = limit - len(chosen)
    chosen |= {others[(2 * place + 1) * len(others) // (2 * missing)] for place in range(missing)}
    return sorted(chosen)


def _weight(before: int, after: int) -> float:
    """Return how much a caption changed: each k of `FOUND_AT` that it crosses counts more than any ratio of ranks."""
    crossed = sum(2.0 ** -FOUND_AT.index(k) for k in FOUND_AT if change(before, after, k) != "unchanged")
    return 100 * crossed + abs(math.log(before / after))
