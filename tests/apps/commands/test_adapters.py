"""`pecl adapters` on a tiny tower, and `pecl languages`."""

import json
import re
import shutil

import pytest
import torch
from helpers.adapter_towers import TEXTS, states, tower_of

from pecl.adapters import ready
from pecl.adapters.formats.files import load_adapter_file, merge_adapter, save_adapter
from pecl.adapters.ready import RESULTS, ready_adapters, ready_results
from pecl.adapters.spec import parse_adapter
from pecl.cli import main
from pecl.encoders.loading.text import load_text_checkpoint
from pecl.errors import WeightsError
from pecl.language.languages import LANGUAGES


@pytest.fixture
def pecl(monkeypatch, capsys):
    """Run the command line on a tiny tower; return exit status, standard output and standard error."""
    from pecl.apps.commands import adapters

    tower = tower_of("xlm-roberta", torch.float32)
    monkeypatch.setattr(adapters, "load_tower", lambda parsed: tower)

    def run(*arguments):
        status = main(["adapters", *map(str, arguments)])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    run.tower = tower
    return run


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Return a folder of shipped adapters and their results, of three languages."""
    files, results, folder = ready_adapters("mini"), ready_results("mini"), tmp_path / "mini"
    folder.mkdir()
    (tmp_path / ".DS_Store").touch()  # of the system, no profile
    for code in ("cs", "de", "pl"):
        shutil.copyfile(files[code], folder / files[code].name)
    (folder / RESULTS).write_text("\n".join(json.dumps(results[code]) for code in ("cs", "de", "pl")), "utf-8")
    monkeypatch.setattr(ready, "SHIPPED", tmp_path)
    return folder


def test_command_lists_and_shows(pecl, shipped):
    status, out, _ = pecl("list", "--json")
    counts = {row["name"]: row["parameters in XLM-R Large"] for row in json.loads(out)["kinds"]}
    assert status == 0
    assert (counts["lora"], counts["run_cross"], counts["compacter-only"]) == (884_736, 2_131_712, 162_816)
    assert "soft_prompt" in pecl("list")[1]
    status, out, _ = pecl("show", "lora", "--rank", "2")
    assert status == 0
    assert "lora:r=2" in out
    of_engine = json.loads(pecl("list", "--engine", "opendelta", "--json")[1])
    assert {row["name"] for row in of_engine["kinds"]} < counts.keys()
    assert of_engine["shipped"] == []
    status, _, error = pecl("list", shipped, "--engine", "opendelta")
    assert status == 2
    assert "--engine: expected no folder with it" in error
    assert "null" in pecl("show", 'soft_prompt:init_text="a b"', "--json")[1]  # as many as the text has tokens
    assert "294912" in out  # 48 layers x 2 x 2 x 1024, and 98,304 in LayerNorms


def test_shipped_adapters_are_listed_with_their_terms(pecl, shipped):
    listed = {row["name"]: row for row in json.loads(pecl("list", "--json")[1])["shipped"]}
    assert listed.keys() == {"mini:cs", "mini:de", "mini:pl"}
    assert {row["named by"] for row in listed.values()} == {"results.jsonl"}
    captions, people = {"flickr30k200", "multi30k", "multi30k-translations"}, {"emoji", "sib200", "ntrex"}
    assert listed["mini:de"]["terms"].keys() == {"towers"} | captions | people
    assert listed["mini:pl"]["terms"]["flickr30k200"] == "none stated; research only"
    out = pecl("list")[1]
    assert "multi30k-translations  English captions without a stated licence; translations MIT" in out
    assert "LICENSE-WEIGHTS.md" in out


@pytest.mark.parametrize(
    ("name", "message"), [("de", "de.safetensors is not the adapter that"), ("xx", "xx.safetensors was not shipped: ")]
)
def test_a_shipped_file_that_its_result_does_not_name_is_refused_wherever_it_is_loaded(pecl, shipped, name, message):
    path = shipped / f"{name}.safetensors"
    shutil.copyfile(shipped / "cs.safetensors", path)
    status, _, error = pecl("list")
    assert status == 2
    assert message in error
    with pytest.raises(WeightsError, match=re.escape(message)):
        load_adapter_file(path)  # as embed, search, serve and evaluate do
    assert load_adapter_file(shipped / "cs.safetensors").language == "cs"


def test_command_converts_and_merges(pecl, tmp_path):
    tower = pecl.tower
    state = states(tower)[0]
    source = save_adapter(tmp_path / "a" / "de.safetensors", state, parse_adapter("lora"), "de", tower)
    status, out, _ = pecl("show", source, "--json")
    assert (status, json.loads(out)["language"], json.loads(out)["parameters"]) == (0, "de", 2304)
    assert (json.loads(out)["tower"], json.loads(out)["fingerprint"]) == (tower.name, tower.fingerprint)
    status, out, _ = pecl("list", tmp_path / "a", "--json")
    row = {"file": str(source), "language": "de", "adapter": "lora"}
    assert json.loads(out) == [row | {"named by": None, "trained on": "not known", "terms": {}}]
    assert pecl("convert", source, tmp_path / "peft")[0] == 0
    assert pecl("convert", tmp_path / "peft", tmp_path / "b.safetensors", "--language", "de")[0] == 0
    assert load_adapter_file(tmp_path / "b.safetensors", tower).language == "de"
    assert pecl("merge", source, tmp_path / "merged")[0] == 0
    merged = load_text_checkpoint(tmp_path / "merged")
    expected = merge_adapter(load_adapter_file(source), tower).encode_text(TEXTS)
    torch.testing.assert_close(merged.encode_text(TEXTS), expected, rtol=0, atol=1e-6)
    state = states(tower, "prefix", 1)[0]
    prefix = save_adapter(tmp_path / "p.safetensors", state, parse_adapter("prefix"), "de", tower)
    for action, said in (("convert", "PEFT's format"), ("merge", "cannot be merged")):
        status, _, error = pecl(action, prefix, tmp_path / "refused")
        assert (status, said in error) == (2, True)


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
    shown = " ".join(printed(capsys, "swh_Latn", "no", "fy").split())
    assert "Swahili, Kiswahili" in shown
    assert "mini:sw; text: flickr30k200, emoji, sib200, ntrex" in shown
    assert "no is taken as Norwegian Bokmål (nb), Latn; other codes name nn" in shown
    assert "none; `pecl distil --profile mini --language fy --dataset test.csv --text pairs.tsv` makes an" in shown
    assert "mini and XLM-R were pretrained on it" in " ".join(printed(capsys, "cs").split())
    assert "mini and XLM-R were not pretrained on it" in " ".join(printed(capsys, "ady").split())
    (row,) = json.loads(printed(capsys, "Kiswahili", "--json"))
    assert (row["code"], row["iso3"], row["script"], row["pretrained"]) == ("sw", "swh", "Latn", True)
    assert row["datasets"] == ["xm3600", "flickr30k200", "emoji", "xtd200", "sib200", "ntrex"]
    assert json.loads(printed(capsys, "cs", "--json"))[0]["ready"]
