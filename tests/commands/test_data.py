"""`pecl data`: what is printed, and exit statuses."""

import argparse
import json
import shlex

import pytest
from helpers.layouts import make_xtd10, sentence, write_image, write_lines
from helpers.loopback import running_server, sha, without_proxies
from helpers.translation_models import make_m2m100

from pecl.commands import data
from pecl.commands.options import REGISTERED
from pecl.data.check import CheckReport, Summary
from pecl.data.custom.tables import Problem
from pecl.data.download import DOWNLOADS, Download, DownloadReport
from pecl.data.reading import write_with_provenance
from pecl.data.registry import DATASETS, load_dataset
from pecl.data.splits import check_split
from pecl.errors import ConfigError, DataError

TRANSLATED = "datasets/Cross-lingual-Test-Dataset-XTD10/translated_from_en"


@pytest.fixture
def pecl(tmp_path, monkeypatch, capsys):
    """Run `pecl data <line>`; return its exit status and what it printed on standard output."""
    monkeypatch.setenv("PECL_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path / "cache"))
    parser = argparse.ArgumentParser(prog="pecl", exit_on_error=False)
    REGISTERED["data"](parser.add_subparsers())

    def run(line):
        parsed = parser.parse_args(["data", *shlex.split(line)])
        return parsed.run(parsed) or 0, capsys.readouterr().out

    return run


@pytest.fixture
def publish(monkeypatch):
    """Let a download have other files and checksums."""
    return lambda name, checksums={}: monkeypatch.setitem(DOWNLOADS, name, Download("", "", checksums))


def test_list_tells_what_is_found(pecl, tmp_path):
    make_xtd10(tmp_path)
    status, printed = pecl("list")
    assert status == 0
    lines = {line.split()[0]: line.split()[1] for line in printed.splitlines() if line[:1].strip()}
    assert {name for name in DATASETS if lines[name] == "found"} == {"xtd10", "scenes"}
    assert "translations" in printed
    status, printed = pecl(f"list --json --data-dir {tmp_path / 'elsewhere'}")
    document = json.loads(printed)
    assert [row["name"] for row in document["datasets"] if row["found"]] == ["scenes"]
    assert [row["name"] for row in document["downloads"]] == list(DOWNLOADS)


@pytest.fixture
def server(monkeypatch):
    without_proxies(monkeypatch)
    with running_server() as server:
        content = b"ein Hund\n"
        for path in ("/owner/raw/train.de", "/mirror/multi30k/raw/train.de"):
            server.files[path] = content
        checksums = {"raw": {"train.de": sha(content)}}
        row = Download("", f"{server.url}/owner", checksums, DOWNLOADS["multi30k"].note)
        monkeypatch.setitem(DOWNLOADS, "multi30k", row)
        yield server


def test_download_reports_what_it_did_and_what_is_left_to_do(pecl, server, tmp_path):
    status, printed = pecl("download multi30k")
    assert status == 0
    assert printed.startswith("1 files fetched, 0 existed already\n")
    assert "forms.illinois.edu" in printed
    assert (tmp_path / "multi30k/raw/train.de").read_bytes() == b"ein Hund\n"
    status, printed = pecl("download multi30k --json")
    assert json.loads(printed)["present"] == ["multi30k/raw/train.de"]


@pytest.mark.parametrize("wrong", ["--timeout inf", "--timeout nan", "--workers 0", "--attempts -1"])
def test_download_refuses_a_limit_that_is_none(pecl, wrong, tmp_path):
    with pytest.raises(ConfigError, match=f"^{wrong.split()[0]}: expected a number > 0 and <= 86,400, got"):
        pecl(f"download multi30k {wrong}")
    assert not list(tmp_path.iterdir())


def test_check_of_a_table_says_what_is_there_and_what_occurs_twice_in_a_gallery(pecl, tmp_path):
    """c.png is b.png again; a.png too, but of another part. Equal captions of one image are no matter."""
    for name, colour in (("a", 1), ("b", 1), ("c", 1), ("d", 2)):
        write_image(tmp_path / f"{name}.png", colour=(colour, 0, 0))
    rows = ["a,train,one", "d,val,two", "b,test,three", "c,test,four", "c,test,four", "b,test,four"]
    lines = [f"{image}.png,{part},{text},{text} de" for image, part, text in (row.split(",") for row in rows)]
    path = tmp_path / "own.csv"
    path.write_text("\n".join(["image,part,en,de", *lines]))
    status, printed = pecl(f"check {path}")
    assert status == 0
    assert printed == (
        f"{path}: no problems\n{path}: 6 rows, 4 images, languages en de; parts train 1, val 1, test 4; "
        "duplicates: en 1 (row 6 as 4), de 1 (row 6 as 4), images 1 (c.png as b.png)\n"
    )
    summary = json.loads(pecl(f"check {path} --json")[1])["summaries"][str(path)]
    assert (summary["rows"], summary["images"], summary["parts"]) == (6, 4, {"train": 1, "val": 1, "test": 4})
    assert summary["duplicates"] == {"en": ["row 6 as 4"], "de": ["row 6 as 4"], "images": ["c.png as b.png"]}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["a.png,train,one,eins"], "own/de has no caption in its val part: got {'train': 1, 'val': 0, 'test': 0}"),
        (["a.png,train,1,1", "./a.png,test,2,2", "b.png,val,3,3"], "image a.png is in the parts train and test"),
    ],
)
def test_check_finds_what_training_and_evaluation_stumble_over(pecl, tmp_path, rows, said):
    for name in "ab":
        write_image(tmp_path / f"{name}.png")
    path = tmp_path / "own.csv"
    path.write_text("\n".join(["image,part,en,de", *rows]))
    status, printed = pecl(f"check {path}")
    assert status == 2
    assert said in printed
    with pytest.raises(DataError) as error:
        check_split(load_dataset(str(path), "de"), 1)
    assert str(error.value) in printed


def test_check_of_a_data_set_finds_each_fault(pecl, tmp_path, publish):
    make_xtd10(tmp_path, images=range(4))
    names = (tmp_path / "xtd10/XTD10/test_image_names.txt").read_text("utf-8").split()
    publish("xtd10", {"STAIR": {"test_1kcaptions_jp.txt": sha(b"other")}})
    publish("pectvlm")
    (tmp_path / "xtd10" / "images" / names[2]).write_bytes(b"no image")
    write_lines(tmp_path / "xtd10" / "XTD10" / "test_1kcaptions_es.txt", ["uno", "", "tres", "cuatro", "cinco"])
    status, printed = pecl("check xtd10 --json")
    messages = [problem["message"] for problem in json.loads(printed)["problems"]]
    faults = [
        "test_1kcaptions_jp.txt is not the file that was published",
        "test_1kcaptions_es.txt, line 2: empty caption",
        "ko.txt is a copy of",
        "1 of 5 images are missing",
        f"cannot read image {tmp_path / 'xtd10' / 'images' / names[2]}",
    ]
    assert status == 2
    for fault in faults:
        assert sum(fault in message for message in messages) == 1, fault
    assert len(messages) == len(faults)


def test_check_of_a_sound_data_set(pecl, tmp_path, publish):
    make_xtd10(tmp_path, images=range(5))
    publish("xtd10")
    publish("pectvlm", {TRANSLATED: {"ko.txt": sha(b"the released file")}})
    lines = "\n".join(sentence("ko", i, "neu") for i in range(5))
    korean = tmp_path / "pectvlm" / TRANSLATED / "ko.txt"
    write_with_provenance(korean, lines.encode(), {"translator": "test"})  # not the released file, and says so
    status, printed = pecl("check xtd10")
    assert (status, printed.splitlines()[0]) == (0, "xtd10: no problems")
    assert "5 rows, 5 images, languages en de es fr it jp ko pl ru tr zh; no parts; duplicates: images 4" in printed
    assert pecl("check xtd10 --data-dir nowhere")[0] == 2  # a known data set that is missing is its one problem


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_m2m100(tmp_path_factory.mktemp("translation") / "model")


def test_translate_makes_korean_from_english_and_then_has_nothing_to_do(pecl, tmp_path, model, monkeypatch):
    make_xtd10(tmp_path)
    line = f"translate xtd10 --source en --target Korean --model {model} --max-new-tokens 12"
    with pytest.raises(DataError, match=r"ko\.txt is there already; overwrite=True"):
        pecl(line)
    status, printed = pecl(f"{line} --overwrite --json")
    record = json.loads(printed)
    assert status == 0
    assert record["output"] == str(tmp_path / "pectvlm" / TRANSLATED / "ko.txt")
    assert record["translator"]["target"] == "ko"
    monkeypatch.setattr("pecl.data.translating.mt.Translator", None)  # a second run loads no model
    assert "5 translations" in pecl(line)[1]


def test_download_counts_what_was_fetched_what_existed_and_what_was_made_here(pecl, monkeypatch):
    report = DownloadReport(fetched=["a"], present=["b", "c"], kept=["d", "e", "f"])
    monkeypatch.setattr(data, "download", lambda *_, **__: report)
    assert pecl("download xtd10")[1] == "1 files fetched, 2 existed already; 3 made on this machine were kept\n"


def test_a_check_with_problems_prints_no_counts(pecl, monkeypatch):
    report = CheckReport([Problem(3, "de", "empty caption")], {"xtd10": Summary()})
    monkeypatch.setattr(data, "check_dataset", lambda *_, **__: report)
    status, printed = pecl("check xtd10 --json")
    document = json.loads(printed)
    assert (status, len(document["problems"]), document["summaries"]) == (2, 1, {})
    assert pecl("check xtd10")[1].splitlines()[1:] == ["xtd10: 1 problem"]
