"""Every command of the documents is run as it is printed, or says what it needs that a test has not got."""

import functools
import gzip
import itertools
import json
import os
import shutil
import subprocess

import pytest
from helpers.adapter_towers import states
from helpers.documents import PAGES as FILES
from helpers.documents import Shell, blocks, make_checkout
from helpers.exporting import image_tower
from helpers.layouts import (
    make_flickr30k200,
    make_multi30k,
    make_xtd10,
    make_xtd200,
    real_data_dir,
    sentence,
    write_lines,
)
from helpers.project import ROOT
from helpers.small_index import paint
from helpers.tiny import tiny_tower

import pecl.adapters.choice
import pecl.adapters.ready
import pecl.apps.export.peft
import pecl.apps.serving.server
import pecl.data.registry
import pecl.encoders.towers
import pecl.experiment.training_text
from pecl.adapters.formats.files import save_adapter
from pecl.adapters.ready import RESULTS, ready_results
from pecl.adapters.spec import parse_adapter
from pecl.data.published import multi30k
from pecl.files import sha256_file
from pecl.files.digests import DIGEST, with_digest

POOL, LINES = 24, 60  # photographs of the pool, and captions in Multi30K's training part
PHOTOGRAPHS = 15
NEEDS = {"gpu", "hub", "network", "slurm", "ray", "opendelta"}  # what a test has not got
PAGES = {page: list(own) for page, own in itertools.groupby(blocks(), key=lambda block: block.page)}
ELSEWHERE = {
    "clip_benchmark eval": "tests/apps/export/test_open_clip.py",
    "curl -s http://127.0.0.1:8000/search": "tests/apps/serving/test_docs.py",
}  # how commands begin that another test runs as the page has them
# They write for every other package; train five grids; draw all plots and the page
SLOW = ("docs/exports.md", "docs/tools.md", "docs/evaluation.md", "docs/results.md", "docs/reports.md")
LONGEST = 15  # most minutes of a block that a slow test runs; longer blocks are only parsed
ADAPTERS = ("cs", "de", "es", "fr", "it", "jp", "ko", "pl", "ru", "tr", "zh")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a shell and a folder; towers, data sets and adapters are tiny, whatever a command asks for."""
    folder = tmp_path_factory.mktemp("documents")
    data = make_multi30k(folder / "data", n=LINES, images=range(POOL))
    for split in ("val", "test_2016_flickr"):  # the other published parts, only texts
        make_multi30k(data, split, n=12, names=[f"{split}-{i}.jpg" for i in range(12)])
    make_xtd10(data, n=POOL, images=range(POOL))
    make_xtd200(make_flickr30k200(data, n=LINES), n=POOL)
    _write_adapters(folder / "adapters" / "mini")
    with pytest.MonkeyPatch.context() as patch:
        for module in (pecl.encoders.towers, pecl.apps.export.peft):
            patch.setattr(module, "load_text_encoder", lambda *_, **__: text_tower())
        patch.setattr(pecl.encoders.towers, "load_image_encoder", lambda *_, **__: image_tower())
        patch.setattr(pecl.adapters.ready, "SHIPPED", folder / "adapters")
        patch.setattr(pecl.apps.serving.server, "serve", lambda *_: None)  # as if it was told to stop at once
        patch.setattr(
            pecl.experiment.training_text, "strange_languages", lambda *_: None
        )  # it reads models for seconds
        patch.setattr(multi30k, "POOL_SIZE", POOL)
        patch.setattr(pecl.data.registry, "load_scenes", functools.partial(pecl.data.registry.load_scenes, size=POOL))
        patch.setenv("PECL_CACHE_DIR", str(folder / "cache"))
        patch.setenv("PECL_DATA_DIR", str(data))
        yield Shell(folder, ELSEWHERE), folder


def text_tower():
    """A tower as deep as the mini pair's, for pages name its layers."""
    tower = tiny_tower(dropout=0.0, layers=12).eval()
    tower.text_prefix = "query: "
    return tower


def _write_adapters(folder):
    tower, spec, results = text_tower(), "lora+head", ready_results()
    folder.mkdir(parents=True)
    for language, state in zip(ADAPTERS, states(tower, spec, len(ADAPTERS)), strict=True):
        path = save_adapter(folder / f"{language}.safetensors", state, parse_adapter(spec), language, tower)
        results[language]["adapter"]["sha256"] = sha256_file(path)
        results[language] = with_digest({key: value for key, value in results[language].items() if key != DIGEST})
    write_lines(folder / RESULTS, [json.dumps(results[language]) for language in ADAPTERS])
    (state,) = states(tower, "lora", 1)
    save_adapter(folder.parents[1] / "cs-lora.safetensors", state, parse_adapter("lora"), "cs", tower)


@pytest.fixture
def checkout(place, tmp_path):
    """Return a checkout with an environment, results and a reader's own files; photographs are next to it."""
    shell, folder = place
    checkout = tmp_path / "pecl"
    checkout.mkdir()
    for name in ("scripts", "tools", "configs", "examples", "pyproject.toml", "setup.py", "requirements.txt"):
        (checkout / name).symlink_to(ROOT / name)
    shell.install(checkout / ".venv" / "bin", "python", "pecl", "basedpyright")
    shutil.copytree(ROOT / "results" / "measured" / "distill", checkout / "results" / "distill")
    (checkout / "results" / "measured").symlink_to(ROOT / "results" / "measured")
    (checkout / "pecl" / "adapters" / "shipped").mkdir(parents=True)
    (checkout / "pecl" / "adapters" / "shipped" / "mini").symlink_to(folder / "adapters" / "mini")
    for language in ADAPTERS:
        (checkout / f"{language}.safetensors").symlink_to(folder / "adapters" / "mini" / f"{language}.safetensors")
    (checkout / "cs-lora.safetensors").symlink_to(folder / "cs-lora.safetensors")
    for i in range(PHOTOGRAPHS):
        paint(tmp_path / "Pictures" / f"{i}.png", seed=i)
    (checkout / "photographs").symlink_to(tmp_path / "Pictures")
    paint(checkout / "dog.jpg", seed=1)
    _write_texts(checkout)
    return checkout


def _write_texts(folder):
    write_lines(folder / "lines.txt", [sentence("de", i) for i in range(12)])
    rows = [f"{sentence('en', 200 + i)}\t{sentence('cs', 200 + i)}" for i in range(30)]
    for name in ("captions.tsv", "my_captions.tsv"):
        write_lines(folder / name, ["en\tcs", *rows])
    rows = [f"{sentence('en', 400 + i)}\t{sentence('nl', 400 + i)}" for i in range(250)]
    write_lines(folder / "frisian.tsv", ["en\tfy", *rows])
    rows = [f"photographs/{i}.png,{sentence('en', i)},{sentence('cs', i)}" for i in range(PHOTOGRAPHS)]
    write_lines(folder / "mine.csv", ["image,en,cs", *rows])
    for language in ("en", "cs", "ko"):
        text = "".join(f"{sentence(language, 300 + i)}\n" for i in range(30))
        (folder / f"corpus.{language}.gz").write_bytes(gzip.compress(text.encode()))


def page_of(name):
    return pytest.param(name, marks=pytest.mark.slow if name in SLOW else ())


@pytest.mark.parametrize("page", [page_of(name) for name in PAGES])
def test_every_block_of_a_page_runs_or_is_marked(page, place, checkout):
    shell, folder = place
    for block in PAGES[page]:
        if block.needs or block.long:
            continue
        text = block.text.replace("/path/to/data", str(folder / "data"))
        cwd = checkout.parent if text.startswith("cd pecl") else checkout
        status, out, errors = shell.run(text, cwd, home=checkout.parent)
        assert status == 0, f"{page}, line {block.line}:\n{out[-1000:]}{errors[-3000:]}"


def minutes(block):
    return int(block.long.removesuffix(" min"))


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.parametrize("block", [block for block in blocks() if block.long and minutes(block) <= LONGEST])
def test_long_blocks_run_on_the_mini_pair_and_the_real_data(block, tmp_path, monkeypatch):
    checkout = make_checkout(tmp_path)
    monkeypatch.setenv("PATH", f"{checkout}/.venv/bin", prepend=":")
    command = ["bash", "-e", "-c", block.text]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PECL_DATA_DIR": str(real_data_dir().resolve())}
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def test_marks_name_what_a_test_has_not_got():
    assert {need for block in blocks() for need in block.needs} <= NEEDS


def test_every_block_of_commands_is_found():
    """Also those of a language that `SHELLS` lacks: a fence that names none holds no command."""
    for path in FILES:
        fences = path.read_text("utf-8").count("```bash\n")
        assert fences == len(PAGES.get(path.relative_to(ROOT).as_posix(), [])), path
