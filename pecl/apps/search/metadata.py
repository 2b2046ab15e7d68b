"""Words of a photograph, and the day it was taken: from its path, its metadata and its XMP sidecars.

EXIF, IPTC and XMP hold captions, keywords, places, and the people that digiKam, Lightroom, Picasa,
Apple Photos or Windows tagged. A sidecar is a file of XMP next to its photograph, such as
`IMG_1.jpg.xmp` or `IMG_1.xmp`.
"""

import datetime
import logging
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from PIL import ExifTags, ImageFile, IptcImagePlugin

from pecl.apps.search.xmp import MAX_BYTES, read_properties
from pecl.data.custom.photographs import Photograph
from pecl.files import read_regular
from pecl.files.images import MAX_FILE_BYTES, open_picture, read_exif

logger = logging.getLogger(__name__)

MAX_CHARACTERS = 1 << 16  # of the texts of a photograph, and of its names; the rest is cut off

_TEXTS = frozenset(
    {
        "dc:title",
        "dc:description",
        "dc:subject",
        "photoshop:Headline",
        "photoshop:City",
        "photoshop:State",
        "photoshop:Country",
        "Iptc4xmpCore:Location",
        "mediapro:CatalogSets",
    }
)
_PEOPLE = frozenset(
    {"Iptc4xmpExt:PersonInImage", "Iptc4xmpExt:PersonName", "MPReg:PersonDisplayName", "mediapro:People"}
)
# keywords with the keywords above them, such as People/Marie, and what separates them
_TREES = {"lr:hierarchicalSubject": "|", "digiKam:TagsList": "/", "MicrosoftPhoto:LastKeywordXMP": "/"}
_REGION_NAME = "mwg-rs:Name"
_NO_PERSON = ("Focus", "BarCode")  # types of regions that have no name of a person or pet
# The first part of a keyword for a person, as digiKam names it in the languages of the search page
_PEOPLE_ROOTS = frozenset(
    "people personen personnes lidé ľudia osoby personas persone kişiler люди 人物 사람 watu".split()  # noqa: SIM905
)
_TAKEN = ("exif:DateTimeOriginal", "photoshop:DateCreated")
_DIGITIZED = ("xmp:CreateDate",)
# title, keywords, places, headline, caption
_IPTC = {(2, number) for number in (5, 25, 90, 92, 95, 101, 105, 120)}
_IPTC_DATE = (2, 55)
_IPTC_TAG = 33723  # in a TIFF
# title, comment, keywords and subject as Windows writes them, in UTF-16
_XP = (0x9C9B, 0x9C9C, 0x9C9E, 0x9C9F)
_DATES = frozenset({*_TAKEN, *_DIGITIZED})
_PROPERTIES = _TEXTS | _PEOPLE | _TREES.keys() | _DATES | {_REGION_NAME}
_DAY = re.compile(r"(\d{4})[:-]?(\d\d)[:-]?(\d\d)", re.ASCII)
_MONTH_OR_YEAR = re.compile(r"(\d{4})(?:-(\d\d))?$", re.ASCII)


class Described(NamedTuple):
    """Words and day of a photograph; words are lines."""

    text: str  # words of its file name, captions, keywords and places
    names: str  # its folders, and the people in it
    taken: str | None  # day, such as 2019-07-14
    sidecars: str = ""  # state of the sidecars that were read, see `sidecar_state`
    is_broken: bool = False  # whether a part of its metadata cannot be read
    people: frozenset[str] = frozenset()  # who is named in its metadata


@dataclass
class _Metadata:
    """What is read from a photograph, in the order of reading."""

    texts: list[str] = field(default_factory=list)
    people: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)  # days as they are written
    digitized: list[str] = field(default_factory=list)  # of a scan or a copy: less certain


def sidecar_state(photograph: Photograph) -> str:
    """Return a text that changes with the sidecars of a photograph."""
    return "; ".join(" ".join(map(str, sidecar.stamp)) for sidecar in photograph.sidecars)


def describe(root: Path, photograph: Photograph) -> Described:
    """Read words and day of a photograph below `root`, and of its sidecars, whose day counts first.

    Parts that cannot be read are left out.
    """
    path = PurePosixPath(os.fsencode(photograph.name).decode("utf-8", "replace"))
    metadata = _Metadata(texts=[path.stem])

    is_broken = False
    for sidecar in photograph.sidecars:
        try:
            _read_xmp(read_regular(root / sidecar.name, MAX_BYTES), metadata)
        except Exception as error:  # of the file, or of its XML
            logger.info("%s is not read: %s", sidecar.name, error)
            is_broken = True

    try:
        with open_picture(read_regular(root / photograph.name, MAX_FILE_BYTES)) as image:
            for read in (_read_exif, _read_packet, _read_iptc):
                try:
                    read(image, metadata)
                except Exception:  # Pillow raises any exception; the photograph is indexed all the same
                    is_broken = True
    except Exception as error:  # it was readable a moment ago
        logger.info("%s: only its path and its sidecars are searched: %s", photograph.name, error)
        is_broken = True

    taken = next(_valid_days([*metadata.taken, *metadata.digitized]), None)
    texts, names = _lines(metadata.texts), _lines([*path.parent.parts, *metadata.people])
    if max(len(texts), len(names)) > MAX_CHARACTERS:
        texts, names = texts[:MAX_CHARACTERS], names[:MAX_CHARACTERS]
        is_broken = True
    people = frozenset(filter(None, map(str.strip, metadata.people)))
    return Described(texts, names, taken, sidecar_state(photograph), is_broken, people)


def _lines(texts: Iterable[str]) -> str:
    return "\n".join(dict.fromkeys(filter(None, map(str.strip, texts))))


def _read_exif(image: ImageFile.ImageFile, metadata: _Metadata) -> None:
    if image.format == "PNG" and "exif" not in image.info:
        return  # Pillow would decode the whole picture to look for it

    exif = read_exif(image)
    metadata.texts.append(_text(exif.get(ExifTags.Base.ImageDescription, "")))
    metadata.texts += [
        exif[tag].decode("utf-16-le", "replace").rstrip("\0") for tag in _XP if isinstance(exif.get(tag), bytes)
    ]
    inner = exif.get_ifd(ExifTags.IFD.Exif)

    for tag, days in (
        (ExifTags.Base.DateTimeOriginal, metadata.taken),
        (ExifTags.Base.DateTimeDigitized, metadata.digitized),
    ):
        if tag in inner:
            days.append(_text(inner[tag]))


def _read_packet(image: ImageFile.ImageFile, metadata: _Metadata) -> None:
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if packet:
        _read_xmp(packet.encode("utf-8") if isinstance(packet, str) else packet, metadata)


def _read_iptc(image: ImageFile.ImageFile, metadata: _Metadata) -> None:
    block = getattr(image, "tag_v2", {}).get(_IPTC_TAG)  # of a TIFF; a segment of a JPEG is short
    if isinstance(block, bytes) and len(block) > MAX_BYTES:
        raise ValueError(f"expected at most {MAX_BYTES:,} bytes of IPTC")

    records: dict[Any, Any] = IptcImagePlugin.getiptcinfo(image) or {}
    values = {key: value if isinstance(value, list) else [value] for key, value in records.items()}
    metadata.texts += [_text(value) for key in _IPTC for value in values.get(key, [])]
    metadata.taken += [_text(value) for value in values.get(_IPTC_DATE, [])]


def _read_xmp(content: bytes, metadata: _Metadata) -> None:
    """Read a packet of XMP; raise an exception as `read_properties`."""
    days: dict[str, str] = {}
    for found in read_properties(content, _PROPERTIES):
        name, value = found.name, found.text
        if name in _TEXTS:
            metadata.texts.append(value)
        elif name in _PEOPLE or (name == _REGION_NAME and found.region not in _NO_PERSON):
            metadata.people.append(value)
        elif name in _TREES:
            root, _, person = value.strip().partition(_TREES[name])
            if person and root.lower() in _PEOPLE_ROOTS:
                metadata.people.append(person)
            else:
                metadata.texts.append(value)
        elif name in _DATES:
            days.setdefault(name, value)

    metadata.taken += [days[name] for name in _TAKEN if name in days]
    metadata.digitized += [days[name] for name in _DIGITIZED if name in days]


def _text(value: Any) -> str:
    """Decode a text of EXIF or IPTC: UTF-8, or Latin-1 from older programs."""
    # as Pillow reads EXIF
    content = value if isinstance(value, bytes) else str(value).encode("latin-1", "replace")
    try:
        return content.decode("utf-8").rstrip("\0")
    except UnicodeDecodeError:
        return content.decode("latin-1").rstrip("\0")


def _valid_days(texts: Iterable[str]) -> Iterator[str]:
    """Yield the valid dates as 2019-07-14, months and years as their first day; cameras without a clock write zeros."""
    for text in texts:
        match = _DAY.match(text.strip()) or _MONTH_OR_YEAR.match(text.strip())
        if match is None:
            continue

        year, month, *day = (int(part or 1) for part in match.groups())
        try:
            yield datetime.date(year, month, *(day or [1])).isoformat()  # a month has no day
        except ValueError:
            continue
