"""The site: it builds strictly, has every page, asks no other server for anything, and its commands are right."""

import os
import re
import shlex
import subprocess
import sys

import pytest
from helpers.documents import PAGES, blocks
from helpers.project import ROOT

from pecl.cli import build_parser
from pecl.commands import COMMANDS
from pecl.commands.grid import grid_configs
from pecl.commands.options import language_configs


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr[-3000:]  # --quiet would hide the warnings, and strict count none
    assert "WARNING" not in done.stderr
    return folder


def test_every_page_of_docs_is_in_the_site_and_its_nav(site):
    start = (site / "index.html").read_text("utf-8")
    outside = ["data", "contributing", "changelog", "security", "captions"]
    pages = [*(path.stem for path in (ROOT / "docs").glob("*.md")), *outside]
    assert [name for name in pages if not (site / f"{name}.html").exists()] == []
    assert {name for name in pages if f'href="{name}.html"' not in start} <= {"index"}


def test_no_page_loads_anything_from_elsewhere(site):
    loads = re.compile(
        r"<(?:script|img|iframe|source)[^>]+src=\"(?:https?:)?//[^\"]*|<link[^>]+href=\"(?:https?:)?//[^\"]*"
    )
    found = {path.name: loads.findall(path.read_text("utf-8")) for path in site.rglob("*.html")}
    assert {name: links for name, links in found.items() if links} == {}
    styles = [path for path in site.rglob("*.css") if re.search(r"url\(['\"]?https?:|@import", path.read_text("utf-8"))]
    assert styles == []


def test_the_page_of_the_command_line_has_every_command_and_flag(site):
    page = (site / "cli.html").read_text("utf-8")
    for name in COMMANDS:
        assert f'id="pecl-{name}"' in page
    assert "--alignment-weight" in page


def test_the_page_of_the_api_has_every_public_name(site):
    import pecl

    page = (site / "api.html").read_text("utf-8")
    missing = [name for name in pecl.__all__ if not re.search(rf'id="pecl\.[\w.]*\b{name}"', page)]
    assert missing == []


def commands(marked=False):
    """Return (page, line) of the shell commands in the documents, continued lines joined, comments cut off.

    With `marked`, return only the marked commands, which `test_documents.py` does not run.
    """
    found = []
    for block in blocks():
        if block.needs or block.long or not marked:
            for line in block.text.replace("\\\n", " ").splitlines():
                bare = re.sub(r"\s#.*$|^#.*$", "", line).strip()
                found += [(block.page, bare)] if bare else []
    return found


def pecl_words(line):
    """Return the arguments of a `pecl` command that can be parsed as it is; None for others and for sketches."""
    line = re.sub(r"^(?:PECL_\w+=\S+ )+", "", line).replace("$(", "").removeprefix("python -m ")
    line = re.sub(r"^\.venv/bin/", "", line)
    if not line.startswith("pecl "):
        return None
    return shlex.split(line)[1:]


@pytest.mark.parametrize(("page", "line"), [pair for pair in commands(marked=True) if pecl_words(pair[1])])
def test_every_pecl_command_that_is_marked_is_one(page, line, monkeypatch, tmp_path):
    """Flags, values and configs are checked, as far as nothing is trained, read or fetched."""
    words = pecl_words(line)
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PECL_DATA_DIR", str(tmp_path))
    if "--help" in words:
        words.remove("--help")
        assert words[0] in COMMANDS
        return
    parsed = build_parser([words[0]]).parse_args(words)
    if parsed.command in ("train", "evaluate"):
        assert language_configs(parsed)
    if parsed.command == "grid" and not parsed.best_of:
        assert grid_configs(parsed)


def test_links_between_documents_lead_somewhere():
    """Also on the project's page, where the documents are read as they lie."""
    generated = {"data.md", "contributing.md", "changelog.md", "captions.md"}  # only on the site
    for path in PAGES:
        text = path.read_text("utf-8")
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
            if re.match(r"https?:|mailto:", link) or link in generated:
                continue
            assert (path.parent / link).exists(), f"{path.relative_to(ROOT)}: {link}"
