"""The page of results: commands that repeat runs, numbers to sort by, which captions are shown, and what is inside."""

import argparse
import base64
import hashlib
import io
import json
import re
import shlex
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from helpers.folders import exchange
from helpers.made_results import trained_results, write_table
from helpers.plots import draw_some
from helpers.report_results import changed, train, unfinished, write
from PIL import Image

from pecl.cli import main
from pecl.commands.options import config_flags, language_configs
from pecl.config import make_config
from pecl.experiment.run import with_joint_languages
from pecl.report.page import write_page
from pecl.report.page.gallery import choose
from pecl.report.plots import PLOTS
from pecl.report.tables import report
from pecl.results.result import collect

INJECTED = "<script>document.title='owned'</script> \"quotes\" & </script><!-- 'ein Hund'"


def page_of(folder, results, captions=60, plots=("recall",)):
    complete = [result for result in results if result.status == "complete"]
    return write_page(folder, results, report(results), draw_some(complete, *plots), captions).read_text("utf-8")


def gallery_of(html):
    found = re.search(r'<script type="application/json" id="gallery-data">(.*?)</script>', html, re.DOTALL)
    return json.loads(found.group(1))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with trainings of German and Czech."""
    table = write_table(tmp_path_factory.mktemp("data"), special=dict.fromkeys(range(60), INJECTED))
    folder = tmp_path_factory.mktemp("trained")
    trained_results(table, folder, {"language": "de"}, {"language": "cs"})
    return folder


@pytest.fixture
def made(tmp_path, trained):
    """The results in a copy of that folder, which a test may change."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return sorted(collect([tmp_path]), key=lambda result: result.config.language, reverse=True)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"language": "jp", "lr": 3e-5, "dropout": False, "skip_unreadable": True},
        {"dataset": "my data/it's.csv", "adapter": "lora:r=4,target_modules=query/key+head", "train_size": 100},
        {"alignment": "mse+contrastive", "image_weight": 0.0, "out": "results/a b", "gallery": "english"},
    ],
)
def test_the_command_of_a_run_gives_its_config_back(values):
    config = make_config(values)
    words = shlex.split(replace(train(4, 6), config=config).command)
    assert words[:2] == ["pecl", "train"]
    parser = argparse.ArgumentParser()
    config_flags()(parser)
    assert language_configs(parser.parse_args(words[2:])) == [config]


def test_the_command_of_a_joint_run_trains_all_its_languages():
    config = make_config({"language": "fr", "joint": "cs+fr"})
    words = shlex.split(replace(train(4, 6), config=config).command)
    parser = argparse.ArgumentParser()
    config_flags()(parser)
    configs = language_configs(parser.parse_args(words[2:]))
    assert [config.language for config in with_joint_languages(configs[0])] == ["cs", "fr"]
    assert config in with_joint_languages(configs[0])


def test_the_largest_changes_are_shown_gains_and_losses_alike():
    before, after = [30] * 100, [30] * 100
    after[10:13], after[20:23] = [1, 2, 3], [900, 800, 700]
    assert {10, 11, 12, 20, 21, 22} <= set(choose(before, after, 8))


def sections_of(html):
    return re.findall(r'<section id="(\w+)"', html)


class _Collector(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.scripts = [], 0

    def handle_starttag(self, tag, attrs):
        self.scripts += tag == "script"
        self.found += [
            (tag, name, value) for name, value in attrs if name in ("src", "href", "srcset", "style", "onclick")
        ]


def test_equal_results_give_an_equal_page_nothing_is_fetched_and_captions_are_text(made, tmp_path):
    html = page_of(tmp_path / "html", made, captions=20, plots=PLOTS)
    assert page_of(tmp_path / "again", made, captions=20, plots=PLOTS) == html
    parser = _Collector()
    parser.feed(html)
    assert parser.scripts == 2  # the data and the page's own
    assert all(value.startswith(("data:", "#")) for _, name, value in parser.found), parser.found
    assert "<script>document" not in html
    shown = {card["caption"] for group in gallery_of(html)["groups"] for card in group["cards"]}
    assert shown == {INJECTED}
    assert sections_of(html) == ["gallery", "plots", "tables", "commands", "versions"]
    before = html[html.index("<body>") : html.index('<div id="cards">')]
    assert not any(result.run_id[:8] in before for result in made)


def test_names_and_paths_and_errors_of_runs_are_text(tmp_path):
    """The data set and folder of a failed run, its error, and the path of an adapter file that was exchanged."""
    folder = tmp_path / "<u id=owned>"
    exchanged = _with_adapter(folder, "cs")
    (good,) = collect([write(folder, exchanged)])
    good.adapter_path.write_text("another file")
    values = {"out": "<i id=owned>", "dataset": "<b id=owned>.csv"}
    config = make_config({**train(4, 6, seed=2).config.to_dict(), **values})
    failed = unfinished(good, run_id=config.run_id(), error=f"RuntimeError: {INJECTED}", config=config)
    html = page_of(tmp_path / "html", [good, failed])
    assert html.count("&lt;b id=owned&gt;.csv") >= 2
    assert "&lt;u id=owned&gt;" in html
    assert "id=owned>" not in html
    assert "<script>document" not in html


def test_cards_hold_what_was_retrieved_and_each_picture_stands_once_and_is_small(made, tmp_path):
    gallery = gallery_of(page_of(tmp_path / "html", made, captions=1000))
    (german,) = [group for group in gallery["groups"] if group["language"] == "de"]
    result = next(result for result in made if result.config.language == "de")
    assert german["captions"] == len(german["cards"]) == 40
    for place, card in enumerate(german["cards"]):
        before, after = (result.ranks("text_to_image", stage=name)[place] for name in ("zero_shot", "best"))
        assert card["ranks"] == [before, after]
        assert (card["wanted"] in card["before"]) == (before <= 5)
        assert (card["after"].index(card["wanted"]) + 1 if after <= 5 else after) == after
    assert len(gallery["pictures"]) == len(set(gallery["pictures"])) <= 60
    content = base64.b64decode(gallery["pictures"][0].removeprefix("data:image/jpeg;base64,"))
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.size) == ("JPEG", (120, 68))  # 160 x 90


@pytest.mark.parametrize("missing", ["data", "other data", "other program", "manifest", "retrieved"])
def test_what_is_not_at_hand_is_left_out_and_said_in_a_sentence(made, tmp_path, missing):
    if missing == "data":
        made = [replace(one, config=replace(one.config, dataset=str(tmp_path / "gone.csv"))) for one in made]
    elif missing == "other program":  # which knew another value
        for one in made:
            object.__setattr__(one.config, "gallery", "maps")
    elif missing == "other data":
        made = [replace(one, data=replace(one.data, sha256={**one.data.sha256, "target": "0" * 64})) for one in made]
    else:
        shutil.rmtree(tmp_path / {"manifest": "splits", "retrieved": "retrieved"}[missing])
    html = page_of(tmp_path / "html", made)
    assert 'id="gallery-data"' not in html
    assert sections_of(html) == ["plots", "tables", "gallery", "commands", "versions"]
    before = html[html.index("<body>") : html.index("<img")]
    assert not any(result.run_id[:8] in before for result in made)
    sentence = {"data": "gone.csv", "other data": "its target differs; point", "other program": "gallery: expected"}
    (details,) = re.findall(r'<details class="note">(.*?)</details>', html, re.DOTALL)
    assert sentence.get(missing, "The manifest or the retrieved items are missing next to the results") in details
    assert all(result.run_id[:8] in details for result in made)


def test_exchanged_adapters_are_said_where_the_numbers_are(tmp_path, capsys, caplog):
    folder = write(tmp_path / "results", *(_with_adapter(tmp_path / "results", code) for code in ("de", "fr")))
    files = sorted((folder / "adapters").iterdir())
    page = ["report", str(folder), "--html", str(tmp_path / "html"), "--gallery-captions", "0"]
    assert main(page) == 0
    assert "is not the adapter" not in caplog.text + (tmp_path / "html" / "index.html").read_text("utf-8")
    exchange(*files)
    assert main(page) == 0
    html = (tmp_path / "html" / "index.html").read_text("utf-8")
    for path in files:
        assert f"{path} is not the adapter that run" in html
        assert f"{path} is not the adapter that run" in caplog.text
    capsys.readouterr()
    assert main(["report", str(folder), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["exchanged"]) == 2


def _with_adapter(folder, code):
    """Return a result of `code` in `folder` whose adapter file has the code as its content."""
    result = train(4, 6, language=code)
    (folder / "adapters").mkdir(parents=True, exist_ok=True)
    (folder / "adapters" / f"{result.name}.safetensors").write_text(code)
    return changed(result, {"adapter.sha256": hashlib.sha256(code.encode()).hexdigest()})


def test_the_command_writes_page_and_plots_and_prints_their_paths(made, tmp_path, capsys):
    folders = ["--html", str(tmp_path / "html"), "--plots", str(tmp_path / "html" / "plots")]
    assert main(["report", str(tmp_path), *folders, "--gallery-captions", "4"]) == 0
    printed = capsys.readouterr().out.split()
    assert str(tmp_path / "html" / "index.html") in printed
    assert str(tmp_path / "html" / "plots" / "recall.svg") in printed
    assert all(Path(path).stat().st_size for path in printed)
    (german, _) = gallery_of((tmp_path / "html" / "index.html").read_text("utf-8"))["groups"]
    assert len(german["cards"]) == 4
    assert main(["report", str(tmp_path)]) == 0  # what was written among the results is not taken for one
