"""The five commands of docs/search.md, run as they are printed, in a fresh folder; what is installed stays as it is."""

import os
import re
import subprocess

import pytest
from helpers.documents import make_checkout
from helpers.project import ROOT

from pecl.data.scenes import load_scenes


def commands():
    text = (ROOT / "docs" / "search.md").read_text("utf-8")
    return re.search(r"## From a clone to a search\n+```bash\n(.*?)```", text, re.DOTALL)[1].splitlines()


@pytest.mark.slow
@pytest.mark.weights
def test_the_five_commands(tmp_path):
    assert len(commands()) == 5
    make_checkout(tmp_path)
    scenes = load_scenes("cs", 12)
    for i in range(12):
        path = tmp_path / "Pictures" / str(i % 2) / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        scenes.images.load(i).save(path)
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PECL_CACHE_DIR", None)
    shell = ["bash", "-e", "-c", "\n".join(commands())]
    done = subprocess.run(shell, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    made, *found = done.stdout.splitlines()[-11:]
    assert made.endswith("Pictures/.pecl-index: 12 photographs (12 new, 0 changed, 0 removed)")
    assert len(found) == 10
    paths = [line.split("  ")[1] for line in found]
    assert len(set(paths)) == 10
    assert all(os.path.exists(path) for path in paths)
    scores = [float(line.split("  ")[0]) for line in found]
    assert scores == sorted(scores, reverse=True)
    assert "language: Czech (cs), told from the text" in done.stderr
