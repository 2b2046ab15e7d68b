"""From a clone to a search, as pages print it, in a fresh folder; what is installed stays as it is."""

import os
import re
import subprocess

import pytest
from helpers.documents import make_checkout
from helpers.project import ROOT

from pecl.data.scenes import load_scenes


def commands(page, heading):
    text = (ROOT / page).read_text("utf-8")
    found = re.search(rf"## {heading}\n+```bash\n(.*?)```", text, re.DOTALL)[1].splitlines()
    if "pecl serve" in found[-1]:
        return ["cd pecl", *found[:-1]]  # the README's last goes on until it is stopped: tests/serving/test_server.py
    return found


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.parametrize(
    ("page", "heading"), [("docs/search.md", "From a clone to a search"), ("README.md", "Search your own photographs")]
)
def test_commands_lead_to_a_search(tmp_path, page, heading):
    checkout = make_checkout(tmp_path)
    scenes = load_scenes("cs", 12)
    for i in range(12):
        path = tmp_path / "Pictures" / str(i % 2) / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        scenes.images.load(i).save(path)
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    environment["PATH"] = f"{checkout}/.venv/bin:{environment['PATH']}"  # active, as the README says
    environment.pop("PECL_CACHE_DIR", None)
    environment.pop("PECL_INDEX_DIR", None)
    shell = ["bash", "-e", "-c", "\n".join(commands(page, heading))]
    done = subprocess.run(shell, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert ": 12 photographs (12 new, 0 changed, 0 removed)\n" in done.stdout
    found = done.stdout.splitlines()[-10:]
    assert len(found) == 10
    paths = [line.split("  ")[1] for line in found]
    assert len(set(paths)) == 10
    assert all(os.path.exists(path) for path in paths)
    scores = [float(line.split("  ")[0]) for line in found]
    assert scores == sorted(scores, reverse=True)
    assert "language: Czech (cs), detected automatically" in done.stderr
