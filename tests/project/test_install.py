"""What `pip install -e .` installs, in a checkout whose folder bears the package's own name."""

import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser

import pytest
from helpers.project import ROOT
from packaging.requirements import Requirement

BUILD = "from setuptools import build_meta as build; build.{kind}({folder!r})"


def build(kind, checkout, folder):
    """Return the wheel that an installer would make of `checkout`."""
    command = [sys.executable, "-c", BUILD.format(kind=kind, folder=str(folder))]
    subprocess.run(command, cwd=checkout, check=True, capture_output=True, timeout=600)
    (wheel,) = folder.glob("*.whl")
    return zipfile.ZipFile(wheel)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Return (checkout, folder that stands for site-packages)."""
    parent = tmp_path_factory.mktemp("home")
    checkout, site = parent / "pecl", parent.with_name("site-packages")
    checkout.mkdir()
    for name in ("pyproject.toml", "setup.py", "requirements.txt", "README.md"):
        shutil.copy(ROOT / name, checkout)
    shutil.copytree(ROOT / "pecl", checkout / "pecl", ignore=shutil.ignore_patterns("__pycache__"))
    with build("build_editable", checkout, site) as wheel:
        wheel.extractall(site)
    return checkout, site


def dist_info(installed):
    (folder,) = installed[1].glob("pecl-*.dist-info")
    return folder


def test_the_folder_above_the_checkout_does_not_hide_the_package(installed):
    checkout, site = installed
    code = f"import site; site.addsitedir({str(site)!r}); import pecl; print(pecl.__file__, pecl.__version__)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-S", "-c", code]  # -S: without the packages that are installed for the tests
    done = subprocess.run(
        command, cwd=checkout.parent, env=environment, check=True, capture_output=True, text=True, timeout=600
    )
    assert done.stdout.split() == [
        str(checkout / "pecl" / "__init__.py"),
        dist_info(installed).stem.removeprefix("pecl-"),
    ]


def test_the_metadata_name_every_requirement_and_the_command(installed):
    folder = dist_info(installed)
    metadata = Parser().parsestr((folder / "METADATA").read_text("utf-8"))
    lines = (line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text("utf-8").splitlines())
    required = {Requirement(line) for line in metadata.get_all("Requires-Dist") if "extra ==" not in line}
    assert required == {Requirement(line) for line in lines if line}
    assert set(metadata.get_all("Provides-Extra")) == {
        "openclip",
        "slurm",
        "ray",
        "search",
        "serve",
        "export",
        "harness",
        "docs",
    }
    assert "pecl = pecl.cli:main" in (folder / "entry_points.txt").read_text()


def test_a_wheel_holds_all_files_of_the_package(installed, tmp_path):
    checkout, _ = installed
    files = {str(path.relative_to(checkout)) for path in (checkout / "pecl").rglob("*") if path.is_file()}
    assert {"pecl/py.typed", "pecl/encoders/loading/mini_heads.safetensors"} < files
    with build("build_wheel", checkout, tmp_path) as wheel:
        assert {name for name in wheel.namelist() if name.startswith("pecl/")} == files
