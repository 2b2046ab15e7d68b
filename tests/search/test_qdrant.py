"""The index in Qdrant, by its local mode: the same interface and the same answers as the exact store."""

import http.server
import threading

import numpy as np
import pytest
from helpers.small_index import COUNT, paint

import pecl
from pecl.errors import ConfigError, DataError
from pecl.search.build import build_index
from pecl.search.plan import IndexOptions

pytest.importorskip("qdrant_client")
QDRANT = IndexOptions(engine="qdrant")


@pytest.fixture
def both(photographs, tmp_path):
    """One folder of photographs, indexed in the exact store and in Qdrant."""
    places = tmp_path / "exact", tmp_path / "qdrant"
    for place, options in zip(places, (IndexOptions(), QDRANT), strict=True):
        build_index(photographs, place, options)
    return places


def check_equal(places, queries, top):
    with pecl.ImageIndex.open(places[0]) as exact, pecl.ImageIndex.open(places[1]) as qdrant:
        assert repr(qdrant).endswith(f"{len(exact)} photographs, mini, qdrant)")
        assert qdrant.paths == exact.paths
        np.testing.assert_allclose(qdrant.embeddings, exact.embeddings, atol=1e-6)
        pairs = list(zip(exact.search(queries, "en", top=top), qdrant.search(queries, "en", top=top), strict=True))
        for one, other in pairs:
            assert [hit.path for hit in other] == [hit.path for hit in one]
            np.testing.assert_allclose([hit.score for hit in other], [hit.score for hit in one], atol=1e-6)
            assert [qdrant.find(hit.id).path for hit in one] == [hit.path for hit in one]
        for strange in ("", "../x", "0" * 32):
            with pytest.raises(DataError, match="there is no photograph"):
                qdrant.find(strange)


def test_both_engines_give_the_same_answers(both):
    check_equal(both, ["a dog", "a cat", "a house"], 5)
    check_equal(both, ["a dog"], COUNT)


def test_a_renewal_sends_what_is_new_and_removes_what_is_gone(both, photographs, towers):
    paint(photographs / "00.png", 77)
    paint(photographs / "žluťoučký kůň.png", 78)
    (photographs / "03.png").unlink()
    for place in both:
        report = build_index(photographs, place)
        assert (report.new, report.changed, report.removed) == (1, 1, 1)
    check_equal(both, ["a dog"], COUNT)
    build_index(photographs, both[1], IndexOptions(anew=True))
    check_equal(both, ["a dog"], COUNT)


def test_a_renewal_that_was_killed_before_its_head_is_made_good_by_the_next(both, photographs, monkeypatch):
    stray = paint(photographs / "stray.png", 80)
    with monkeypatch.context() as patch:
        patch.setattr("pecl.search.build.write_head", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build_index(photographs, both[1])
    stray.unlink()  # it is in the collection, and in no list
    paint(photographs / "new.png", 81)
    for place in both:
        build_index(photographs, place)
    check_equal(both, ["a dog"], COUNT + 1)


def test_a_collection_that_is_gone_is_one_sentence(both, tmp_path):
    (both[1] / "qdrant").rename(tmp_path / "away")
    with pytest.raises(DataError, match=r"qdrant's folder .* is missing: make the index anew"):
        pecl.ImageIndex.open(both[1])
    (both[1] / "qdrant").mkdir()
    with pytest.raises(DataError, match=r"there is no collection pecl-.* make the index anew"):
        pecl.ImageIndex.open(both[1])


def test_a_folder_of_its_own_and_one_process_at_a_time(photographs, tmp_path):
    options = IndexOptions(engine="qdrant", where={"path": str(tmp_path / "points")})
    build_index(photographs, tmp_path / "index", options)
    with pecl.ImageIndex.open(tmp_path / "index") as index:
        assert len(index.paths) == COUNT
        with pytest.raises(DataError, match="already accessed by another"):
            pecl.ImageIndex.open(tmp_path / "index")
    other = IndexOptions(where={"path": "elsewhere"})
    with pytest.raises(ConfigError, match=r"--path: .* has .*points, got elsewhere: leave it out"):
        build_index(photographs, tmp_path / "index", other)


def test_places_that_cannot_be(photographs, tmp_path, monkeypatch):
    for where, said in (
        ({"url": "http://x", "path": "y"}, "expected one of them, a server or a folder"),
        ({"url": ""}, "--url: expected an address"),
        ({"path": ""}, "--path: expected a folder"),
    ):
        with pytest.raises(ConfigError, match=said):
            build_index(photographs, tmp_path / "index", IndexOptions(engine="qdrant", where=where))
    with pytest.raises(DataError, match=r"qdrant at http://127.0.0.1:9: "):
        build_index(photographs, tmp_path / "index", IndexOptions(engine="qdrant", where={"url": "http://127.0.0.1:9"}))
    monkeypatch.setitem(__import__("sys").modules, "qdrant_client", None)
    with pytest.raises(ConfigError, match=r"needs qdrant-client: pip install 'pecl\[search\]'"):
        build_index(photographs, tmp_path / "index", QDRANT)
    assert not (tmp_path / "index").exists()


def test_what_is_no_qdrant_server_is_one_sentence(photographs, tmp_path):
    class NotQdrant(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), NotQdrant)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(DataError, match=f"qdrant at {url}: "):
            build_index(photographs, tmp_path / "index", IndexOptions(engine="qdrant", where={"url": url}))
    finally:
        server.shutdown()
