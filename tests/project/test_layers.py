"""The layers of the package: imports go one way, public names are few, files are read through `pecl.files`."""

import ast
import inspect
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

import jedi
import pytest
from helpers.project import ROOT

import pecl

PACKAGE = Path(pecl.__file__).parent

# A module or package at the top level may import from those before it.
ORDER = (
    *("errors", "machine", "options", "languages", "files", "plugins", "config"),
    *("data", "retrieval", "encoders", "adapters", "training", "results", "experiment", "grid", "report"),
    *("export", "harness", "search", "serving", "bulk", "integrations"),
    *("commands", "cli", "__main__"),
)


def module_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem != "__init__"}


@cache
def nodes_of(path):
    """Return all nodes of the syntax tree of a file."""
    return list(ast.walk(ast.parse(path.read_text("utf-8"))))


@cache
def imports(path):
    """Return the modules of the package that a file imports when it is imported itself, or inside its functions."""
    found = set()
    for node in nodes_of(path):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pecl."):
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & MODULES.keys()
            found |= submodules or {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("pecl.")}
    return found


def test_every_package_has_its_place():
    assert {name.split(".")[1] for name in MODULES} == set(ORDER)


def test_no_arrow_climbs():
    rank = {name: place for place, name in enumerate(ORDER)}
    climbing = [
        f"{module} imports {other}"
        for module, path in MODULES.items()
        for other in imports(path)
        if rank[other.split(".")[1]] > rank[module.split(".")[1]]
    ]
    assert climbing == []


def test_no_modules_import_each_other_in_a_circle():
    remaining = {module: imports(path) & MODULES.keys() - {module} for module, path in MODULES.items()}
    while free := [module for module, others in remaining.items() if not others & remaining.keys()]:
        for module in free:
            del remaining[module]
    assert sorted(remaining) == []


def test_only_one_function_sets_requires_grad():
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in nodes_of(path)
        if isinstance(node, ast.Attribute)
        and (node.attr == "requires_grad_" or (node.attr == "requires_grad" and isinstance(node.ctx, ast.Store)))
    }
    assert found == {"adapters/adapter.py"}


@pytest.mark.parametrize("name", pecl.__all__)
def test_every_public_name_is_there_and_documented(name):
    found = getattr(pecl, name)
    assert found.__name__ == name
    assert found.__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        getattr(pecl, "trian")  # noqa: B009


def test_the_version_is_that_of_the_installed_package():
    assert pecl.__version__ == version("pecl")
    assert "__version__" in dir(pecl)


def test_the_imports_for_type_checkers_are_the_lazy_names():
    tree = ast.parse(Path(pecl.__file__).read_text("utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    imported = [(alias, node.module) for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert {alias.name: module for alias, module in imported} == pecl._PUBLIC
    assert all(alias.asname == alias.name for alias, _ in imported)  # "as" makes it public to type checkers


def completions(code):
    """Return what an editor offers at the end of `code`, without running any of it."""
    return {found.name for found in jedi.Script(code, project=jedi.Project(ROOT)).complete()}


def test_a_static_analyser_sees_every_public_name_and_the_methods_of_a_bank():
    assert completions("import pecl\npecl.") >= {*pecl.__all__, "__version__"}
    methods = {name for name, _ in inspect.getmembers(pecl.AdapterBank) if not name.startswith("_")}
    assert methods > {"encode_text", "from_files", "languages"}
    assert completions("import pecl\npecl.AdapterBank.") >= methods
    assert completions("import pecl\nbank = pecl.AdapterBank(tower, 'lora')\nbank.") >= methods


# Calls that read a file, or what a file holds, without limits. A bare name is a function or a method of that name.
UNBOUNDED = {
    *("open", "read_text", "read_bytes", "fromfile", "memmap", "mmap.mmap", "safe_open", "load_file", "np.load"),
    *("json.load", "json.loads", "yaml.load", "yaml.safe_load", "torch.load", "read_parquet", "ParquetFile"),
    *("read_csv", "gzip.open", "zipfile.ZipFile", "tarfile.open", "pickle.load", "sqlite3.connect"),
}
OURS = "ours"  # a file of the package or the system, or no file at all: text made in this process, or an address
LOOKED_AT = "looked at"  # `check_regular` or `open_regular` comes before, and what reads is a library within its limits
# file -> calls that it may make, and why
ALLOWED = {
    "adapters/ready.py": ({"path.read_text"}, OURS),
    "data/custom/tables.py": ({"parquet.ParquetFile"}, LOOKED_AT),
    "data/fetching/fetch.py": ({"open"}, OURS),
    "data/translating/translate.py": ({"partial_file.open"}, OURS),  # it appends
    "adapters/formats/opendelta.py": ({"torch.load"}, LOOKED_AT),
    "adapters/formats/packed.py": ({"json.loads"}, "bounded, and each entry is checked: for speed"),
    "bulk/job.py": ({"job.source.open"}, OURS),
    "commands/search.py": ({"ImageIndex.open"}, OURS),
    "commands/serve.py": ({"webbrowser.open"}, OURS),
    "retrieval/hubs.py": ({"safe_open"}, OURS),
    "encoders/store.py": ({"path.read_bytes"}, OURS),
    "encoders/large.py": ({"json.loads"}, OURS),
    "encoders/pairs.py": ({"_TABLE.open"}, OURS),
    "encoders/portable.py": ({"json.loads"}, "of a tokenizer in memory"),
    "encoders/loading/hub.py": ({"part.open"}, OURS),  # it appends
    "encoders/loading/e5.py": ({"mmap.mmap"}, LOOKED_AT),
    "encoders/loading/image.py": ({"json.loads"}, OURS),
    "encoders/loading/mini.py": ({"torch.load", "load_file"}, LOOKED_AT),
    "results/environment.py": ({"_STATUS.read_text"}, OURS),
    "encoders/loading/weights.py": ({"load_file", "torch.load"}, LOOKED_AT),
    "experiment/memory.py": ({"path.read_text"}, OURS),
    "options.py": ({"json.loads"}, "a quoted text of the command line"),
    "languages.py": ({"_TABLE.open"}, OURS),
    "machine.py": ({"path.read_text"}, OURS),
    "report/page/__init__.py": ({"read_text"}, OURS),
    "report/tables/paper.py": ({"json.loads", "read_text"}, OURS),
    "search/catalogue.py": ({"sqlite3.connect"}, "SQLite checks itself, and what is read is checked"),
    "serving/photographs.py": ({"ImageIndex.open"}, OURS),
    "serving/search.py": ({"json.loads", "read_text"}, OURS),
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


def reads_of(nodes):
    """Return the calls among the nodes of a module that read without limits."""
    calls = (node.func for node in nodes if isinstance(node, ast.Call))
    return {name for call in calls if is_unbounded(name := name_of(call))}


def test_no_module_reads_a_file_by_itself():
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith("files/") and (reads := reads_of(nodes_of(path))):
            found[name] = reads
    assert found == {name: calls for name, (calls, _) in ALLOWED.items()}


def test_what_is_looked_at_before_it_is_read():
    for name, (_, why) in ALLOWED.items():
        if why == LOOKED_AT:
            source = (PACKAGE / name).read_text("utf-8")
            assert any(f"{function}(" in source for function in ("check_regular", "open_regular", "read_regular"))


def test_a_bare_open_of_an_image_fails_lint():
    """Pillow's own `open` runs Ghostscript for PostScript, and bounds nothing; `pecl.files.pictures` is the door."""
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
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
    assert reads_of(ast.walk(ast.parse(source))) == {"json.loads", "read_text", "path.open", "json.load"}
