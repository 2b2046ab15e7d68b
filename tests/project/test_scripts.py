"""The shell scripts, with a stand-in for Python that notes what it is given: help, profiles, where results go."""

import os
import shutil
import subprocess

import pytest
from helpers.documents import Shell, make_checkout
from helpers.layouts import make_flickr30k200, make_xtd10
from helpers.project import ROOT

from pecl.encoders.towers import PAIRS

STUDIES = {
    "few_shot": "few_shot",
    "full_data": "full_data",
    "ablation_adapters": "adapters",
    "disparity": "disparity",
}  # script -> its own folder of results
NOTING = '#!/bin/sh\necho "$@" >> "$NOTES"\n'


@pytest.fixture
def run(tmp_path):
    """Return a function that runs a script of a copy of the project: (what it ran, exit status, standard output)."""
    for name in ("scripts", "configs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(NOTING)
    python.chmod(0o755)

    def start(script, *arguments, **variables):
        notes = tmp_path / "notes"
        notes.write_text("")
        environment = {"PATH": os.environ["PATH"], "NOTES": str(notes), **variables}
        command = ["bash", f"scripts/{script}.sh", *arguments]
        finished = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
        return [line.removeprefix("-m pecl ") for line in notes.read_text().splitlines()], finished

    return start


def flag(line, name):
    """Return the value of a flag of a noted command, the last where it is given twice, as argparse takes it."""
    words = line.replace(f"--{name}=", f"--{name} ").split()
    return [words[i + 1] for i, word in enumerate(words) if word == f"--{name}"][-1]


@pytest.mark.parametrize("script", STUDIES)
@pytest.mark.parametrize(
    "out", [None, ["--out", "my/folder"], ["--out=my/folder"], ["--out", "a", "--out", "my/folder"]]
)
def test_a_script_reports_where_it_wrote(run, script, out):
    ran, finished = run(script, *(out or ()), "--lr", "1e-3")
    *grids, report = ran
    assert finished.returncode == 0
    assert grids
    assert report == f"report {'my/folder' if out else f'results/{STUDIES[script]}'}"
    assert {flag(grid, "out") for grid in grids} == {report.removeprefix("report ")}


@pytest.mark.parametrize("script", STUDIES)
def test_a_dry_run_reports_nothing(run, script):
    assert not [line for line in run(script, "--dry-run")[0] if line.startswith("report")]


LANGUAGES = ("de", "fr", "cs", "es", "it", "jp", "ko", "pl", "ru", "tr", "zh")


@pytest.mark.parametrize("profile", ["mini", "paper"])
def test_every_language_has_a_script_that_distils_it(run, profile):
    for language in LANGUAGES:
        ran, finished = run(f"distil/{language}", "--device", "cuda", "--dry-run", PECL_PROFILE=profile)
        assert finished.returncode == 0
        config = "distil_paper" if profile == "paper" else "distil_mini" + "_text" * (language not in LANGUAGES[:3])
        fixed = f"distil --config configs/{config}.yaml --profile {profile} --language {language} --out results/distil"
        assert ran == [f"{fixed} --device cuda --dry-run"]
    assert sorted(path.stem for path in (ROOT / "scripts" / "distil").iterdir()) == sorted(LANGUAGES)


def test_finnish_has_a_grid_on_text_only(run):
    ran, finished = run("grid_method1/fi", "--dry-run", PECL_PROFILE="siglip2-b16")
    assert finished.returncode == 0
    fixed = "grid --config configs/grid_paper.yaml --profile siglip2-b16 --route method1 --language fi"
    test = "--out results/grid_method1 --dataset xtd200 --gallery english"
    train = "--image-weight 0 --anchor frozen --text flickr30k200 --overlap drop"  # the test set is never trained on
    assert ran == [f"{fixed} {test} {train} --dry-run"]


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
    for language in ((), ("xx",)):
        ran, finished = run("distil", *language)
        assert (ran, finished.returncode) == ([], 2)
        assert "distil.sh: expected a language, one of de fr cs" in finished.stderr


def test_all_of_a_profile_go_into_one_folder_where_one_is_named(run):
    ran, _ = run("all", "--out", "my folder")
    assert ran[-1] == "report my folder"
    assert all(line.endswith("--out my folder") or line == "report my folder" for line in ran)
    ran, _ = run("all")
    grids = {flag(line, "out") for line in ran if not line.startswith("report")}
    assert set(ran[-1].split()[1:]) == grids


def test_photographs_are_indexed_and_the_page_is_opened(run, tmp_path):
    for name in ("pyproject.toml", "setup.py", "requirements.txt"):
        (tmp_path / name).touch()
    shutil.copy(tmp_path / ".venv" / "bin" / "python", tmp_path / ".venv" / "bin" / "pecl")
    pictures = tmp_path / "my pictures"
    pictures.mkdir()
    used = [f"index {pictures} --thumbnails", f"serve --index {pictures} --port 0 --open --port 8080"]
    for install in (["-m pip install --quiet -e .[search,serve]"], []):  # the second call needs no network
        ran, finished = run("search", "my pictures", "--port", "8080")
        assert (finished.returncode, finished.stderr) == (0, "")
        assert ran == [*install, *used]


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


def test_each_profile_is_known_to_the_scripts(run):
    for profile in PAIRS:
        (line,), finished = run("zero_shot", PECL_PROFILE=profile)
        assert (flag(line, "profile"), finished.returncode) == (profile, 0)
    ran, finished = run("zero_shot", PECL_PROFILE="minni")
    assert (ran, finished.returncode) == ([], 2)
    for profile in PAIRS:
        assert profile in finished.stderr
