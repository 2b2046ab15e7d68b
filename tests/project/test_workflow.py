"""The workflow runs the test command of the README on the oldest Python that pecl takes, and on a newer one."""

import re

import yaml
from helpers.project import ROOT


def test_the_workflow_runs_the_readmes_test_command():
    (job,) = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text("utf-8"))["jobs"].values()
    command = job["steps"][-1]["run"]
    readme = (ROOT / "README.md").read_text("utf-8")
    assert re.search(rf"^{re.escape(command)}\s+#.*whole test suite", readme, re.MULTILINE)
    oldest = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text("utf-8")).group(1)
    assert job["strategy"]["matrix"]["python"] == [oldest, "3.13"]
