"""The head of a new generation: from the options, and from the index that is there."""

import contextlib
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from pecl.data.custom.photographs import PhotographFolder
from pecl.data.language_guess import detectable
from pecl.errors import ConfigError, DataError, unknown
from pecl.retrieval.hubs import find_references
from pecl.search.catalogue import HEAD, Head, damaged, read_head
from pecl.search.engines import ENGINES, EngineKind, engine_kind
from pecl.search.trust import Record, check_hidden, check_own, has_head, named_root, read_record

_DECODERS = ("pillow", "pillow-heif", "pillow-jxl-plugin")


@dataclass(frozen=True)
class IndexOptions:
    """Options of an index; None keeps the existing index's value.

    Attributes:
        profile: name of the pair of towers, by default mini.
        thumbnails: whether the index keeps small pictures, by default not.
        engine: vector backend, `store` (by default) or `qdrant`.
        url: address of the Qdrant server.
        rebuild: embed all photographs again, and use nothing of the existing index.
        device: device of the image tower.
        languages: the languages that queries are in, by any of their names; `all` for all that can be detected, as by
            default.
    """

    profile: str | None = None
    thumbnails: bool | None = None
    engine: str | None = None
    url: str | None = None
    rebuild: bool = False
    device: str = "cpu"
    languages: Sequence[str] | None = None


class Plan(NamedTuple):
    """The plan of a renewal."""

    before: Head | None  # head of the generation to go on from; None where nothing of it is used
    head: Head  # head of the new generation, without the number of photographs
    url: str | None  # address of the Qdrant server; None with `store`
    kind: EngineKind  # vector backend of the new generation
    record: Record | None  # this user's record of the index
    had_thumbnails: bool  # whether the existing index keeps small pictures


def plan(found: PhotographFolder, place: Path, options: IndexOptions) -> Plan:
    """Plan the renewal of the index in `place`.

    Raises:
        DataError: the index is damaged, or is a link.
        ConfigError: an option is wrong or differs from the index's, or `place` holds other files.
    """
    root = found.root.resolve()
    if place.resolve() == root:
        raise ConfigError(f"--out: expected another folder than that of the photographs, got {place}")
    check_hidden(place)
    check_own(place)
    _check_towers(options)
    earlier = _earlier(place, options.rebuild)
    record = read_record(place)
    own_url = record.url_of(earlier.collection) if record and earlier else None  # whatever the head says
    if earlier is not None and not options.rebuild:
        _check_same(place, root, earlier, own_url, options)
    engine = options.engine or ("store" if earlier is None or own_url is None else earlier.engine)
    url = options.url or (own_url if engine == "qdrant" else None)
    kind = engine_kind(engine, url)
    head = _new_head(root, place, earlier, engine, options)
    had_thumbnails = earlier is not None and earlier.thumbnails
    return Plan(None if options.rebuild else earlier, head, url, kind, record, had_thumbnails)


def _earlier(place: Path, rebuild: bool) -> Head | None:
    """Return the head of the existing index; None where there is none, or for a rebuild none that is sound."""
    if not has_head(place):
        return None
    try:
        head = read_head(place)
        if rebuild:  # the new index has the profile of the existing one
            check_profile(place, head.profile)
    except DataError:
        if rebuild:
            return None
        raise
    return head


def check_profile(folder: Path, profile: str) -> None:
    """Raise DataError unless an index names a pair of towers: any other name would be asked of a model hub."""
    from pecl.encoders.towers import PAIRS

    if profile not in PAIRS:
        raise damaged(folder / HEAD, unknown("profile", profile, PAIRS))


def _check_towers(options: IndexOptions) -> None:
    """Raise ConfigError where the options name a pair of towers or a device that is not there."""
    if options.profile is None and options.device == "cpu":
        return  # nothing to look up, so nothing heavy to import
    from pecl.encoders.towers import PAIRS, check_device

    if options.profile is not None and options.profile not in PAIRS:
        raise ConfigError(unknown("profile", options.profile, PAIRS))
    check_device(options.device)


def _check_same(place: Path, root: Path, earlier: Head, own_url: str | None, options: IndexOptions) -> None:
    """Raise ConfigError where the options ask for another index than the existing one, or it is not this user's."""
    if earlier.engine not in ENGINES:
        raise damaged(place / HEAD, unknown("engine", earlier.engine, ENGINES))
    way_on = "leave it out, or pass --rebuild to make the index again"
    if named_root(place, earlier) != root:
        raise ConfigError(f"{place} is the index of {named_root(place, earlier)}, got {root}: name another --out")
    for name, value in {"profile": options.profile, "engine": options.engine}.items():
        if value not in (None, getattr(earlier, name)):
            raise ConfigError(f"--{name}: {place} has {getattr(earlier, name)}, got {value}: {way_on}")
    if earlier.engine == "store":
        return
    if own_url is None:
        raise ConfigError(
            f"{place / HEAD} names a collection of Qdrant that you have not made for it here: pass --rebuild, with "
            f"--engine qdrant --url ADDRESS for a new one"
        )
    if options.url not in (None, own_url):
        raise ConfigError(f"--url: {place} has {own_url}, got {options.url}: {way_on}")


def _new_head(root: Path, place: Path, earlier: Head | None, engine: str, options: IndexOptions) -> Head:
    """Return the head of a new generation; towers, width and count of an earlier one are kept until they change."""
    kept = None if options.rebuild else earlier
    collection = kept.collection if kept else f"pecl-{secrets.token_hex(8)}" if engine == "qdrant" else ""
    return Head(
        root=os.path.relpath(root, place.resolve()) if place.resolve().is_relative_to(root) else str(root),
        profile=options.profile or (earlier.profile if earlier else "mini"),
        towers=kept.towers if kept else {},
        width=kept.width if kept else 0,
        count=0,
        engine=engine,
        collection=collection,
        thumbnails=bool(earlier and earlier.thumbnails) if options.thumbnails is None else options.thumbnails,
        decoders=_decoders(),
        salt=kept.salt if kept else secrets.token_hex(16),
        generation=secrets.token_hex(8),
        languages=_languages(earlier, options.languages),
    )


def _languages(earlier: Head | None, named: Sequence[str] | None) -> tuple[str, ...]:
    """Return the codes of the languages of a new generation, see `IndexOptions`."""
    if named is None:
        return earlier.languages if earlier else ()
    return () if list(named) == ["all"] else detectable(named)


def references_of(head: Head) -> str:
    """Return the fingerprint of the reference captions that correct hubs in an index; empty where nothing can."""
    found = find_references(head.profile, head.fingerprints) if head.engine == "store" else None
    return "" if found is None else found.fingerprint


def _decoders() -> str:
    """Return the installed packages that decode images, with their versions."""
    found = []
    for name in _DECODERS:
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)
