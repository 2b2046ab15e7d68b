"""Downloading data sets from a loopback server: what is there is right, recorded, and never the user's loss."""

import io
import json
import random

import pytest
from helpers.layouts import real_data_dir
from helpers.loopback import FAST, files_in, running_server, sha, without_proxies, wrong
from PIL import Image

from pecl.data import download as downloads
from pecl.data.download import (
    DOWNLOADS,
    MAX_FAILURES,
    Download,
    caption_files,
    check_content,
    download,
    read_download_records,
    xtd10_images,
)
from pecl.data.reading import provenance_file, write_with_provenance
from pecl.errors import DataError


def jpeg(seed, size=(64, 48)):
    buffer = io.BytesIO()
    Image.frombytes("RGB", size, random.Random(seed).randbytes(3 * size[0] * size[1])).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


@pytest.fixture
def site(monkeypatch):
    """A small XTD10 and a small Multi30K on the loopback, in place of the owners' servers."""
    without_proxies(monkeypatch)
    with running_server() as server:
        fill(server, monkeypatch)
        yield server


def fill(server, monkeypatch):
    names = [f"COCO_{'val' if i % 5 == 4 else 'train'}2014_{i:012}.jpg" for i in range(10)]
    texts = {
        "xtd10": {"XTD10/test_image_names.txt": "\n".join(names).encode(), "MIC/test_1kcaptions_de.txt": b"eins"},
        "multi30k": {"data/task1/raw/train.en.gz": b"one", "data/task1/raw/train.de.gz": b"zwei"},
    }
    for name, files in texts.items():
        checksums = {}
        for path, content in files.items():
            folder, _, file_name = path.rpartition("/")
            checksums.setdefault(folder, {})[file_name] = sha(content)
            server.files[f"/{name}-owner/{path}"] = server.files[f"/mirror/{name}/{path}"] = content
        owner = f"{server.url}/{name}-owner"
        monkeypatch.setitem(DOWNLOADS, name, Download(name, owner, checksums, DOWNLOADS[name].note))
    monkeypatch.setattr(downloads, "COCO_IMAGES", f"{server.url}/coco")
    server.names = names
    for i, name in enumerate(names):
        server.files[coco_path(name)] = server.files[f"/mirror/xtd10/images/{name}"] = jpeg(i)


def coco_path(name):
    return f"/coco/{name.split('_')[1]}/{name}"


def test_a_data_set_is_downloaded_once_and_recorded(site, tmp_path):
    report = download(["xtd10", "multi30k"], tmp_path, policy=FAST)
    assert (len(report.fetched), report.present, report.kept) == (14, [], [])
    for name in site.names:
        assert (tmp_path / "xtd10" / "images" / name).read_bytes() == site.files[coco_path(name)]
    assert (tmp_path / "multi30k/data/task1/raw/train.de.gz").read_bytes() == b"zwei"
    records = json.loads((tmp_path / "xtd10" / "download.json").read_text())["files"]
    assert records == read_download_records(tmp_path, "xtd10")
    record = records[f"xtd10/images/{site.names[0]}"]
    content = site.files[coco_path(site.names[0])]
    assert (record["sha256"], record["bytes"]) == (sha(content), len(content))
    assert record["url"] == site.url + coco_path(site.names[0])
    (tmp_path / "xtd10" / "images" / site.names[0]).write_bytes(jpeg(9))  # not what was downloaded
    asked = len(site.requests)
    again = download(["xtd10"], tmp_path, policy=FAST)
    assert (len(again.present), again.fetched, len(site.requests)) == (12, [], asked)
    assert read_download_records(tmp_path, "xtd10") == records


def test_a_mirror_is_laid_out_as_a_data_directory(site, tmp_path):
    download(["xtd10", "multi30k"], tmp_path, mirror=f"{site.url}/mirror/", policy=FAST)
    assert len(read_download_records(tmp_path, "xtd10")) == 12
    assert {path.split("/")[1] for path, _ in site.requests} == {"mirror"}
    download(["xtd10"], tmp_path / "text", text_only=True, policy=FAST)
    assert len(read_download_records(tmp_path / "text", "xtd10")) == 2


def test_a_missing_file_is_named_and_the_rest_is_fetched(site, tmp_path):
    del site.files[coco_path(site.names[3])]
    with pytest.raises(DataError) as caught:
        download(["xtd10"], tmp_path, policy=FAST)
    message = str(caught.value)
    assert f"1 of 10 files could not be fetched: {site.url}{coco_path(site.names[3])} (HTTP 404" in message
    assert len(files_in(tmp_path / "xtd10" / "images")) == 9
    assert len(read_download_records(tmp_path, "xtd10")) == 11
    site.files[coco_path(site.names[3])] = jpeg(3)
    assert download(["xtd10"], tmp_path, policy=FAST).fetched == [f"xtd10/images/{site.names[3]}"]


def test_a_photograph_that_does_not_decode_is_not_taken_and_one_on_disk_is_replaced(site, tmp_path):
    path, photograph = coco_path(site.names[0]), tmp_path / "xtd10" / "images" / site.names[0]
    site.faults[path] = [wrong(site.files[path][:-40]), wrong(b"<html>sign in</html>")]  # of three attempts
    download(["xtd10"], tmp_path, policy=FAST)
    assert photograph.read_bytes() == site.files[path]
    photograph.write_bytes(photograph.read_bytes()[:100])
    assert download(["xtd10"], tmp_path, policy=FAST).fetched == [f"xtd10/images/{site.names[0]}"]
    assert photograph.read_bytes() == site.files[path]


def test_many_failures_end_the_download_early(site, tmp_path):
    names = [f"COCO_train2014_{i:012}.jpg" for i in range(100)]
    content = "\n".join(names).encode()
    site.files["/xtd10-owner/XTD10/test_image_names.txt"] = content
    DOWNLOADS["xtd10"].checksums["XTD10"]["test_image_names.txt"] = sha(content)
    site.files = {path: body for path, body in site.files.items() if not path.startswith("/coco")}
    with pytest.raises(DataError, match="were not tried"):
        download(["xtd10"], tmp_path, policy=FAST, workers=2)
    asked = [path for path, _ in site.requests if path.startswith("/coco")]
    assert MAX_FAILURES <= len(asked) < len(names)


def test_a_file_of_the_users_is_not_replaced_unless_told(site, tmp_path):
    own = tmp_path / "multi30k/data/task1/raw/train.de.gz"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"my own")
    with pytest.raises(DataError, match=r"not the owner's file.*overwrite=True"):
        download(["multi30k"], tmp_path, policy=FAST)
    assert own.read_bytes() == b"my own"
    download(["multi30k"], tmp_path, overwrite=True, policy=FAST)
    assert own.read_bytes() == b"zwei"


def test_a_file_made_here_is_kept(site, tmp_path):
    own = tmp_path / "multi30k/data/task1/raw/train.de.gz"
    write_with_provenance(own, b"translated here", {"translator": "test"})
    report = download(["multi30k"], tmp_path, policy=FAST)
    assert report.kept == ["multi30k/data/task1/raw/train.de.gz"]
    assert own.read_bytes() == b"translated here"
    download(["multi30k"], tmp_path, overwrite=True, policy=FAST)
    assert own.read_bytes() == b"zwei"
    assert not provenance_file(own).exists()


# The tables


def test_xtd10s_photographs_come_from_their_split_of_coco(tmp_path):
    (tmp_path / "xtd10" / "XTD10").mkdir(parents=True)
    names_file = tmp_path / "xtd10" / "XTD10" / "test_image_names.txt"
    names_file.write_text("COCO_train2014_000000061844.jpg\nCOCO_val2014_000000129945.jpg\n")
    assert [file.url for file in xtd10_images(tmp_path)] == [
        "https://s3.amazonaws.com/images.cocodataset.org/train2014/COCO_train2014_000000061844.jpg",
        "https://s3.amazonaws.com/images.cocodataset.org/val2014/COCO_val2014_000000129945.jpg",
    ]


def test_the_checksums_are_those_of_the_owners_files():
    root = real_data_dir()
    for name in ("xtd10", "multi30k", "pectvlm", "xtd200"):  # of flickr30k200, a part of each file is there
        for file in caption_files(name):
            check_content((root / file.path).read_bytes(), file.sha256)
