"""POST /search and the pictures of what was found."""

import asyncio
import base64
import contextlib
import io
import re

import numpy as np
import pytest
import torch
from helpers.serving import client_of, data_uri, expected, make_service
from helpers.small_experiment import tiny_towers
from helpers.small_index import COUNT, paint
from PIL import Image

import pecl.encoders.towers
from pecl.apps.search.build import build_index
from pecl.apps.search.catalogue import FILE, index_folder
from pecl.apps.search.index import ImageIndex
from pecl.apps.search.options import IndexOptions
from pecl.apps.serving.photographs import Photographs

QUERY = "ka lopi zumo"


@pytest.fixture
def index(photographs):
    build_index(photographs)
    return photographs


@pytest.fixture
def client(index):
    with client_of(make_service(index=index)) as client:
        yield client


def post(client, **document):
    answer = client.post("/search", json=document)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ranking(folder, query):
    """Names and scores by similarity to `query`, (1, D), computed from the files one by one."""
    paths = sorted(folder.rglob("*.png"))
    rows = torch.cat([tiny_towers().image.encode_image(path) for path in paths])
    scores = (rows @ torch.nn.functional.normalize(query, dim=1)[0]).tolist()
    named = [(str(path.relative_to(folder)), score) for path, score in zip(paths, scores, strict=True)]
    return sorted(named, key=lambda row: -row[1])


def found_in(document):
    return [(hit["name"], hit["score"]) for hit in document["photographs"]]


def same(found, wanted):
    assert [name for name, _ in found] == [name for name, _ in wanted]
    np.testing.assert_allclose([s for _, s in found], [s for _, s in wanted], atol=1e-5)


def test_the_nearest_photographs_with_the_adapter_and_without(client, index):
    for named, code, use, adapter in (("Czech", "cs", True, "cs"), ("cs", "cs", False, None), ("sv", "sv", True, None)):
        document = post(client, query=QUERY, language=named, top=COUNT, adapter=use)
        same(found_in(document), ranking(index, expected([QUERY], [adapter])))
        about = [document[key] for key in ("language", "detected", "confidence", "model")]
        assert about == [code, False, None, f"tiny:{adapter}" if adapter else "tiny"]  # none is for Swedish


def test_only_photographs_of_a_folder_are_found_at_any_depth(client, index):
    rows = ranking(index, expected([QUERY], ["cs"]))
    for folder in ("2019", "2019/summer/", "201"):
        wanted = [row for row in rows if row[0].startswith(folder.strip("/") + "/")]
        same(found_in(post(client, query=QUERY, language="cs", top=3, folder=folder)), wanted[:3])
    assert client.get("/search").json()["folders"] == ["2019", "2019/summer"]


def test_a_doubtful_language_mixes_adapters_and_the_answer_says_so(client, index):
    document = post(client, query="hotel", top=3, languages=["cs", "nl", "en"])
    assert set(document["mixed"]) == {"none", "nl", "cs"}
    rows = [share * expected(["hotel"], [None if n == "none" else n]) for n, share in document["mixed"].items()]
    for (name, score), (wanted, similarity) in zip(found_in(document), ranking(index, sum(rows)), strict=False):
        assert (name, score) == (wanted, pytest.approx(similarity, abs=1e-3))  # shares are rounded
    assert post(client, query="hotel", top=3, adapter=False, languages=["cs", "nl", "en"])["mixed"] == {}


def test_the_languages_are_those_of_the_request_the_index_the_browser_or_the_system(client, index, monkeypatch):
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)

    def spoken(header="", **document):
        headers = {"accept-language": header}
        about = client.get("/search", headers=headers).json()
        answer = client.post("/search", json={"query": "Hund am Strand", **document}, headers=headers)
        return about["spoken"], about["page"], answer.json()["language"], answer.json()["other_language"]

    assert spoken() == (["en"], "en", "en", False)
    assert spoken("de-AT,en;q=0.5") == (["de", "en"], "de", "de", False)
    assert spoken("sk-SK")[:2] == (["sk"], "sk")
    assert spoken("nl", query="hond op het strand") == (["nl"], "en", "nl", False)  # the page has no words of Dutch
    assert spoken("x" * 1024) == (["en"], "en", "en", False)
    assert spoken("nl", languages=["German", "cs"])[2] == "de"
    assert spoken("de", query="犬が海岸を走っている")[2:] == ("jp", True)
    build_index(index, options=IndexOptions(languages=["cs"]))
    assert spoken("de-AT,en;q=0.5")[:2] == (["cs"], "de")


def test_stop_words_are_those_of_the_languages_of_the_request(client, index):
    """A folder is called `ein`, which is no name to a person who speaks German."""
    paint(index / "ein" / "x.png", seed=70)
    build_index(index)
    name = {"word": "ein", "photographs": 1, "leads": True}
    assert post(client, query="ein", languages=["cs"])["names"] == [name]
    assert post(client, query="ein", languages=["cs", "de"])["names"] == []


def test_names_and_days_choose_photographs(client, index):
    paint(index / "Marie" / "x.png", seed=70)
    build_index(index)
    document = post(client, query="marie", language="en", top=COUNT + 1)
    name = {"word": "marie", "photographs": 1, "leads": True}
    assert (document["names"], document["photographs"][0]["name"]) == ([name], "Marie/x.png")
    assert [hit["named"] for hit in document["photographs"]] == [True] + [False] * COUNT
    assert post(client, query="marie", language="en", words=False)["names"] == []
    assert post(client, query="marie", language="en", not_names=["Marie"])["names"] == []
    address = {"query": "marie", "language": "en", "not_names": ["x", "Marie"]}
    assert client.get("/search", params=address).json()["names"] == []
    document = post(client, query="marie in 2019", language="en", top=COUNT + 1)
    of_2019 = sum("2019" in hit["name"] for hit in document["photographs"])
    days = {"after": "2019-01-01", "before": "2020-01-01", "photographs": of_2019, "text": "marie"}
    assert (document["days"], len(document["photographs"])) == (days, of_2019)
    document = post(client, query="marie July 1999", language="en", top=COUNT + 1)
    days = {"after": "1999-07-01", "before": "1999-08-01", "photographs": 0, "text": "marie"}
    assert (document["days"], document["photographs"]) == (days, [])
    assert post(client, query="marie", language="en", after="2030")["photographs"] == []


def test_a_picture_finds_itself_and_goes_together_with_text(client, index):
    content = (index / "2019" / "01.png").read_bytes()
    document = post(client, image=data_uri(content), top=COUNT)
    assert document["photographs"][0]["name"] == "2019/01.png"
    assert document["photographs"][0]["score"] == pytest.approx(1, abs=1e-5)
    assert (document["language"], document["model"]) == (None, None)
    picture = tiny_towers().image.encode_image(Image.open(io.BytesIO(content)))
    both = post(client, image=data_uri(content), query=QUERY, language="fr", top=COUNT)
    same(found_in(both), ranking(index, picture + expected([QUERY], ["fr"])))
    less = post(client, image=data_uri(content), minus=QUERY, language="fr", top=COUNT)
    same(found_in(less), ranking(index, picture - expected([QUERY], ["fr"])))


def test_a_picture_may_have_any_format_that_an_index_reads(client, index):
    heif = pytest.importorskip("pillow_heif")
    for name, kind in (("a.heic", "heic"), ("b.tif", "tiff"), ("c.avif", "avif")):
        picture = Image.open(paint(index / "x.png", seed=80)).resize((64, 64))
        (index / "x.png").unlink()
        if kind == "heic":
            heif.from_pillow(picture).save(index / name, quality=-1)
        else:
            picture.save(index / name)
        build_index(index)
        uri = f"data:image/{kind};base64,{base64.b64encode((index / name).read_bytes()).decode()}"
        hit = post(client, image=uri, top=1)["photographs"][0]
        assert (hit["name"], hit["score"]) == (name, pytest.approx(1, abs=1e-4))
        (index / name).unlink()


def test_a_search_by_address_is_the_search_by_a_document(client):
    for document in (
        {"query": "ka lopi & zumo=1"},
        {"query": QUERY, "language": "Czech", "top": 3},
        {"query": QUERY, "language": "cs", "adapter": False, "minus": "belo", "top": COUNT},
    ):
        address = {name: str(value).lower() if value is False else value for name, value in document.items()}
        answer = client.get("/search", params=address)
        assert answer.status_code == 200, answer.text
        assert answer.json() == post(client, **document)


BY_ADDRESS = [
    ("top=3", "query: expected a text"),
    ("query=a&language=cs&top=0", 'top: expected greater than or equal to 1, got "0"'),
    ("query=a&language=ua", "unknown language 'ua'"),
    ("query=a&language=cs&adapter=perhaps", "adapter: expected true or false"),
]


def test_pictures_are_made_anew_as_jpeg_without_metadata(client, index):
    exif = Image.Exif()
    exif[0x0110] = "a camera"
    Image.new("RGB", (2000, 500), (10, 200, 30)).save(index / "wide.jpg", exif=exif)
    build_index(index)
    hits = {hit["name"]: hit["id"] for hit in post(client, query=QUERY, language="cs", top=50)["photographs"]}
    for kind, size in (("thumbnails", (320, 80)), ("photographs", (1280, 320))):
        answer = client.get(f"/{kind}/{hits['wide.jpg']}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        shown = Image.open(io.BytesIO(answer.content))
        assert shown.size == size
        assert not shown.getexif()
        assert b"camera" not in answer.content
        assert shown.getpixel((5, 5)) == pytest.approx((10, 200, 30), abs=6)
    (index / "2019" / "01.png").unlink()
    gone = client.get(f"/photographs/{hits['2019/01.png']}")
    assert (gone.status_code, str(index) in gone.text) == (404, False)


def test_a_renewed_index_is_seen_without_a_restart_and_a_damaged_one_stays_what_it_was(client, index, caplog):
    def versions():
        hits = post(client, query=QUERY, language="cs", top=50)["photographs"]
        return {(hit["name"], hit["id"], hit["version"]) for hit in hits}

    before = versions()
    paint(index / "new.png", seed=99)
    paint(index / "2019" / "01.png", seed=98)
    build_index(index)
    assert sorted(name for name, _, _ in versions() - before) == ["2019/01.png", "new.png"]
    assert client.get("/search").json()["photographs"] == COUNT + 1
    image = data_uri((index / "new.png").read_bytes())
    assert post(client, image=image, top=1)["photographs"][0]["name"] == "new.png"
    (index_folder(index) / FILE).write_text("{" * 512)
    assert client.get("/search").json()["photographs"] == COUNT + 1
    assert "the index was updated, but cannot be read" in caplog.text
    refused = client.post("/search", json={"query": "a"})
    assert (refused.status_code, str(index_folder(index)) in refused.text) == (503, False)


def test_no_request_reads_the_embeddings_of_another_tower(client, index, towers, monkeypatch, caplog):
    before = found_in(post(client, query=QUERY, language="cs"))
    load = pecl.encoders.towers.load_image_encoder

    def load_another(*_, **__):
        tower = load()
        with torch.no_grad():
            tower.backbone.weight.mul_(-1)
        return tower

    with monkeypatch.context() as patch:
        patch.setattr("pecl.encoders.towers.load_image_encoder", load_another)
        build_index(index, options=IndexOptions(rebuild=True))
    with monkeypatch.context() as patch:
        patch.setattr("pecl.apps.search.index.read_catalogue", lambda *_, **__: pytest.fail("read"))
        for _ in range(3):
            assert found_in(post(client, query=QUERY, language="cs")) == before
    assert caplog.text.count("the index was updated, but cannot be read") == 1
    assert "was made with the image tower colours" in caplog.text
    build_index(index, options=IndexOptions(rebuild=True))
    paint(index / "new.png", seed=99)
    build_index(index)
    assert client.get("/search").json()["photographs"] == COUNT + 1


def test_a_search_names_photographs_of_the_index_in_which_it_began(client, index, tmp_path, monkeypatch):
    """Meanwhile another folder gets the index, and another request reads that."""
    before = found_in(post(client, query=QUERY, language="cs"))
    nearest = ImageIndex.nearest

    def nearest_then_rebuild(*args):
        hits = nearest(*args)
        paint(tmp_path / "other" / "a.png", seed=99)
        build_index(tmp_path / "other", index_folder(index), IndexOptions(rebuild=True))
        assert client.get("/search").json()["photographs"] == 1
        return hits

    monkeypatch.setattr(ImageIndex, "nearest", nearest_then_rebuild)
    assert found_in(post(client, query=QUERY, language="cs")) == before


REFUSED = [
    ({}, "query: expected a text, or a picture in the field image, got neither"),
    ({"query": "a", "language": "cs", "top": 1001}, "top: expected less than or equal to 1000, got 1001"),
    ({"query": "a", "after": "2019-13"}, "after: expected a day, a month or a year, such as"),
    ({"query": "a", "languages": ["klingon"]}, "unknown language 'klingon'"),
    ({"query": "x" * 9000, "language": "cs"}, "query: expected at most 8,192 characters"),
    ({"query": "x", "minus": "x" * 9000, "language": "cs"}, "minus: expected at most 8,192 characters"),
]


def test_bad_searches_by_address_and_by_document_and_pictures_that_are_not_in_the_index(client):
    for asked, said in (*BY_ADDRESS, *REFUSED):
        by_address = isinstance(asked, str)
        answer = client.get(f"/search?{asked}") if by_address else client.post("/search", json=asked)
        assert answer.status_code == 400, answer.text
        assert said in answer.json()["error"]["message"]
    for place in ("thumbnails/", "photographs/"):
        for name in ("0" * 32, "..%2f00.png"):
            answer = client.get(place + name)
            assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")


def test_a_server_without_an_index_says_so():
    with client_of(make_service()) as client:
        answer = client.post("/search", json={"query": "a"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_index")
        assert "started without an index" in answer.json()["error"]["message"]
        assert client.get(f"/thumbnails/{'0' * 32}").status_code == 404
        assert client.get("/search").json()["photographs"] == 0


def test_nothing_is_shown_within_a_page_of_another_site_nor_asked_of_one(client):
    """Whatever is asked for, and however it is answered."""
    hit = post(client, query=QUERY, language="cs", top=1)["photographs"][0]["id"]
    found = ("/", "/static/page.js", "/v1/models", f"/photographs/{hit}", f"/thumbnails/{hit}")
    for address, headers, status in (
        *((one, {}, 200) for one in found),
        *(("/nowhere", {}, 404), ("/static/none.js", {}, 404), ("/", {"host": "evil.example"}, 421)),
    ):
        answer = client.get(address, headers=headers)
        assert (answer.status_code, answer.headers["cross-origin-resource-policy"]) == (status, "same-origin"), address
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.search("https?://(?!www.w3.org)", client.get("/").text + client.get("/static/page.js").text)


def test_the_language_none_is_the_plain_tower(client, index):
    document = post(client, query=QUERY, language="none", top=COUNT)
    same(found_in(document), ranking(index, expected([QUERY], [None])))
    assert (document["language"], document["model"]) == (None, "tiny")


def test_a_search_that_waits_for_the_index_holds_up_no_other_request(client, monkeypatch):
    threads = set()
    plain = Photographs.index

    def index(photographs):
        with contextlib.suppress(RuntimeError):  # there is no loop in a thread
            asyncio.get_running_loop()
            threads.add("the loop's")
        return plain(photographs)

    monkeypatch.setattr(Photographs, "index", index)
    post(client, query=QUERY, language="cs")
    assert not threads
