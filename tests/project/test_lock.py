"""The lock files: each package of requirements.txt at one version that fits, each file by its hash, from no address."""

import re

import pytest
from helpers.project import ROOT
from packaging.requirements import Requirement

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
