"""Files are read through `pecl.files`, which bounds their size, depth and kind: no module opens one by itself."""

import ast
import subprocess
import sys

import pytest
from helpers.project import ROOT

PACKAGE = ROOT / "pecl"
# Calls that read a file, or what a file holds, without limits. A bare name is a function or a method of that name.
UNBOUNDED = {
    *("open", "read_text", "read_bytes", "fromfile", "memmap", "mmap.mmap", "safe_open", "load_file", "np.load"),
    *(
        "json.load",
        "json.loads",
        "yaml.load",
        "yaml.safe_load",
        "torch.load",
        "read_parquet",
        "ParquetFile",
        "read_csv",
    ),
    *("gzip.open", "zipfile.ZipFile", "tarfile.open", "pickle.load", "sqlite3.connect"),
}
OURS = "ours"  # a file of the package or the system, or no file at all: text made in this process, or an address
LOOKED_AT = "looked at"  # `check_regular` or `open_regular` comes before, and what reads is a library within its limits
# file -> calls that it may make, and why
ALLOWED = {
    "data/custom/tables.py": ({"parquet.ParquetFile"}, LOOKED_AT),
    "data/text_column.py": ({"mmap.mmap"}, OURS),
    "data/translating/cache.py": ({"sqlite3.connect"}, "SQLite checks itself, and each row has a digest"),
    "adapters/formats/opendelta.py": ({"torch.load"}, LOOKED_AT),
    "bulk/job.py": ({"job.source.open"}, OURS),
    "commands/search.py": ({"ImageIndex.open"}, OURS),
    "commands/serve.py": ({"webbrowser.open"}, OURS),
    "encoders/large.py": ({"json.loads"}, OURS),
    "encoders/pairs.py": ({"_TABLE.open"}, OURS),
    "encoders/loading/e5.py": ({"mmap.mmap"}, LOOKED_AT),
    "encoders/loading/image.py": ({"json.loads"}, OURS),
    "encoders/loading/mini.py": ({"torch.load"}, LOOKED_AT),
    "results/environment.py": ({"_STATUS.read_text"}, OURS),
    "encoders/loading/weights.py": ({"load_file", "torch.load"}, LOOKED_AT),
    "experiment/memory.py": ({"path.read_text"}, OURS),
    "export/open_clip.py": ({"json.loads"}, OURS),
    "options.py": ({"json.loads"}, "a quoted text of the command line"),
    "languages.py": ({"_TABLE.open"}, OURS),
    "machine.py": ({"cpuinfo.read_text", "meminfo.read_text"}, OURS),
    "report/page/build.py": ({"read_text"}, OURS),
    "report/tables/paper.py": ({"json.loads", "read_text"}, OURS),
    "results/digest.py": ({"json.loads"}, OURS),
    "search/index.py": ({"open"}, OURS),
    "serving/page.py": ({"read_bytes"}, OURS),
    "serving/photographs.py": ({"ImageIndex.open"}, OURS),
    "training/distributed.py": ({"json.loads"}, OURS),
}


def name_of(function):
    """Return how a call names its function: `json.loads`; of a method of a call's result, only the method."""
    if isinstance(function, ast.Name):
        return function.id
    if not isinstance(function, ast.Attribute):
        return ""
    before = name_of(function.value)
    return f"{before}.{function.attr}" if before and not isinstance(function.value, ast.Call) else function.attr


def is_unbounded(name):
    return name in UNBOUNDED or name.rpartition(".")[2] in {one for one in UNBOUNDED if "." not in one}


def reads_of(source):
    """Return the calls of a module that read without limits."""
    calls = (node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return {name for call in calls if is_unbounded(name := name_of(call))}


def test_no_module_reads_a_file_by_itself():
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith("files/") and (reads := reads_of(path.read_text("utf-8"))):
            found[name] = reads
    assert found == {name: calls for name, (calls, _) in ALLOWED.items()}


def test_what_is_looked_at_before_it_is_read():
    for name, (_, why) in ALLOWED.items():
        if why == LOOKED_AT:
            source = (PACKAGE / name).read_text("utf-8")
            assert any(f"{function}(" in source for function in ("check_regular", "open_regular", "read_bytes_limited"))


def test_a_bare_open_of_an_image_fails_lint():
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    """Pillow's own `open` runs Ghostscript for PostScript, and bounds nothing; `pecl.files.pictures` is the door."""
    for source in ("from PIL import Image\n\nImage.open(1)\n", "from PIL import Image as P\n\nP.open(1)\n"):
        command = [sys.executable, "-m", "ruff", "check", "--stdin-filename", "pecl/search/a.py", "-"]
        ran = subprocess.run(command, input=source, cwd=ROOT, capture_output=True, text=True, check=False)
        assert (ran.returncode, "TID251" in ran.stdout) == (1, True), ran.stdout
    ignored = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["ruff"]["lint"]["per-file-ignores"]
    assert {name for name, rules in ignored.items() if "TID251" in rules} == {"tests/*", "scripts/screenshots.py"}
    sources = [
        path.read_text("utf-8")
        for folder in ("pecl", "benchmarks", "examples")
        for path in (ROOT / folder).rglob("*.py")
    ]
    assert not any("noqa: TID251" in source for source in sources)


def test_reads_are_found():
    source = (
        "import json\njson.loads(Path('a').read_text())\nwith path.open('rb') as file: json.load(file)\nload_json(a)"
    )
    assert reads_of(source) == {"json.loads", "read_text", "path.open", "json.load"}
