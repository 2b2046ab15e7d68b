"""Licences of weights, lock files, the workflow, and the contents of an installation."""

import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from email.parser import Parser

import pytest
import yaml
from helpers.project import ROOT, tool
from packaging.requirements import Requirement

from pecl.adapters.formats.files import load_adapter_file
from pecl.adapters.ready import ready_adapters, ready_results
from pecl.adapters.spec import describe
from pecl.apps.export.card import tower_terms
from pecl.files import sha256_file
from pecl.files.digests import check_digest
from pecl.results.result import collect

TEXT = (ROOT / "LICENSE-WEIGHTS.md").read_text("utf-8")
ROWS = {
    name: (made, terms) for name, made, terms in re.findall(r"^\| `(pecl/\S+)` \| (.*) \| (.*) \|$", TEXT, re.MULTILINE)
}
SHIPPED, RESULTS = ready_adapters("mini"), ready_results("mini")
ADAPTERS = "pecl/adapters/shipped/mini/*.safetensors"  # the row of the ready adapters


def row_of(path):
    return ROWS[ADAPTERS] if path in SHIPPED.values() else ROWS.get(path.relative_to(ROOT).as_posix())


def test_every_shipped_file_of_weights_has_a_row():
    found = list((ROOT / "pecl").rglob("*.safetensors"))
    assert all(map(row_of, found))
    assert ROWS.keys() - {ADAPTERS} <= {path.relative_to(ROOT).as_posix() for path in found}


@pytest.mark.parametrize("language", SHIPPED)
def test_a_shipped_adapter_is_the_one_that_its_result_names(language):
    result, file = RESULTS[language], load_adapter_file(SHIPPED[language])
    check_digest(result, needed=True)
    assert result["adapter"]["sha256"] == sha256_file(SHIPPED[language])
    assert (file.language, describe(file.configs)) == (language, result["adapter"]["spec"])
    assert file.fingerprint == result["towers"]["text"]["fingerprint"]


def test_shipped_results_are_those_that_were_measured_and_gained():
    measured = {result.run_id: result for result in collect([ROOT / "results" / "measured"])}
    part = tool("make_ready_adapters").shipped_part
    assert list(RESULTS) == list(SHIPPED)
    for language, shipped in RESULTS.items():
        result = measured[shipped["run_id"]]
        adapter = {key: value for key, value in shipped["adapter"].items() if key != "sha256"}  # of fewer bits
        assert {**shipped, "adapter": adapter} == {**part(result.to_json()), "sha256": shipped["sha256"]}, language
        assert result.recall(stage="best") > result.recall(stage="zero_shot"), language


def test_terms_of_a_pair_are_those_that_towers_list_names():
    result = next(iter(collect([ROOT / "results" / "measured"])))
    config = replace(result.config, profile="nllb-base")
    assert tower_terms(config) == "nllb-base (CC-BY-NC-4.0, as its pages state)"
    assert "not recorded" in tower_terms(replace(config, text_model="someone/tower"))


LOCKS = ("requirements.lock", "requirements-torch.lock")


def locked(name):
    """Return package -> (version, hashes) of a lock file."""
    text = re.sub(r"^#.*\n", "", (ROOT / name).read_text("utf-8"), flags=re.MULTILINE)
    found = {}
    for block in re.split(r"\n(?=[a-z])", text.strip()):
        head, *hashes = re.split(r" \\\n    ", block)
        package, _, version = head.partition(";")[0].strip().partition("==")
        found[package] = (version, hashes)
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_every_file_is_named_by_its_hash(name):
    for package, (version, hashes) in locked(name).items():
        assert re.fullmatch(r"\d[\w.]*", version), package
        assert hashes, package
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one) for one in hashes), package
    assert "://" not in (ROOT / name).read_text("utf-8")


def test_what_running_needs_is_locked_at_versions_that_fit():
    there = locked(LOCKS[0]) | locked(LOCKS[1])
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    needed = [Requirement(line.partition("#")[0]) for line in lines if not line.startswith("#")]
    assert len(needed) > 10
    for one in needed:
        version, _ = there[one.name.lower().replace("_", "-")]
        assert one.specifier.contains(version), one
    assert not locked(LOCKS[0]).keys() & locked(LOCKS[1]).keys()
    assert {"torch", "torchvision", "triton", "nvidia-cudnn-cu13"} <= locked(LOCKS[1]).keys()


def test_the_workflow_runs_the_test_command_of_contributors():
    (job,) = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text("utf-8"))["jobs"].values()
    command = job["steps"][-1]["run"].partition(" ${{")[0]  # weekly with `--all`
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    assert re.search(rf"^{re.escape(command)}\s+#.*as in CI", page, re.MULTILINE)
    oldest = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text("utf-8")).group(1)
    assert job["strategy"]["matrix"]["python"] == [oldest, "3.13"]


BUILD = "from setuptools import build_meta as build; build.build_wheel({!r})"


def test_a_wheel_holds_all_files_requirements_and_the_command_in_30_mb(tmp_path):
    checkout = tmp_path / "pecl"
    checkout.mkdir()
    for name in ("pyproject.toml", "setup.py", "requirements.txt", "README.md", "LICENSE-WEIGHTS.md"):
        shutil.copy(ROOT / name, checkout)
    shutil.copytree(ROOT / "pecl", checkout / "pecl", ignore=shutil.ignore_patterns("__pycache__"))
    files = {str(path.relative_to(checkout)) for path in (checkout / "pecl").rglob("*.*")}
    assert {"pecl/py.typed", "pecl/encoders/loading/mini_heads.safetensors"} < files
    command = [sys.executable, "-c", BUILD.format(str(tmp_path))]
    subprocess.run(command, cwd=checkout, check=True, capture_output=True, timeout=600)
    (path,) = tmp_path.glob("*.whl")
    assert path.stat().st_size < 30_000_000  # bytes, with the ready adapters
    with zipfile.ZipFile(path) as wheel:
        assert {name for name in wheel.namelist() if name.startswith("pecl/")} == files
        about = f"pecl-{path.name.split('-')[1]}.dist-info"
        metadata = Parser().parsestr(wheel.read(f"{about}/METADATA").decode())
        assert "pecl = pecl.cli:main" in wheel.read(f"{about}/entry_points.txt").decode()
    lines = (line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text("utf-8").splitlines())
    required = {Requirement(line) for line in metadata.get_all("Requires-Dist") if "extra ==" not in line}
    assert required == {Requirement(line) for line in lines if line}
    extras = "openclip slurm ray search serve peft openvino export harness trackers docs"
    assert set(metadata.get_all("Provides-Extra")) == set(extras.split())
    assert metadata.get_all("License-File") == ["LICENSE-WEIGHTS.md"]
