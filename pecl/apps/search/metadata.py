"""Words of a photograph, and the day it was taken, from its path and metadata.

EXIF, IPTC and XMP hold captions, keywords, places, and the people that digiKam, Lightroom, Picasa, Apple Photos or
Windows tagged.
"""

import datetime
import logging
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from defusedxml.ElementTree import fromstring
from PIL import ExifTags, ImageFile, IptcImagePlugin

from pecl.files import read_regular
from pecl.files.images import open_picture

logger = logging.getLogger(__name__)

_NAMESPACES = {
    "http://purl.org/dc/elements/1.1/": ("title", "description", "subject"),
    "http://ns.adobe.com/photoshop/1.0/": ("Headline", "City", "State", "Country"),
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": ("Location",),
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": ("PersonInImage",),
    "http://ns.adobe.com/lightroom/1.0/": ("hierarchicalSubject",),
    "http://www.digikam.org/ns/1.0/": ("TagsList",),
    "http://ns.microsoft.com/photo/1.0/": ("LastKeywordXMP",),
    "http://ns.microsoft.com/photo/1.2/t/Region#": ("PersonDisplayName",),
    "http://www.metadataworkinggroup.com/schemas/regions/": ("Name",),
    "http://ns.iview-multimedia.com/mediapro/1.0/": ("People", "CatalogSets"),
}
_XMP = {f"{{{space}}}{name}" for space, names in _NAMESPACES.items() for name in names}
_XMP_DATES = (
    "{http://ns.adobe.com/exif/1.0/}DateTimeOriginal",
    "{http://ns.adobe.com/photoshop/1.0/}DateCreated",
    "{http://ns.adobe.com/xap/1.0/}CreateDate",
)
_IPTC = {(2, number) for number in (5, 25, 90, 92, 95, 101, 105, 120)}  # title, keywords, places, headline, caption
_IPTC_DATE = (2, 55)
_XP = (0x9C9B, 0x9C9C, 0x9C9E, 0x9C9F)  # title, comment, keywords and subject as Windows writes them, in UTF-16
_DATES = (ExifTags.Base.DateTimeOriginal, ExifTags.Base.DateTimeDigitized)
_DAY = re.compile(r"(\d{4})[:-]?(\d\d)[:-]?(\d\d)", re.ASCII)


class Described(NamedTuple):
    """Words and day of a photograph."""

    words: str
    taken: str | None  # day, such as 2019-07-14
    is_broken: bool = False  # whether a part of its metadata cannot be read


def describe(root: Path, name: str) -> Described:
    """Read words and day of the photograph `name` below `root`; only the words of its path if it cannot be read."""
    path = PurePosixPath(os.fsencode(name).decode("utf-8", "replace"))
    texts, days, is_broken = [*path.parent.parts, path.stem], [], False
    try:
        with open_picture(read_regular(root / name)) as image:
            for read in (_exif, _xmp, _iptc):
                try:
                    found, own = read(image)
                    texts += found
                    days += own
                except Exception:  # Pillow and the XML reader raise many kinds; the photograph is indexed all the same
                    is_broken = True
    except (OSError, ValueError) as error:  # it was readable a moment ago; the next update lists it
        logger.info("%s: only its path is searched: %s", name, error)
    return Described("\n".join(dict.fromkeys(filter(None, map(str.strip, texts)))), next(_real(days), None), is_broken)


Found = tuple[list[str], list[str]]  # words, and days as they are written


def _exif(image: ImageFile.ImageFile) -> Found:
    if image.format == "PNG" and "exif" not in image.info:
        return [], []  # Pillow would decode the whole picture to look for it
    exif = image.getexif()
    texts = [_text(exif.get(ExifTags.Base.ImageDescription, ""))]
    texts += [exif[tag].decode("utf-16-le").rstrip("\0") for tag in _XP if isinstance(exif.get(tag), bytes)]
    inner = exif.get_ifd(ExifTags.IFD.Exif)
    return texts, [_text(inner[tag]) for tag in _DATES if tag in inner]


def _xmp(image: ImageFile.ImageFile) -> Found:
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if not packet:
        return [], []
    content = packet.encode("utf-8") if isinstance(packet, str) else bytes(packet)
    texts, days = [], {}
    for element in fromstring(content.strip(b"\0 \r\n\t")).iter():
        for name, value in ((element.tag, "\n".join(element.itertext())), *element.attrib.items()):
            if name in _XMP:
                texts.append(value)
            elif name in _XMP_DATES:
                days.setdefault(name, value)
    return texts, [days[name] for name in _XMP_DATES if name in days]


def _iptc(image: ImageFile.ImageFile) -> Found:
    found: dict[Any, Any] = IptcImagePlugin.getiptcinfo(image) or {}
    values = {key: value if isinstance(value, list) else [value] for key, value in found.items()}
    texts = [_text(value) for key in _IPTC for value in values.get(key, [])]
    return texts, [_text(value) for value in values.get(_IPTC_DATE, [])]


def _text(value: Any) -> str:
    """Decode a text of EXIF or IPTC: UTF-8, or Latin-1 from older programs."""
    content = value if isinstance(value, bytes) else str(value).encode("latin-1", "replace")  # as Pillow reads EXIF
    try:
        return content.decode("utf-8").rstrip("\0")
    except UnicodeDecodeError:
        return content.decode("latin-1").rstrip("\0")


def _real(days: Iterable[str]) -> Iterator[str]:
    """Yield the valid dates as 2019-07-14; cameras without a clock write zeros."""
    for text in days:
        found = _DAY.match(text.strip())
        try:
            if found is not None:
                yield datetime.date(*map(int, found.groups())).isoformat()
        except ValueError:
            continue
