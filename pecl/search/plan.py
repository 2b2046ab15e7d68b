"""What an index is to be: the options, and how they fit the index that is there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pecl.data.own.photographs import PhotographFolder
from pecl.errors import ConfigError, DataError, unknown
from pecl.search.catalogue import HEAD, Head, new_generation, read_head, root_of
from pecl.search.engines import engine_kind


@dataclass(frozen=True)
class IndexOptions:
    """How an index is made; what is None is as the index before has it.

    Attributes:
        profile: name of the pair of towers, by default mini.
        thumbnails: whether small pictures are kept.
        engine: `store` or `qdrant`, by default the former.
        where: `url` or `path` of the engine.
        anew: embed all photographs, and forget what the index holds.
        device: where the image tower goes.
    """

    profile: str | None = None
    thumbnails: bool | None = None
    engine: str | None = None
    where: Mapping[str, str | None] | None = None
    anew: bool = False
    device: str = "cpu"


def plan(found: PhotographFolder, place: Path, options: IndexOptions) -> tuple[Head | None, Head]:
    """Return the head of the generation to go on from, or None, and the new one as far as the options say it.

    Raises:
        DataError: the head that is there is damaged.
        ConfigError: an option differs from the index's.
    """
    root = found.root.resolve()
    if place.resolve() == root:
        raise ConfigError(f"--out: expected another folder than that of the photographs, got {place}")
    _check_towers(options)
    earlier: Head | None = None
    with contextlib.suppress(*[DataError] * options.anew):
        earlier = read_head(place) if (place / HEAD).exists() else None
    if earlier is not None and not options.anew:
        _check_same(place, root, earlier, options)
    return None if options.anew else earlier, _new_head(root, place, earlier, options)


def _check_towers(options: IndexOptions) -> None:
    """Raise ConfigError where the options name a pair of towers or a device that is not there."""
    if options.profile is None and options.device == "cpu":
        return  # nothing to look up, so nothing heavy to import
    from pecl.encoders.towers import PAIRS, check_device

    if options.profile is not None and options.profile not in PAIRS:
        raise ConfigError(unknown("profile", options.profile, PAIRS))
    check_device(options.device)


def _check_same(place: Path, root: Path, earlier: Head, options: IndexOptions) -> None:
    """Raise ConfigError where the options ask for another index than the one that is there."""
    way_on = "leave it out, or pass --anew to make the index anew"
    if root_of(place, earlier) != root:
        raise ConfigError(f"{place} is the index of {root_of(place, earlier)}, got {root}: name another --out")
    for name, value in {"profile": options.profile, "engine": options.engine}.items():
        if value not in (None, getattr(earlier, name)):
            raise ConfigError(f"--{name}: {place} has {getattr(earlier, name)}, got {value}: {way_on}")
    for name, value in (options.where or {}).items():
        if value not in (None, earlier.place.get(name)):
            raise ConfigError(f"--{name}: {place} has {earlier.place.get(name, 'none')}, got {value}: {way_on}")


def _new_head(root: Path, place: Path, earlier: Head | None, options: IndexOptions) -> Head:
    """Return the head of a new generation; tower, width and count of an earlier one are kept until they change."""
    engine = options.engine or (earlier.engine if earlier else "store")
    where = {name: value for name, value in (options.where or {}).items() if value is not None}
    keeps_place = earlier is not None and earlier.engine == engine and not (options.anew and where)
    inside = place.resolve().is_relative_to(root)
    return Head(
        root=os.path.relpath(root, place.resolve()) if inside else str(root),
        profile=options.profile or (earlier.profile if earlier else "mini"),
        tower=earlier.tower if earlier else {},
        width=earlier.width if earlier else 0,
        count=0,
        engine=engine,
        place=earlier.place if earlier and keeps_place else engine_kind(engine).place(where),
        thumbnails=bool(earlier and earlier.thumbnails) if options.thumbnails is None else options.thumbnails,
        generation=new_generation(),
    )
