"""The index in Qdrant, on servers that live in this process: the same interface and answers as the exact store."""

import numpy as np
import pytest
from helpers.loopback import running_server
from helpers.small_index import COUNT, paint

import pecl
from pecl.apps.search.build import build_index
from pecl.apps.search.catalogue import FILE
from pecl.apps.search.options import IndexOptions
from pecl.errors import ConfigError, DataError, OutputError

URL = "http://qdrant.test:6333"
QDRANT = IndexOptions(engine="qdrant", url=URL)


class Servers(dict):
    """Clients by address, each with collections of its own in memory, which outlive `close`."""

    def __missing__(self, url):
        client = self[url] = pytest.importorskip("qdrant_client").QdrantClient(":memory:")
        client.close = lambda: None
        return client

    def names(self, url=URL):
        return [one.name for one in self[url].get_collections().collections]


@pytest.fixture
def servers(monkeypatch):
    servers = Servers()
    monkeypatch.setattr("pecl.apps.search.qdrant._connect", servers.__getitem__)
    return servers


@pytest.fixture
def both(photographs, tmp_path, servers):
    """One folder of photographs, indexed in the exact store and in Qdrant."""
    places = tmp_path / "exact", tmp_path / "qdrant"
    for place, options in zip(places, (IndexOptions(), QDRANT), strict=True):
        build_index(photographs, place, options)
    return places


def check_equal(places, queries, top):
    with pecl.ImageIndex.open(places[0]) as exact, pecl.ImageIndex.open(places[1]) as qdrant:
        assert repr(qdrant).endswith(f"{len(exact)} photographs, mini, qdrant)")
        assert qdrant.uncorrected == "the engine qdrant cannot subtract corrections"
        assert qdrant.paths == exact.paths
        np.testing.assert_allclose(qdrant.embeddings, exact.embeddings, atol=1e-6)
        pairs = list(zip(exact.search(queries, "en", top=top), qdrant.search(queries, "en", top=top), strict=True))
        for one, other in pairs:
            assert [hit.path for hit in other] == [hit.path for hit in one]
            np.testing.assert_allclose([hit.score for hit in other], [hit.score for hit in one], atol=1e-6)
            assert [qdrant.find(hit.id).path for hit in other] == [hit.path for hit in one]


def interrupt(photographs, place):
    """Renew an index up to its head, and no further."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pecl.apps.search.build.write_head", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build_index(photographs, place)


def test_a_renewal_sends_what_is_new_and_removes_what_is_gone(both, photographs, towers):
    paint(photographs / "00.png", 77)
    paint(photographs / "žluťoučký kůň.png", 78)
    (photographs / "03.png").unlink()
    for place in both:
        report = build_index(photographs, place)
        assert (report.new, report.changed, report.removed) == (1, 1, 1)
    check_equal(both, ["a dog"], COUNT)
    build_index(photographs, both[1], IndexOptions(rebuild=True))
    check_equal(both, ["a dog"], COUNT)


def test_a_renewal_writes_its_points_before_its_head_and_removes_others_after_it(both, photographs):
    """A search in between finds all photographs of the list, and no other."""
    paint(photographs / "new.png", 81)
    (photographs / "03.png").unlink()
    interrupt(photographs, both[1])
    check_equal(both, ["a dog", "a cat"], COUNT)


@pytest.mark.parametrize("lost", [COUNT, 3])
def test_points_that_are_missing_are_said_and_sent_again(both, photographs, servers, lost):
    """All with their collection, or three."""
    from qdrant_client.models import PointIdsList

    (name,) = servers.names()
    points, _ = servers[URL].scroll(name, limit=lost)
    servers[URL].delete(name, PointIdsList(points=[point.id for point in points]))
    if lost == COUNT:
        servers[URL].delete_collection(name)
    with pytest.raises(DataError, match=rf"{name} .* lacks {lost} of {COUNT} photographs"):
        pecl.ImageIndex.open(both[1])
    build_index(photographs, both[1])  # with nothing new
    check_equal(both, ["a dog"], COUNT)


def test_a_rebuild_makes_a_collection_of_its_own_and_drops_the_one_before(both, photographs, servers):
    (before,) = servers.names()
    servers[URL].create_collection("company", {})
    assert build_index(photographs, both[1], IndexOptions(rebuild=True)).new == COUNT
    assert before not in servers.names()
    assert len(servers.names()) == 2
    check_equal(both, ["a dog"], COUNT)
    build_index(photographs, both[1], IndexOptions(rebuild=True, engine="qdrant", url="http://other.test"))
    assert servers.names() == ["company"]
    check_equal(both, ["a dog"], COUNT)
    build_index(photographs, both[1], IndexOptions(rebuild=True, engine="exact"))
    assert servers.names("http://other.test") == []
    assert pecl.ImageIndex.open(both[1]).head.engine == "exact"


def test_a_failing_server_leaves_the_index_as_it_was(both, photographs, servers, monkeypatch):
    paint(photographs / "new.png", 81)
    before = (both[1] / FILE).read_bytes()
    monkeypatch.setattr(servers[URL], "upsert", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("disk full")))
    with pytest.raises(OutputError, match=f"qdrant at {URL}: disk full"):
        build_index(photographs, both[1])
    assert (both[1] / FILE).read_bytes() == before
    with pecl.ImageIndex.open(both[1]) as index:
        assert len(index) == COUNT


def test_without_the_client_the_error_says_how_to_install_it(photographs, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "qdrant_client", None)
    with pytest.raises(ConfigError, match=r"needs qdrant-client: pip install -e '.\[search\]'"):
        build_index(photographs, tmp_path / "index", QDRANT)
    assert not (tmp_path / "index").exists()


def test_what_is_no_qdrant_server_is_one_sentence(photographs, tmp_path):
    with running_server() as server:
        server.files["/collections"] = b"<html>hello</html>"
        with pytest.raises(DataError, match=f"qdrant at {server.url}: "):
            build_index(photographs, tmp_path / "index", IndexOptions(engine="qdrant", url=server.url))
