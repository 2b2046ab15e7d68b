"""Spelling, and marks of a merge."""

import re
import subprocess
import sys

from helpers.project import ROOT

SUFFIXES = (".py", ".md", ".sh", ".html", ".js", ".css")
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "LICENSE-WEIGHTS.md")
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (
        *(ROOT / name for name in PAGES),
        *(path for name in ("pecl", "docs", "scripts", "examples", "data") for path in (ROOT / name).rglob("*")),
    )
    if path.suffix in SUFFIXES
)


def test_documents_and_docstrings_are_spelt_right():
    """codespell knows common misspellings; the words that it is told to leave are names or other languages."""
    left = "aircrafts,som,tha,vie,fo,te,nd,ot,ba,als,sur,ein,der,una,que,hist,fpr,ans,mis,ser,beng"
    skipped = "*.json,*.tsv,*/make_languages.py,*.svg,*.png,*.safetensors,*/lexicon/*,*.ipynb,*/shipped/*,*.js"
    command = [sys.executable, "-m", "codespell_lib", "--ignore-words-list", left, "--skip", skipped]
    where = [*PAGES, "docs", "data/README.md", "examples", "scripts", "pecl"]
    done = subprocess.run([*command, *where], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.stdout == ""
    assert done.returncode == 0, done.stderr


def test_no_file_has_the_marks_of_a_merge():
    marks = re.compile(r"^(<{7}|={7}|>{7}|\|{7})( |$)", re.MULTILINE)
    assert [file for file in FILES if marks.search((ROOT / file).read_text("utf-8"))] == []
