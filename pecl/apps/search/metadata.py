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
from xml.etree.ElementTree import Element

from defusedxml.ElementTree import fromstring
from PIL import ExifTags, ImageFile, IptcImagePlugin

from pecl.data.custom.photographs import Photograph
from pecl.files import open_regular, read_regular
from pecl.files.images import open_picture

logger = logging.getLogger(__name__)

SIDECAR_BYTES = 4 << 20  # of a sidecar; longer ones count as broken

_MWG = "{http://www.metadataworkinggroup.com/schemas/regions/}"
_IPTC_EXTENSION = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
_TEXTS = {
    "{http://purl.org/dc/elements/1.1/}title",
    "{http://purl.org/dc/elements/1.1/}description",
    "{http://purl.org/dc/elements/1.1/}subject",
    "{http://ns.adobe.com/photoshop/1.0/}Headline",
    "{http://ns.adobe.com/photoshop/1.0/}City",
    "{http://ns.adobe.com/photoshop/1.0/}State",
    "{http://ns.adobe.com/photoshop/1.0/}Country",
    "{http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/}Location",
    "{http://ns.iview-multimedia.com/mediapro/1.0/}CatalogSets",
}
_PEOPLE = {
    f"{_IPTC_EXTENSION}PersonInImage",
    f"{_IPTC_EXTENSION}PersonName",
    "{http://ns.microsoft.com/photo/1.2/t/Region#}PersonDisplayName",
    "{http://ns.iview-multimedia.com/mediapro/1.0/}People",
}
_TREES = {  # keywords with the keywords above them: People/Marie
    "{http://ns.adobe.com/lightroom/1.0/}hierarchicalSubject": "|",
    "{http://www.digikam.org/ns/1.0/}TagsList": "/",
    "{http://ns.microsoft.com/photo/1.0/}LastKeywordXMP": "/",
    "{http://ns.microsoft.com/photo/1.0}LastKeywordXMP": "/",  # as exiftool writes it
}
_REGION_NAME, _REGION_TYPE = f"{_MWG}Name", f"{_MWG}Type"
_NO_PERSON = ("Focus", "BarCode")  # types of regions that have no name of a person or pet
# The first part of a keyword for a person, as digiKam names it in the languages of the search page
_PEOPLE_ROOTS = frozenset(
    "people personen personnes lidé ľudia osoby personas persone kişiler люди 人物 사람 watu".split()  # noqa: SIM905
)
_TAKEN = ("{http://ns.adobe.com/exif/1.0/}DateTimeOriginal", "{http://ns.adobe.com/photoshop/1.0/}DateCreated")
_DIGITIZED = ("{http://ns.adobe.com/xap/1.0/}CreateDate",)
# title, keywords, places, headline, caption
_IPTC = {(2, number) for number in (5, 25, 90, 92, 95, 101, 105, 120)}
_IPTC_DATE = (2, 55)
# title, comment, keywords and subject as Windows writes them, in UTF-16
_XP = (0x9C9B, 0x9C9C, 0x9C9E, 0x9C9F)
_DATES = {*_TAKEN, *_DIGITIZED}
_PROPERTIES = {*_TEXTS, *_PEOPLE, *_TREES, *_DATES, _REGION_NAME}
_DAY = re.compile(r"(\d{4})[:-]?(\d\d)[:-]?(\d\d)", re.ASCII)
_MONTH_OR_YEAR = re.compile(r"(\d{4})(?:-(\d\d))?$", re.ASCII)


class Described(NamedTuple):
    """Words and day of a photograph; words are lines."""

    text: str  # words of its file name, captions, keywords and places
    names: str  # its folders, and the people in it
    taken: str | None  # day, such as 2019-07-14
    sidecars: str = ""  # state of the sidecars that were read, see `sidecar_state`
    is_broken: bool = False  # whether a part of its metadata cannot be read


@dataclass
class _Metadata:
    """What is read from a photograph, in the order of reading."""

    texts: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
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
    metadata = _Metadata(texts=[path.stem], names=[*path.parent.parts])

    is_broken = False

    for sidecar in photograph.sidecars:
        try:
            _read_xmp(_read_sidecar(root / sidecar.name), metadata)
        except Exception as error:  # the XML reader raises many kinds
            logger.info("%s is not read: %s", sidecar.name, error)
            is_broken = True

    try:
        with open_picture(read_regular(root / photograph.name)) as image:
            for read in (_read_exif, _read_packet, _read_iptc):
                try:
                    read(image, metadata)
                except Exception:  # Pillow raises many kinds; the photograph is indexed all the same
                    is_broken = True
    except (OSError, ValueError) as error:  # it was readable a moment ago; the next update lists it
        logger.info("%s: only its path and its sidecars are searched: %s", photograph.name, error)

    taken = next(_valid_days([*metadata.taken, *metadata.digitized]), None)
    return Described(_lines(metadata.texts), _lines(metadata.names), taken, sidecar_state(photograph), is_broken)


def _lines(texts: Iterable[str]) -> str:
    return "\n".join(dict.fromkeys(filter(None, map(str.strip, texts))))


def _read_sidecar(path: Path) -> bytes:
    """Return the content of a sidecar; raise ValueError if it is longer than `SIDECAR_BYTES`."""
    with open_regular(path) as file:
        content = file.read(SIDECAR_BYTES + 1)
    if len(content) > SIDECAR_BYTES:
        raise ValueError(f"expected at most {SIDECAR_BYTES:,} bytes")
    return content


def _read_exif(image: ImageFile.ImageFile, metadata: _Metadata) -> None:
    if image.format == "PNG" and "exif" not in image.info:
        return  # Pillow would decode the whole picture to look for it

    exif = image.getexif()
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
        _read_xmp(packet.encode("utf-8") if isinstance(packet, str) else bytes(packet), metadata)


def _read_iptc(image: ImageFile.ImageFile, metadata: _Metadata) -> None:
    records: dict[Any, Any] = IptcImagePlugin.getiptcinfo(image) or {}
    values = {key: value if isinstance(value, list) else [value] for key, value in records.items()}
    metadata.texts += [_text(value) for key in _IPTC for value in values.get(key, [])]
    metadata.taken += [_text(value) for value in values.get(_IPTC_DATE, [])]


def _read_xmp(content: bytes, metadata: _Metadata) -> None:
    """Read a packet of XMP; raise an exception if it is no XML, or has a document type and with it entities."""
    days: dict[str, str] = {}
    for name, value, region in _properties(fromstring(content.strip(b"\0 \r\n\t"), forbid_dtd=True)):
        if name in _TEXTS:
            metadata.texts.append(value)
        elif name in _PEOPLE or (name == _REGION_NAME and region not in _NO_PERSON):
            metadata.names.append(value)
        elif name in _TREES:
            root, _, person = value.strip().partition(_TREES[name])
            if person and root.lower() in _PEOPLE_ROOTS:
                metadata.names.append(person)
            else:
                metadata.texts.append(value)
        elif name in _DATES:
            days.setdefault(name, value)

    metadata.taken += [days[name] for name in _TAKEN if name in days]
    metadata.digitized += [days[name] for name in _DIGITIZED if name in days]


def _properties(packet: Element) -> Iterator[tuple[str, str, str | None]]:
    """Yield the properties that are read: the name, each text of its value, and the type of a region around it.

    A property is an attribute or an element; the items of an element's list are elements within it.
    Each element is visited once: a packet may come from anybody, and be nested deeply.
    """
    waiting: list[tuple[Element, str, str | None]] = [(packet, "", None)]
    while waiting:
        element, name, region = waiting.pop()
        name = element.tag if element.tag in _PROPERTIES else name
        region = element.get(_REGION_TYPE) or element.findtext(_REGION_TYPE) or region
        if name and element.text and element.text.strip():
            yield name, element.text, region
        for attribute, value in element.attrib.items():
            if attribute in _PROPERTIES:
                yield attribute, value, region
        waiting += [(child, name, region) for child in reversed(element)]


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
