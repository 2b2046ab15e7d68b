"""The scripts: help, profiles, where results go, and the figures that they make."""

import json
import os
import re
import subprocess
import sys
from statistics import mean

import pytest
from helpers.documents import Shell, make_checkout
from helpers.layouts import make_flickr30k200, make_xtd10
from helpers.project import ROOT, copy_scripts, tool
from helpers.slow import SLOW
from safetensors import safe_open

from pecl.retrieval.hubs import REFERENCES, ROWS

# script -> its own folder of results
STUDIES = {"few_shot": "few_shot", "full_data": "full_data", "ablation_adapters": "adapters", "disparity": "disparity"}


@pytest.fixture
def run(tmp_path):
    """Return a function that runs a script of a copy of the project: (what it ran, exit status, standard output)."""
    copy_scripts(tmp_path, 'echo "$@" >> "$NOTES"; case "$*" in *"${FAILS:-nothing}"*) exit "$STATUS" ;; esac')

    def start(script, *arguments, **variables):
        notes = tmp_path / "notes"
        notes.write_text("")
        environment = {"PATH": os.environ["PATH"], "NOTES": str(notes), **variables}
        command, pipe = ["bash", f"scripts/{script}.sh", *arguments], subprocess.PIPE
        pipes = {"stdin": subprocess.DEVNULL, "stdout": pipe, "stderr": pipe, "text": True}
        finished = subprocess.run(command, cwd=tmp_path, env=environment, **pipes, timeout=600)
        return [line.removeprefix("-m pecl ") for line in notes.read_text().splitlines()], finished

    return start


def flag(line, name):
    """Return the value of a flag of a noted command, the last where it is given twice, as argparse takes it."""
    words = line.replace(f"--{name}=", f"--{name} ").split()
    return [words[i + 1] for i, word in enumerate(words) if word == f"--{name}"][-1]


@pytest.mark.parametrize(
    ("script", "out"),
    [*((name, []) for name in STUDIES), ("all", ["--out=my/folder"]), ("few_shot", ["--out=a", "--out", "my/folder"])],
)
def test_a_script_reports_where_it_wrote_and_a_dry_run_reports_nothing(run, script, out):
    (*grids, report), finished = run(script, *out, "--lr", "1e-3")
    assert finished.returncode == 0
    assert report == f"report {'my/folder' if out else f'results/{STUDIES[script]}'}"
    assert {flag(grid, "out") for grid in grids if not grid.startswith("report")} == {report.removeprefix("report ")}
    assert not [line for dry in ("--dry-run", "--dry") for line in run(script, dry)[0] if line.startswith("report")]


@pytest.mark.parametrize(("fails", "status"), [("report results/zero_shot results/grid", "2"), ("baseline1", "130")])
def test_all_ends_with_the_status_of_its_report_and_of_an_interruption(run, fails, status):
    ran, finished = run("all", FAILS=fails, STATUS=status)
    assert (str(finished.returncode), finished.stdout, fails in ran[-1]) == (status, "", True)


@pytest.mark.parametrize("profile", ["mini", "paper"])
def test_every_language_has_a_script_that_distils_it(run, profile):
    languages = sorted(path.stem for path in (ROOT / "scripts" / "distil").iterdir())
    assert languages == ["cs", "de", "es", "fr", "it", "jp", "ko", "pl", "ru", "tr", "zh"]
    for language in languages:
        ran, finished = run(f"distil/{language}", "--device", "cuda", "--dry-run", PECL_PROFILE=profile)
        assert finished.returncode == 0
        words = profile == "mini" and language not in ("cs", "de", "fr")
        config = f"configs/distil_{'mini_words' if words else profile}.yaml"
        fixed = f"distil --config {config} --profile {profile} --language {language} --out results/distil"
        assert ran == [f"{fixed}{' --dataset xtd10' * words} --device cuda --dry-run"]


def test_the_papers_pair_is_planned_on_a_machine_without_its_weights(tmp_path, monkeypatch):
    """Of 200 pairs 2 are tested on, and a tenth of the others is held out; three passes over 179 in batches of 32."""
    data = make_flickr30k200(make_xtd10(tmp_path / "data", n=102), n=200)
    monkeypatch.setenv("PECL_DATA_DIR", str(data))
    monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path / "cache"))
    shell = Shell(tmp_path, shorten=False)
    checkout = make_checkout(tmp_path, shell)
    status, out, errors = shell.run("PECL_PROFILE=paper bash scripts/distil/ko.sh --dry-run", checkout, home=tmp_path)
    assert status == 0, errors
    planned = "ko: 179 pairs, 19 held out, 18 steps (closed-form+gradient+closed-form, lr 0.001), new"
    assert out.splitlines()[0] == planned
    assert not (checkout / "results").exists()


def test_a_distillation_is_reported_where_it_wrote_and_an_unknown_language_is_refused(run):
    ran, _ = run("distil", "cs", "--out", "mine")
    assert ran[-1] == "report mine"
    for ran, finished in (run("distil"), run("distil", "xx")):
        assert (ran, finished.returncode) == ([], 2)
        assert "distil.sh: expected a language, one of de fr cs" in finished.stderr


SCRIPTS = sorted(path.stem for path in (ROOT / "scripts").glob("*.sh") if path.stem not in ("common", "help"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_the_comment_that_a_script_begins_with(run, script):
    lines = (ROOT / "scripts" / f"{script}.sh").read_text().splitlines()[1:]
    header = lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]
    ran, finished = run(script, "--help")
    assert (ran, finished.returncode, finished.stderr) == ([], 0, "")
    assert run(script, "-h")[1].stdout == finished.stdout
    assert finished.stdout.splitlines() == [line.removeprefix("#").removeprefix(" ") for line in header]
    assert f"bash scripts/{script}.sh" in finished.stdout


MAKERS = sorted(path.stem for path in (ROOT / "tools").glob("make_*.py"))


@pytest.mark.parametrize("name", MAKERS)
def test_help_of_a_tool_that_makes_a_file_of_the_package_makes_nothing(name, monkeypatch, capsys):
    """It writes into the package, and not all of it is quick."""
    maker = tool(name)
    for function in ("write_text", "write_json"):
        monkeypatch.setattr(maker, function, lambda *_: pytest.fail("it writes"), raising=False)
    monkeypatch.setattr(sys, "argv", [f"tools/{name}.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        maker.main()
    assert ended.value.code == 0
    assert f"python tools/{name}.py" in capsys.readouterr().out


def test_names_of_pecl_in_pages_and_shell_scripts_are_there():
    patterns = ("README.md", "requirements*.txt", "*/*.md", "*/*.sh")
    text = "\n".join(path.read_text("utf-8") for pattern in patterns for path in ROOT.glob(pattern))
    text = re.sub(r"from (pecl[\w.]*) import (\w+)", r"\1.\2", text)
    names = {path.replace("/", ".") for path in re.findall(r"\b(pecl/[\w/]+)\.py\b", text)}
    names |= set(re.findall(r"(?<![\w./-])pecl(?:\.[A-Za-z_]\w*)+", text)) - {"pecl.plugins"}  # a group of entry points
    assert len(names) > 30
    for name in names:  # not imported: some import packages that are not here
        module, rest = ROOT / "pecl", name.split(".")[1:]
        while rest and ((module / rest[0]).is_dir() or (module / f"{rest[0]}.py").is_file()):
            module /= rest.pop(0)
        sources = module.glob("__init__.py*") if module.is_dir() else [module.with_suffix(".py")]
        assert not rest or any(re.search(rf"\b{rest[0]}\b", file.read_text("utf-8")) for file in sources), name


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_test_exists(name):
    """Without it, a test that was renamed would run in CI again, and nobody would see why."""
    file, _, test = name.partition("::")
    sources = [path.read_text("utf-8") for path in (ROOT / "tests").rglob(file)]
    assert any(f"def {test.partition('[')[0]}" in source for source in sources)


FIGURES = json.loads((ROOT / "results" / "search_quality.json").read_text("utf-8"))


def test_the_figures_are_of_the_shipped_reference_captions():
    with safe_open(REFERENCES / "mini.safetensors", "np") as file:
        metadata, references = file.metadata(), len(file.get_tensor(ROWS))
    shipped = {"references": references, "sharpness": float(metadata["sharpness"])}
    assert FIGURES["settings"] == {**shipped, "weight": float(metadata["weight"])}


def test_a_guess_among_the_languages_of_a_person_loses_at_most_a_two_hundredth():
    rows = json.loads((ROOT / "results" / "person_languages.json").read_text("utf-8"))["rows"]
    for words in (1, 2, 3):
        own = [row for row in rows if row["words"] == words]
        assert len(own) == 10
        assert max(mean(row["named"] - row[among] for row in own) for among in ("two", "four")) <= 0.005
