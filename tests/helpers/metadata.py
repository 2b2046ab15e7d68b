"""Metadata of photographs as other programs write it."""

import struct

from PIL import Image

from helpers.small_index import paint

PACKET = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" {0}>{1}</rdf:Description></rdf:RDF></x:xmpmeta>"""
MWG = "http://www.metadataworkinggroup.com/schemas/regions/"
PACKETS = {  # what other programs write -> words that it names
    "digiKam": (
        'xmlns:digiKam="http://www.digikam.org/ns/1.0/"',
        "<digiKam:TagsList><rdf:Seq><rdf:li>People/Babička Marie</rdf:li></rdf:Seq></digiKam:TagsList>",
        "Babička Marie",
    ),
    "Lightroom": (
        'xmlns:lr="http://ns.adobe.com/lightroom/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"',
        "<dc:subject><rdf:Bag><rdf:li>Eiffelturm</rdf:li></rdf:Bag></dc:subject>"
        "<lr:hierarchicalSubject><rdf:Bag><rdf:li>Places|Paris</rdf:li></rdf:Bag></lr:hierarchicalSubject>",
        "Paris",
    ),
    "Picasa, Apple Photos: a region by elements": (
        f'xmlns:mwg-rs="{MWG}"',
        '<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:RegionList><rdf:Bag><rdf:li rdf:parseType="Resource">'
        "<mwg-rs:Name>Jean-Luc</mwg-rs:Name><mwg-rs:Type>Face</mwg-rs:Type></rdf:li></rdf:Bag></mwg-rs:RegionList>"
        "</mwg-rs:Regions>",
        "Jean-Luc",
    ),
    "a region by attributes": (
        f'xmlns:mwg-rs="{MWG}"',
        "<mwg-rs:Regions><rdf:Description><mwg-rs:RegionList><rdf:Bag>"
        '<rdf:li><rdf:Description mwg-rs:Name="Wanjikũ" mwg-rs:Type="Face"/></rdf:li>'
        "</rdf:Bag></mwg-rs:RegionList></rdf:Description></mwg-rs:Regions>",
        "Wanjikũ",
    ),
    "Windows": (
        'xmlns:MP="http://ns.microsoft.com/photo/1.2/" xmlns:MPReg="http://ns.microsoft.com/photo/1.2/t/Region#"',
        '<MP:RegionInfo rdf:parseType="Resource"><rdf:li MPReg:PersonDisplayName="Oma Erna"/></MP:RegionInfo>',
        "Oma Erna",
    ),
    "IPTC Extension": (
        'xmlns:ext="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"',
        "<ext:PersonInImage><rdf:Bag><rdf:li>田中</rdf:li></rdf:Bag></ext:PersonInImage>",
        "田中",
    ),
}


def photograph(path, packet="", taken="", iptc=b"", kind="JPEG"):
    """Write a photograph with metadata; `iptc` is a row of records (number, text)."""
    image = Image.open(paint(path.with_suffix(".png"), seed=len(path.name)))
    path.with_suffix(".png").unlink()
    exif = Image.Exif()
    if taken:
        exif.get_ifd(0x8769)[0x9003] = taken
    image.save(path, kind, exif=exif, xmp=packet.encode("utf-8"))
    if iptc:
        records = b"".join(struct.pack(">BBBH", 0x1C, 2, number, len(text)) + text for number, text in iptc)
        block = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(records)) + records
        block += b"\0" * (len(records) % 2)
        content = path.read_bytes()
        path.write_bytes(content[:2] + b"\xff\xed" + struct.pack(">H", len(block) + 2) + block + content[2:])
    return path
