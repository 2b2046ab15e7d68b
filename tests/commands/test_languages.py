"""`pecl languages`: groups, one language by any of its names, and what is refused."""

import json
import logging
import re

import pytest

from pecl.cli import main
from pecl.languages import LANGUAGES, shared_code


def printed(capsys, *arguments):
    assert main(["languages", *arguments]) == 0
    return capsys.readouterr().out


def test_all_languages_are_listed_once_by_region_or_script(capsys):
    for arguments in ([], ["--by", "script"]):
        words = printed(capsys, *arguments).replace(",", " ").replace("*", " ").split()
        assert [code for code in LANGUAGES if words.count(code) != 1] == []
    assert "Russian ru*" in printed(capsys, "--script", "cyrl")
    assert "Czech" not in printed(capsys, "--script", "Cyrl")


def test_a_language_is_shown_by_any_name_and_a_shared_code_says_what_it_takes(capsys):
    shown = " ".join(printed(capsys, "swh_Latn", "no", "br").split())
    assert "Swahili, Kiswahili" in shown
    assert "no is taken as Norwegian Bokmål (nb), Latn; other codes name nn" in shown
    assert "none; `pecl distil --profile mini --language br --dataset test.csv --text pairs.tsv` makes an" in shown
    (row,) = json.loads(printed(capsys, "Kiswahili", "--json"))
    assert (row["code"], row["iso3"], row["script"], row["pretrained"]) == ("sw", "swh", "Latn", True)
    assert row["datasets"] == ["xm3600", "flickr30k200", "xtd200"]
    assert json.loads(printed(capsys, "cs", "--json"))[0]["ready"]


def test_a_command_says_which_language_a_shared_code_is(caplog):
    with caplog.at_level(logging.INFO):
        main(["evaluate", "--dataset", "xtd200", "--language", "no,sw", "--data-dir", "nowhere", "--dry-run"])
    assert [one.getMessage() for one in caplog.records] == [shared_code("no")]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["klingon"], "unknown language 'klingon': expected a code such as sw"),
        (["--script", "Cyr"], "--script: unknown script 'Cyr': expected one of Arab, .*did you mean 'Cyrl'"),
        (["--region", "Asia"], "--region: unknown region 'Asia': expected one of Africa, Americas, "),
    ],
)
def test_what_no_row_has_is_refused(arguments, sentence, capsys):
    assert main(["languages", *arguments]) == 2
    assert re.search(sentence, capsys.readouterr().err)
