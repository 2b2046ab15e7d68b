"""XMP, the metadata that digiKam, Lightroom, Picasa, Apple Photos or Windows write: `read_properties`.

A packet may come from anybody. It is read in one pass without a tree, and namespaces are resolved here:
expat would copy the address of a namespace, of any length, into the name of each element and attribute.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from json import detect_encoding
from typing import NamedTuple
from xml.parsers.expat import ParserCreate

MAX_BYTES = 4 << 20  # of a packet or a sidecar
_MAX_DEPTH = 1000  # elements within each other
_MAX_PREFIXES = 100

_PREFIXES = {
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#": "rdf",
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://ns.adobe.com/lightroom/1.0/": "lr",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": "Iptc4xmpCore",
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": "Iptc4xmpExt",
    "http://ns.iview-multimedia.com/mediapro/1.0/": "mediapro",
    "http://ns.microsoft.com/photo/1.0/": "MicrosoftPhoto",
    "http://ns.microsoft.com/photo/1.0": "MicrosoftPhoto",  # as exiftool writes it
    "http://ns.microsoft.com/photo/1.2/t/Region#": "MPReg",
    "http://www.digikam.org/ns/1.0/": "digiKam",
    "http://www.metadataworkinggroup.com/schemas/regions/": "mwg-rs",
}
_ITEM = "rdf:li"
_REGION_TYPE = "mwg-rs:Type"


class Property(NamedTuple):
    """A text of a property; a property with a list has one per item."""

    name: str  # such as dc:subject
    text: str
    item: dict[str, str]  # `type` of the region that the property is in, if it has one

    @property
    def region(self) -> str:
        """Type of the region around the property, such as Face; empty without one."""
        return self.item.get("type", "")


@dataclass
class _Level:
    """An open element."""

    name: str  # of the property that it belongs to; empty outside of properties
    prefixes: Mapping[str, str]  # known prefixes by the prefix that the packet uses
    item: dict[str, str]  # of the list item around it
    text: list[str] = field(default_factory=list)


def read_properties(content: bytes, names: frozenset[str]) -> list[Property]:
    """Return the properties of these names in a packet of XMP, in its order.

    A property is an attribute or an element; the items of an element's list are elements within it.

    Raises:
        ValueError: it is longer than `MAX_BYTES`, has a document type and with it entities, or is nested deeply.
        ExpatError: it is no XML.
    """
    if len(content) > MAX_BYTES:
        raise ValueError(f"expected at most {MAX_BYTES:,} bytes of XMP, got {len(content):,}")

    names = names | {_REGION_TYPE}
    found: list[Property] = []
    levels = [_Level("", {}, {})]

    def add(name: str, text: str, item: dict[str, str]) -> None:
        if name == _REGION_TYPE:
            item["type"] = text.strip()
        elif name and text.strip():
            found.append(Property(name, text, item))

    def end_text(level: _Level) -> None:
        add(level.name, "".join(level.text), level.item)
        level.text.clear()

    def start(tag: str, attributes: dict[str, str]) -> None:
        around = levels[-1]
        end_text(around)
        prefixes = _declared(around.prefixes, attributes)
        name = _known(tag, prefixes)
        level = _Level(
            name if name in names else around.name,
            prefixes,
            {} if name == _ITEM else around.item,
        )
        if len(levels) > _MAX_DEPTH:
            raise ValueError(f"expected at most {_MAX_DEPTH} elements within each other")
        levels.append(level)

        for attribute, value in attributes.items():
            name = _known(attribute, prefixes)
            if name in names:
                add(name, value, level.item)

    def end(_: str) -> None:
        end_text(levels.pop())

    def refuse(*_: object) -> None:
        raise ValueError("expected no document type")

    text, encoding = _prepared(content)
    parser = ParserCreate(encoding)
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = lambda piece: levels[-1].text.append(piece)
    parser.StartDoctypeDeclHandler = refuse
    parser.Parse(text, True)
    return found


def _prepared(content: bytes) -> tuple[bytes, str | None]:
    """Return a packet without the padding around it, and its encoding if that is not the one that it declares."""
    encoding = detect_encoding(content)
    if encoding.startswith("utf-8"):
        return content.strip(b"\0 \r\n\t"), None
    return content.decode(encoding).strip("\0 \r\n\t\ufeff").encode("utf-8"), "utf-8"


def _declared(prefixes: Mapping[str, str], attributes: Mapping[str, str]) -> Mapping[str, str]:
    """Return the prefixes within an element with these attributes."""
    declared = {
        name.removeprefix("xmlns").removeprefix(":"): _PREFIXES.get(address, "")
        for name, address in attributes.items()
        if name == "xmlns" or name.startswith("xmlns:")
    }
    within = {**prefixes, **declared} if declared else prefixes
    if len(within) > _MAX_PREFIXES:
        raise ValueError(f"expected at most {_MAX_PREFIXES} prefixes of namespaces")
    return within


def _known(name: str, prefixes: Mapping[str, str]) -> str:
    """Return a name with the prefix that is used here, as dc:subject; empty if its namespace is not read."""
    prefix, _, local = name.rpartition(":")
    known = prefixes.get(prefix, "")
    return f"{known}:{local}" if known else ""
