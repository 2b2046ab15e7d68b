"""Packets of XMP: regions, encodings, namespaces, and packets that were made to take memory and time."""

import tracemalloc
from xml.parsers.expat import ExpatError

import pytest
from helpers.metadata import MWG, PACKET

from pecl.apps.search.xmp import MAX_BYTES, read_properties

DC = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'
REGIONS = {
    "attributes": '<rdf:li><rdf:Description mwg-rs:Name="{0}" mwg-rs:Type="{1}"/></rdf:li>',
    "type first": "<rdf:li><mwg-rs:Type>{1}</mwg-rs:Type><mwg-rs:Name>{0}</mwg-rs:Name></rdf:li>",
    "name first": "<rdf:li><mwg-rs:Name>{0}</mwg-rs:Name><mwg-rs:Type>{1}</mwg-rs:Type></rdf:li>",
    "mixed": '<rdf:li mwg-rs:Name="{0}"><mwg-rs:Type> {1}\n</mwg-rs:Type></rdf:li>',
    "in a description": "<rdf:li><rdf:Description><mwg-rs:Name>{0}</mwg-rs:Name><mwg-rs:Type>{1}</mwg-rs:Type>"
    "</rdf:Description></rdf:li>",
}


def texts(content, *names):
    return [(found.name, found.text, found.region) for found in read_properties(content, frozenset(names))]


def packet(content, spaces=DC):
    return PACKET.format(spaces, content).encode("utf-8")


@pytest.mark.parametrize("form", REGIONS)
def test_a_region_has_its_type_as_an_attribute_or_an_element(form):
    people = [("Jana", "Face"), ("Kód", "BarCode"), ("Rex", "Pet"), ("Niemand", "Focus")]
    regions = "".join(REGIONS[form].format(*one) for one in people)
    content = packet(f"<mwg-rs:RegionList><rdf:Bag>{regions}</rdf:Bag></mwg-rs:RegionList>", f'xmlns:mwg-rs="{MWG}"')
    assert texts(content, "mwg-rs:Name") == [("mwg-rs:Name", name, kind) for name, kind in people]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "utf-16", "utf-32-le"])
@pytest.mark.parametrize("padding", ["", " \r\n\t", "\0\0\0"])
def test_a_packet_has_any_encoding_and_padding(encoding, padding):
    text = packet("<dc:title>Řeka</dc:title>").decode()
    assert texts((text + padding).encode(encoding), "dc:title") == [("dc:title", "Řeka", "")]


def test_a_declared_encoding_is_read():
    content = b'<?xml version="1.0" encoding="latin-1"?>' + packet("<dc:title>Stra\xdfe</dc:title>").decode().encode(
        "latin-1"
    )
    assert texts(content, "dc:title") == [("dc:title", "Straße", "")]


def test_prefixes_are_those_of_the_packet():
    content = b"""<x xmlns:a="http://purl.org/dc/elements/1.1/"><a:title>one</a:title>
        <y xmlns:a="http://example.org/" xmlns="http://purl.org/dc/elements/1.1/"><a:title>none</a:title>
        <title>two</title></y><a:title>three</a:title><dc:title>none</dc:title><title>none</title></x>"""
    assert [text for _, text, _ in texts(content, "dc:title")] == ["one", "two", "three"]


@pytest.mark.parametrize(
    "content",
    [
        b"<x" + b"".join(b' xmlns:a%d="http://purl.org/dc/elements/1.1/"' % number for number in range(200)) + b"/>",
        b"<x>" * 2000 + b"</x>" * 2000,
        b"<!DOCTYPE x><x/>",
        b" " * (MAX_BYTES + 1),
        b"<x>",
        "<x>".encode("utf-16-le")[:-1],
    ],
)
def test_a_packet_is_refused(content):
    with pytest.raises((ValueError, ExpatError)):
        read_properties(content, frozenset())


@pytest.mark.parametrize("form", ["<n:a{0}/>", '<a n:a{0}=""/>', '<a xmlns:a="{0}"/>', "<a b=''/>"])
def test_memory_is_that_of_the_packet(form):
    """expat's own namespaces take 600 MB for the first two, and a tree 12 MB for the last."""
    content = f'<x xmlns:n="{"u" * 200_000}">'.encode()
    content += "".join(form.format(number) for number in range(40_000 if "''" in form else 3000)).encode() + b"</x>"
    tracemalloc.start()
    read_properties(content, frozenset({"dc:title"}))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 * len(content)
