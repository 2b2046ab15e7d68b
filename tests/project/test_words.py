"""One word, one thing, and plain sentences: words and turns that code and documents do without."""

import re
import subprocess
import sys

import pytest
from helpers.project import ROOT

# A grid has runs, a report candidates, a slot a task, a table fields; what remains belongs to notebooks and pictures.
CELLS = {
    "pecl/adapters/spec.py": {"notebook's cell"},
    "pecl/training/losses.py": {"notebook cell"},
    "pecl/data/scenes/draw.py": {"of its cell that a thing fills", "cell = ", "min(cell,", "* cell", "slack, cell)"},
    "pecl/report/page/static/page.js": {"row.cells["},
}
TURNS = (
    r"(?<!there\s)\b(is|are) no\b(?! (longer|more)\b)",  # "is no number": is not a number; there is no folder
    r"(?<!there\s)\b(is|are) none\b",
    r"\bstands?\b(?! for\b)",  # what a name stands for is what it means
    r"\bfor want of\b",
    r"\bso many at a time\b",
    r"\b[Oo]ne's own\b",
    r"\bin order to\b",
    r"\bit should be noted\b",
    r"\b(very|really|quite) unique\b",
    r"\butili[sz]e[sd]?\b",
)
RARE = r"(?<!-)(?<!left\s)\b(alone|anew|beside)\b"  # documents and scripts say only, again, next to
ABOUT_SCENES = ("pecl/data/scenes/", "scripts/scene_captions/")  # where houses and horses do stand
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


def found_in(text, words):
    """Return where a text has these words, also where a line, or a line of comments, ends between them."""
    pattern = re.compile(words.replace(" ", r"[\s#]+"))
    return [f"line {text[: found.start()].count(chr(10)) + 1}: {found.group()}" for found in pattern.finditer(text)]


@pytest.mark.parametrize("turn", TURNS)
def test_no_sentence_has_a_banned_turn(turn):
    files = [file for file in FILES if "stand" not in turn or not file.startswith(ABOUT_SCENES)]
    found = {file: lines for file in files if (lines := found_in((ROOT / file).read_text("utf-8"), turn))}
    assert found == {}


def test_documents_and_scripts_have_no_rare_word():
    files = [file for file in FILES if not file.startswith("pecl/")]
    assert {file: lines for file in files if (lines := found_in((ROOT / file).read_text("utf-8"), RARE))} == {}


def test_no_run_candidate_task_or_field_is_called_a_cell():
    found = {}
    for file in FILES:
        text = (ROOT / file).read_text("utf-8")
        for allowed in CELLS.get(file, ()):
            assert allowed in text, f"{file} is without {allowed!r}: take it off the list"
            text = text.replace(allowed, "")
        if lines := found_in(text, r"\b[Cc]ells?\b"):
            found[file] = lines
    assert found == {}


@pytest.mark.parametrize(
    ("text", "turn", "lines"),
    [
        ("a\n# a condition is\n    # no pair", TURNS[0], ["line 2: is\n    # no"]),
        ("there is no folder, and it is no longer there", TURNS[0], []),
        ("One's own data", TURNS[5], ["line 1: One's own"]),
        ("NUL stands for a dollar; what stands here", TURNS[2], ["line 1: stands"]),
    ],
)
def test_turns_are_found_across_lines_and_plain_words_are_not(text, turn, lines):
    assert found_in(text, turn) == lines


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
